"""Logging in and out, where the server is one for people: with a name, not with a key pair."""

from __future__ import annotations

from .config.settings import Login
from .errors import AuthError, OtpNeeded, RemoteProtocolError, api_error
from .transport.client import HEADERS_SECONDS, Client
from .wire.http import JSON, Request, decode_problem
from .wire.logins import LOGIN_PATH, LOGOUT_PATH, LoginReply, LoginRequest, decode_cookies

__all__ = ["log_in", "log_out"]


async def log_in(client: Client, username: str, password: str, *, otp: str | None = None) -> Login:
    """Get what lets requests in from then on, as `Config.login`; nothing is kept here.

    Args:
        client: of the web server (`Config.endpoint_type` is ``session``).
        username: e-mail address or name.
        password: theirs.
        otp: the one-time password, for users who have set that up.

    Raises:
        OtpNeeded: the password is right, and a one-time password is wanted as well.
        AuthError: user name, password or one-time password are wrong.
        QuotaExceeded: there were too many failed attempts.
        RemoteProtocolError: the server has no logins.

    Cancellation:
        The login may have been made; nobody has its cookie then.

    Endpoint: ``POST /server/login`` (contract section 2.4).
    """
    body = LoginRequest(username, password, otp).encode()
    request = Request("POST", LOGIN_PATH, (), body, JSON)
    headers = client.plain_headers(request)
    server = client.config.endpoint
    async with client.open_reply(
        request, headers, at=server, silence_seconds=HEADERS_SECONDS
    ) as stream:
        cookies = [value for name, value in stream.header_list if name == "set-cookie"]
        reply = await stream.read_all()
    if reply.content_type != JSON or reply.status not in (200, 401):
        if reply.status in (404, 405):
            raise RemoteProtocolError(
                f"{server.url} has no logins ({request} -> {reply.status}); check BACKEND_ENDPOINT "
                "and BACKEND_ENDPOINT_TYPE"
            )
        raise decode_problem(reply).as_error(str(request))
    told = LoginReply.decode(reply.body)
    if told.needs_otp and not told.authenticated:
        raise OtpNeeded(401, kind=told.kind, title=told.title, request=str(request))
    if not told.authenticated:
        title = told.title or "The login was refused"
        raise api_error(401, kind=told.kind, title=title, detail=told.detail, request=str(request))
    if not (found := decode_cookies(cookies)):
        raise RemoteProtocolError(f"{server.url}: {request} let us in, and gave no cookie")
    return Login(username, told.access_key, found)


async def log_out(client: Client) -> None:
    """End the login that the client was opened with. One that has ended already is fine.

    Raises:
        ConfigError: nobody is logged in.
        ApiError: the server failed.

    Endpoint: ``POST /server/logout`` (contract section 2.4).
    """
    request = Request("POST", LOGOUT_PATH)
    headers = client.signed_headers(request)
    async with client.open_reply(
        request, headers, at=client.config.endpoint, silence_seconds=HEADERS_SECONDS
    ) as stream:
        reply = await stream.read_all()
    if reply.status >= 300:
        error = decode_problem(reply).as_error(str(request))
        if not isinstance(error, AuthError):
            raise error
