"""Logins at a web server in front of a manager, with user name and password.

Source: docs/protocol.md, sections 2.4 and 2.5. The web server replies with a cookie, and signs the
user's requests below ``/func`` that carry it. When a one-time password is missing, the status is
200; when the password is wrong, it is 401 (200 from older servers). ``data`` says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from ..errors import RemoteProtocolError
from .json_fields import Fields, encode_json

__all__ = ["LOGIN_EXISTS", "LoginReply", "LoginRequest", "decode_cookies", "encode_cookies"]

LOGIN_PATH = "/server/login"
LOGOUT_PATH = "/server/logout"
LOGIN_CHECK_PATH = "/server/login-check"

_PROBLEMS = "https://api.backend.ai/probs/"
LOGIN_EXISTS = "active-login-session-exists"
"""Kind of the refusal of one login too many."""
OTP_KIND = "require-totp-authentication"
OTP_DETAIL = "OTP not provided"
"""What client 23.9.10 looks for."""
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[\x21-\x3a\x3c-\x7e]*")


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A request for a cookie."""

    username: str
    """``username``: an e-mail address or a name."""
    password: str = field(repr=False)
    otp: str | None = field(default=None, repr=False)
    """``otp``: the one-time password, if the user has set that up."""
    force: bool = False
    """``force``: an older login ends, where the server allows no more (managers from 26.4 on)."""

    def encode(self) -> bytes:
        """JSON body."""
        body = {"username": self.username, "password": self.password}
        more: dict[str, object] = {} if self.otp is None else {"otp": self.otp}
        if self.force:
            more["force"] = True
        return encode_json(body | more)

    @classmethod
    def decode(cls, body: bytes) -> LoginRequest:
        """Read the body."""
        top = Fields.parse(body, "login")
        otp = top.text("otp", default="")
        force = top.flag("force", default=False)
        return cls(top.text("username"), top.text("password"), otp or None, force)


@dataclass(frozen=True, slots=True)
class LoginReply:
    """Whether the login succeeded; the cookie is in a header."""

    authenticated: bool
    access_key: str = ""
    """``data.access_key``: of the key pair with which the web server signs."""
    kind: str = ""
    """Last part of ``data.type``, if the login failed."""
    title: str = ""
    """``data.title``, likewise."""
    detail: str = ""
    """``data.details``, likewise."""

    @property
    def needs_otp(self) -> bool:
        """Whether the password is right, and a one-time password is required as well."""
        return self.kind == OTP_KIND or self.detail == OTP_DETAIL

    def encode(self) -> bytes:
        """JSON body."""
        data: dict[str, object] = {"access_key": self.access_key, "role": "user"}
        if not self.authenticated:
            data = {"type": _PROBLEMS + self.kind, "title": self.title, "details": self.detail}
        return encode_json({"authenticated": self.authenticated, "data": data})

    @classmethod
    def is_encoded_in(cls, body: bytes) -> bool:
        """Whether a body is such a reply: refusals of managers from 26.4 on come with any status
        (docs/protocol.md, section 2.5)."""
        try:
            return "authenticated" in Fields.parse(body, "reply to login").everything()
        except RemoteProtocolError:
            return False

    @classmethod
    def decode(cls, body: bytes) -> LoginReply:
        """Read the body."""
        top = Fields.parse(body, "reply to login")
        if top.raw("data") is None:
            return cls(top.flag("authenticated", default=False))
        data = top.nested("data")
        return cls(
            top.flag("authenticated", default=False),
            data.text("access_key", default=""),
            data.text("type", default="").removeprefix(_PROBLEMS),
            data.text("title", default=""),
            data.text("details", default=""),
        )


def decode_cookies(lines: Iterable[str]) -> dict[str, str]:
    """The cookies of ``Set-Cookie`` or ``Cookie`` headers, with unchanged values.

    Raises:
        RemoteProtocolError: one of them cannot be sent back.
    """
    found: dict[str, str] = {}
    for line in lines:
        try:
            parsed: SimpleCookie = SimpleCookie(line)
        except CookieError as exc:
            raise RemoteProtocolError(f"malformed cookie ({exc})") from None
        for name, morsel in parsed.items():
            if not _COOKIE.fullmatch(f"{name}={morsel.coded_value}"):
                raise RemoteProtocolError(f"malformed cookie {name!r}")
            if morsel["max-age"] != "0":
                found[name] = morsel.coded_value
    return found


def encode_cookies(cookies: Mapping[str, str]) -> str:
    """The ``Cookie`` header."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
