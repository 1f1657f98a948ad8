"""Authorization of requests: a signature with a key pair, or the cookie of a login."""

from __future__ import annotations

from typing import Protocol

from ..config.settings import Config, Endpoint
from ..errors import ConfigError
from ..wire.http import Request
from ..wire.logins import encode_cookies
from ..wire.signing import Signed, body_is_signed, sign

__all__ = ["Authorization", "authorization_of"]


class Authorization(Protocol):
    """How requests are authorized.

    Attributes:
        advice: what its user can do when a server answers with status 401.
    """

    advice: str

    def headers(
        self,
        request: Request,
        endpoint: Endpoint,
        *,
        date: str,
        version: str,
        body_digest: str | None,
    ) -> dict[str, str]:
        """The headers that authorize a request.

        Args:
            request: what is to be sent.
            endpoint: where to: the server's address in use.
            date: its Date header.
            version: its API version header.
            body_digest: hexadecimal hash of a body that is sent as a stream.

        Raises:
            ConfigError: a login is needed, and there is none.
        """


class _KeyPair:
    advice = "check BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._last_parts: tuple[object, ...] = ()
        self._last_authorization = ""

    def headers(
        self,
        request: Request,
        endpoint: Endpoint,
        *,
        date: str,
        version: str,
        body_digest: str | None,
    ) -> dict[str, str]:
        target = endpoint.base_path + request.target
        host = endpoint.host_header
        parts = (request.method, target, date, host, request.content_type, version)
        if parts == self._last_parts:  # polls that follow each other within a second
            return {"Authorization": self._last_authorization}
        config = self._config
        authorization = sign(
            Signed(
                request.method, target, date, host, request.content_type, version,
                body=request.body, body_digest=body_digest,
            ),
            access_key=config.access_key,
            secret_key=config.secret_key,
            hash_name=config.hash_name,
        )  # fmt: skip
        if not body_is_signed(version, request.content_type):
            self._last_parts, self._last_authorization = parts, authorization
        return {"Authorization": authorization}


class _Cookies:
    advice = "the login may have expired: run 'backend.ai login'"

    def __init__(self, config: Config) -> None:
        self._config = config

    def headers(
        self,
        request: Request,
        endpoint: Endpoint,
        *,
        date: str,
        version: str,
        body_digest: str | None,
    ) -> dict[str, str]:
        login = self._config.login
        if login is None:
            raise ConfigError(
                "BACKEND_ENDPOINT_TYPE",
                f"session, and nobody is logged in at {self._config.endpoint.url}; "
                "run 'backend.ai login'",
            )
        return {"Cookie": encode_cookies(login.cookies)}


def authorization_of(config: Config) -> Authorization:
    """How the settings say that requests are authorized."""
    return _Cookies(config) if config.endpoint_type == "session" else _KeyPair(config)
