"""Logins at a web server: with a user name and a password, not with a key pair."""

from __future__ import annotations

from .config.settings import Login
from .errors import ApiError, AuthError, OtpNeeded, RemoteProtocolError, api_error
from .transport.client import Client
from .transport.responses import answer_of
from .wire.http import JSON, Request, decode_problem
from .wire.logins import (
    LOGIN_EXISTS,
    LOGIN_PATH,
    LOGOUT_PATH,
    LoginReply,
    LoginRequest,
    decode_cookies,
)

__all__ = ["log_in", "log_out"]


async def log_in(
    client: Client, username: str, password: str, *, otp: str | None = None, force: bool = False
) -> Login:
    """Log in. Nothing is saved: the caller keeps the result, and passes it on as `Config.login`.

    Args:
        client: of the web server (`Config.endpoint_type` is ``session``).
        username: e-mail address or name.
        password: of this user.
        otp: one-time password, for users who have set that up.
        force: whether the user's older login ends where the server allows no more at a time
            (managers from 26.4 on).

    Returns:
        The login, with the cookies that authenticate requests.

    Raises:
        OtpNeeded: the password is right, and a one-time password is required as well.
        AuthError: user name, password or one-time password is wrong.
        InvalidRequest: the user has as many logins as the server allows; `force` ends one.
        QuotaExceeded: there were too many failed attempts.
        RemoteProtocolError: the server has no logins.
        ConnectionFailed: the server cannot be reached.

    Cancellation:
        The server may have made the login; its cookie is lost.

    Endpoint: ``POST /server/login`` (docs/protocol.md, sections 2.4 and 2.5).
    """
    body = LoginRequest(username, password, otp, force).encode()
    request = Request("POST", LOGIN_PATH, (), body, JSON)
    headers = {"Date": client.date(), "Content-Type": request.content_type}
    async with client.request(
        request, to="anonymous", headers=headers, check_status=False
    ) as stream:
        cookies = [value for name, value in stream.header_list if name == "set-cookie"]
        reply = await stream.read_all()
    server = client.config.endpoint
    if not LoginReply.is_encoded_in(reply.body):
        if reply.status in (404, 405):
            raise RemoteProtocolError(
                f"{server.url} has no logins ({request} -> {reply.status}); check BACKEND_ENDPOINT "
                "and BACKEND_ENDPOINT_TYPE"
            )
        raise _with_advice(decode_problem(reply).as_error(str(request)))
    login = LoginReply.decode(reply.body)
    if login.needs_otp and not login.authenticated:
        raise OtpNeeded(401, kind=login.kind, title=login.title, request=str(request))
    if not login.authenticated:
        title = login.title or "The login was refused"
        if login.kind == LOGIN_EXISTS:
            title = f"{title.rstrip('.')}; to end the older login, use: backend.ai login --force"
        raise _with_advice(
            api_error(
                reply.status if reply.status >= 400 else 401,
                kind=login.kind,
                title=title,
                detail=login.detail,
                request=str(request),
            )
        )
    if not (found := decode_cookies(cookies)):
        raise RemoteProtocolError(f"{server.url}: {request} succeeded, but set no cookie")
    return Login(username, login.access_key, found)


def _with_advice(refusal: ApiError) -> ApiError:
    """The refusal of a login, with what to do about too many attempts."""
    if refusal.status == 429:
        refusal.advice = "wait some minutes before the next attempt"
    return refusal


async def log_out(client: Client) -> None:
    """End the login that the client was opened with; one that has expired is fine.

    Args:
        client: of the web server.

    Raises:
        ConfigError: the client has no login.
        ApiError: the server failed.
        RemoteProtocolError: a web page came in place of its answer.
        ConnectionFailed: the server cannot be reached.

    Cancellation:
        The server may have ended the login or not.

    Endpoint: ``POST /server/logout`` (docs/protocol.md, section 2.4).
    """
    request = Request("POST", LOGOUT_PATH)
    async with client.request(request, to="server", check_status=False) as stream:
        reply = await stream.read_all()
    if reply.status >= 300:
        error = decode_problem(reply).as_error(str(request))
        if not isinstance(error, AuthError):
            raise error
    answer_of(request, reply)
