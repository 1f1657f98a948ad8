"""The settings of a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Config", "Endpoint", "Login"]

CONNECT_SECONDS = 10.0
"""Limit for opening a connection, where no setting says another."""
ANSWER_SECONDS = 60.0
"""Limit for each wait on an ordinary answer, where no setting says another. Long polls are answered
within about 2 s."""
DEFAULT_PORTS = {"http": 80, "https": 443}


class Endpoint(NamedTuple):
    """The address of a server, parsed."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    """Host name or address, ASCII (IDNA), lower case, IPv6 without brackets."""
    port: int
    """TCP port, the scheme's own when the URL had none."""
    base_path: str
    """Path in front of the API's own: ``""`` or ``/prefix``, without a trailing slash."""

    @property
    def host_header(self) -> str:
        """The Host header that is sent and signed, with the port only if it is not the default.

        Both sides must agree on it byte by byte (docs/protocol.md, section 2.2).
        """
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == DEFAULT_PORTS[self.scheme] else f"{name}:{self.port}"

    @property
    def url(self) -> str:
        """The address as text, without a trailing slash."""
        return f"{self.scheme}://{self.host_header}{self.base_path}"


@dataclass(frozen=True, slots=True)
class Login:
    """The login of a user at a server with `endpoint_type` ``session``."""

    username: str
    access_key: str
    """Access key that the server signs with; ``""`` if the server did not send it."""
    cookies: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one client. The secret key never shows in `repr`."""

    endpoint: Endpoint
    access_key: str
    """``""`` if `endpoint_type` is ``session`` and nobody is logged in."""
    secret_key: str = field(repr=False)
    endpoint_type: str = "api"
    """``api`` for a manager. ``session`` for a web server in front of a manager: users log in there
    with a password, and it signs their requests."""
    login: Login | None = None
    """The login to use if `endpoint_type` is ``session``; None before the login."""
    hash_name: str = "sha256"
    """Hash function of the signature, one of `hashlib.algorithms_guaranteed`."""
    ca_file: str | None = None
    """PEM file with certificates to trust in addition to the system's."""
    verify_tls: bool = True
    proxy: str | None = field(default=None, repr=False)
    """URL of the HTTP or SOCKS proxy to go through; may hold a password."""
    proxy_variable: str = ""
    """Environment variable that names the proxy, for messages; ``""`` if none does."""
    connect_seconds: float = CONNECT_SECONDS
    """Limit in seconds for opening a connection, the TLS handshake included."""
    answer_seconds: float = ANSWER_SECONDS
    """Limit in seconds for each wait on an ordinary answer: for its head, or for more of its body.
    Answers that may take minutes to begin, such as that to a create, have none until then."""
    grace_seconds: float = 10.0
    """How many seconds a cancelled block may take to interrupt code and destroy its kernel; six
    times as many for a manager's kernel that does not run yet (`open_kernel`)."""
    user_agent: str = "backendai-trio"
    other_endpoints: tuple[Endpoint, ...] = ()
    """Further addresses of the same server, to use where `endpoint` cannot be reached."""
    domain: str = ""
    """Domain of new kernels that name none; ``""`` leaves it to the server."""
    project: str = ""
    """Project of new kernels that name none; ``""`` leaves it to the server."""
    mounts: tuple[str, ...] = ()
    """Virtual folders that each new kernel gets beside its own, as `KernelSpec.mounts` has them."""
    storage_proxies: tuple[tuple[Endpoint, Endpoint], ...] = ()
    """Pairs: the address of a storage proxy as the server gives it, without a path, and the one to
    reach it at."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All addresses of the server, `endpoint` first."""
        return (self.endpoint, *self.other_endpoints)

    @property
    def api(self) -> Endpoint:
        """The endpoint of the manager's API: `endpoint`, or its ``/func`` on a web server."""
        if self.endpoint_type != "session":
            return self.endpoint
        return self.endpoint._replace(base_path=f"{self.endpoint.base_path}/func")

    def storage_proxy(self, endpoint: Endpoint) -> Endpoint:
        """Where to reach a storage proxy.

        Args:
            endpoint: its address, as the server gives it.
        """
        for given, reached in self.storage_proxies:
            if given[:3] == endpoint[:3]:
                return reached._replace(base_path=reached.base_path + endpoint.base_path)
        return endpoint

    @property
    def user(self) -> str:
        """The user that requests act as, to show to people."""
        if self.endpoint_type != "session":
            return self.access_key
        return self.login.username if self.login is not None else "nobody"

    @property
    def masked_secret_key(self) -> str:
        """The secret key, all but the first and last four characters replaced by ``*``."""
        if not self.secret_key:
            return ""
        return f"{self.secret_key[:4]}{'*' * 32}{self.secret_key[-4:]}"
