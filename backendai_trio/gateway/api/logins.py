"""Logins with a password, as the web server in front of a manager has them.

`LoginServer` wraps the application. It answers logins with a cookie. From requests below ``/func``
it removes that prefix, and it tells the application whose cookie they have in place of a signature.
"""

from __future__ import annotations

import hmac
import secrets

import trio
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import RemoteProtocolError
from ...wire.http import JSON, PROBLEM, Problem, encode_problem
from ...wire.json_fields import encode_json
from ...wire.logins import (
    LOGIN_CHECK_PATH,
    LOGIN_PATH,
    LOGOUT_PATH,
    OTP_DETAIL,
    OTP_KIND,
    LoginReply,
    LoginRequest,
)
from ..bodies import read_body
from ..refusals import Refused
from ..settings import Account
from .auth import LOGGED_IN

__all__ = ["LoginServer"]

_COOKIE = "BACKENDAI_TRIO_SESSION"
_PREFIX = "/func"
_BODY_BYTES = 64 * 1024
# The web server's defaults.
_ALLOWED_FAILURES = 10
_BLOCKED_SECONDS = 1200.0


class LoginServer:
    """An ASGI application around another one."""

    def __init__(
        self, app: ASGIApp, account: Account, access_key: str, *, secure: bool, body_seconds: float
    ) -> None:
        """
        Args:
            app: the application to wrap.
            account: who may log in.
            access_key: of all requests with a login's cookie.
            secure: whether it is served with TLS.
            body_seconds: how long the body of a login may take to arrive.
        """
        self._app = app
        self._account = account
        self._access_key = access_key
        self._secure = secure
        self._body_seconds = body_seconds
        self._logins: dict[str, float] = {}  # cookie -> expiry, on Trio's clock
        self._failures = 0
        self._last_failure = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.startswith(f"{_PREFIX}/"):
            logged_in = self._access_key if self._is_known(HTTPConnection(scope)) else ""
            raw_path = scope["raw_path"].removeprefix(_PREFIX.encode())
            scope = {
                **scope,
                "path": path.removeprefix(_PREFIX),
                "raw_path": raw_path,
                LOGGED_IN: logged_in,
            }
        elif scope["type"] == "http" and scope["method"] == "POST":
            serve = {
                LOGIN_PATH: self._log_in,
                LOGOUT_PATH: self._log_out,
                LOGIN_CHECK_PATH: self._check,
            }.get(path)
            if serve is not None:
                await (await serve(Request(scope, receive)))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _log_in(self, request: Request) -> Response:
        try:
            login = LoginRequest.decode(await read_body(request, _BODY_BYTES, self._body_seconds))
        except Refused as exc:
            return _problem(exc.problem)
        except RemoteProtocolError as exc:
            return _problem(Problem(400, "invalid-api-params", "Malformed request", str(exc)))
        except ClientDisconnect:
            return Response()  # no client reads it
        now = trio.current_time()
        if now - self._last_failure > _BLOCKED_SECONDS:
            self._failures = 0
        if self._failures >= _ALLOWED_FAILURES:
            return _problem(Problem(429, "too-many-requests", "Too many failed login attempts"))
        refusal = self._refusal(login)
        if refusal is None:
            self._failures = 0
            cookie = secrets.token_urlsafe(32)
            self._logins[cookie] = now + self._account.login_seconds
            response = _answer(LoginReply(True, self._access_key).encode())
            response.set_cookie(
                _COOKIE, cookie, httponly=True, samesite="strict", secure=self._secure
            )
            return response
        if refusal.needs_otp:
            return _answer(refusal.encode())
        self._failures += 1
        self._last_failure = now
        return _answer(refusal.encode(), 401)

    def _refusal(self, login: LoginRequest) -> LoginReply | None:
        """The answer to a login that fails; None if it succeeds."""
        account = self._account
        # Always compares both, so that the time it takes reveals nothing.
        known = _equal(login.username, account.username)
        if not (_equal(login.password, account.password) and known):
            title = "Wrong user name or password"
            return LoginReply(False, kind="auth-failed", title=title, detail=title)
        if account.otp is None:
            return None
        if login.otp is None:
            return LoginReply(
                False,
                kind=OTP_KIND,
                title="Two-Factor Authentication needed.",
                detail=OTP_DETAIL,
            )
        if not _equal(login.otp, account.otp):
            title = "Invalid TOTP code provided"
            return LoginReply(False, kind="rejected-by-hook", title=title)
        return None

    async def _log_out(self, request: Request) -> Response:  # noqa: ASYNC124 (like its siblings)
        self._logins.pop(request.cookies.get(_COOKIE, ""), None)
        return _answer(b"{}")

    async def _check(self, request: Request) -> Response:  # noqa: ASYNC124 (like its siblings)
        known = self._is_known(request)
        data = {"access_key": self._access_key, "role": "user"} if known else None
        return _answer(encode_json({"authenticated": known, "data": data}))

    def _is_known(self, request: HTTPConnection) -> bool:
        now = trio.current_time()
        self._logins = {cookie: expiry for cookie, expiry in self._logins.items() if expiry > now}
        return request.cookies.get(_COOKIE, "") in self._logins


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def _answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type=JSON)


def _problem(problem: Problem) -> Response:
    body = encode_problem(problem, separate_detail=True)
    return Response(body, problem.status, media_type=PROBLEM)
