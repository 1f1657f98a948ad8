"""Proxies on the way to a server: HTTP proxies (plain or over TLS), and SOCKS."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import trio

from ..config.endpoints import encode_host
from ..config.settings import Config, Endpoint
from ..errors import ConfigError, ConnectionFailed
from .exceptions import (
    Disconnected,
    MalformedRequest,
    MalformedResponse,
    Unreachable,
    connect_error,
)
from .limits import Limits
from .requests import encode_head
from .response_parser import ResponseParser

__all__ = ["Proxy", "open_socks", "open_tunnel", "proxy_of"]

_PORTS = {
    "http": 80, "https": 443,
    "socks": 1080, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080,
}  # fmt: skip
_LOCAL_NAMES = frozenset({"socks4", "socks", "socks5"})
"""Host names are looked up here, and the proxy is told an address, as curl does. The other two
leave that to the proxy."""
_SOCKS_CREDENTIAL_BYTES = 255
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address, taken apart once."""

    scheme: str
    host: str
    port: int
    variable: str
    """The environment variable that names it."""
    username: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, and not HTTP."""
        return self.scheme.startswith("socks")

    @property
    def can_log_in(self) -> bool:
        """Whether the user name and the password can be sent to it."""
        for text in (self.username or "", self.password):
            if self.is_socks and not (text.isascii() and len(text) <= _SOCKS_CREDENTIAL_BYTES):
                return False
            if any("\ud800" <= character <= "\udfff" for character in text):  # no UTF-8
                return False
        return True

    @property
    def headers(self) -> dict[str, str]:
        """What an HTTP proxy must be told beside the request: the user name and the password."""
        if self.username is None:
            return {}
        credentials = f"{self.username}:{self.password}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(credentials).decode()}"}

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"the proxy {self.scheme}://{host}:{self.port} ({self.variable})"

    def refusal(self, status: int, target: str) -> ConnectionFailed:
        """The error for a status that the proxy answered with, instead of passing something on.

        Args:
            status: HTTP status.
            target: where the way should have led.

        Returns:
            `Unreachable` only if it may be otherwise for another address: whom the proxy does not
            know, it lets through to none.
        """
        if status != 407:
            return Unreachable(
                f"{self} refused to connect to {target}: HTTP status {status}; ask its "
                "administrator, or name the server in NO_PROXY if it can be reached directly"
            )
        said = "wants a user name and a password" if self.username is None else (
            f"does not take the user name {self.username!r} with its password"
        )  # fmt: skip
        return ConnectionFailed(
            f"{self} {said} (HTTP status 407); set {self.variable} to "
            f"{self.scheme}://USER:PASSWORD@HOST:PORT, percent-encoded"
        )


def proxy_of(config: Config) -> Proxy | None:
    """The proxy that the settings name; None if connections go directly.

    User name and password are percent-decoded.

    Raises:
        ConfigError: it is not the URL of one, or its user name or password cannot be sent.
    """
    if config.proxy is None:
        return None
    variable = config.proxy_variable or f"{config.endpoint.scheme.upper()}_PROXY"
    scheme, _, rest = config.proxy.partition("://")
    scheme = scheme.lower()
    # The last @: passwords that should have been percent-encoded are taken as they are.
    credentials, at, address = rest.rpartition("@")
    username, _, password = credentials.partition(":")
    try:
        parts = urlsplit(f"//{address}")
        host = encode_host(parts.hostname or "")
        if scheme not in _PORTS or not host:
            raise ValueError
        port = parts.port or _PORTS[scheme]
    except ValueError:
        raise ConfigError(
            variable,
            "not the URL of a proxy; set it to one such as http://host:port or "
            "socks5://host:port, or unset it",
        ) from None
    if not at:
        return Proxy(scheme, host, port, variable)
    proxy = Proxy(scheme, host, port, variable, unquote(username), unquote(password))
    if not proxy.can_log_in:
        raise ConfigError(
            variable,
            "its user name or password cannot be sent to a proxy; a SOCKS proxy takes at most 255 "
            "ASCII characters of each",
        )
    return proxy


async def open_tunnel(
    stream: trio.abc.Stream, proxy: Proxy, endpoint: Endpoint, headers: Mapping[str, str]
) -> None:
    """Have an HTTP proxy connect a stream to a server; from then on it carries bytes as they are.

    Args:
        stream: a connection to the proxy. It is not closed here.
        proxy: the proxy.
        endpoint: the server.
        headers: for the proxy, beside its user name and password.

    Raises:
        ConnectionFailed: the proxy refuses, or is none of HTTP.

    Protocol: RFC 9110, section 9.3.6 (``CONNECT``).
    """
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    target = f"{host}:{endpoint.port}"
    everything = {"Host": target, **headers, **proxy.headers}
    response = ResponseParser("CONNECT", Limits())
    try:
        await stream.send_all(encode_head("CONNECT", target, everything))
        while not response.head_complete:
            response.feed(bytes(await stream.receive_some(_READ_BYTES)))
    except (trio.BrokenResourceError, Disconnected) as exc:
        raise Unreachable(
            f"{proxy} closed the connection instead of connecting to {target}; "
            f"check that {proxy.variable} names a proxy"
        ) from exc
    except (MalformedRequest, MalformedResponse) as exc:
        raise Unreachable(
            f"{proxy} does not answer as an HTTP proxy: {exc}; check {proxy.variable}"
        ) from exc
    if response.status >= 300:
        raise proxy.refusal(response.status, target)
    if not response.reusable and response.pieces:
        raise Unreachable(f"{proxy} sent something before the server was asked")


async def open_socks(proxy: Proxy, endpoint: Endpoint) -> trio.SocketStream:
    """Connect to a server through a SOCKS proxy.

    Args:
        proxy: the proxy.
        endpoint: the server.

    Raises:
        ConnectionFailed: the proxy cannot be reached, refuses, or is none of SOCKS.
    """
    # Imported here: few machines have such a proxy.
    from python_socks import ProxyConnectionError, ProxyError, ProxyType
    from python_socks.async_.trio import Proxy as SocksProxy

    kind = ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5
    socks = SocksProxy(
        kind,
        proxy.host,
        proxy.port,
        username=proxy.username,
        password=proxy.password,
        rdns=proxy.scheme not in _LOCAL_NAMES,
    )
    target = f"{endpoint.host}:{endpoint.port}"
    try:
        # The time to connect is limited by the caller; a minute is python-socks' own limit.
        connected = await socks.connect(endpoint.host, endpoint.port, timeout=math.inf)
    except ProxyConnectionError as exc:
        advice = f"check {proxy.variable}, and that the proxy is up; or name the server in NO_PROXY"
        raise connect_error(exc.__cause__ or exc, str(proxy), proxy.variable, advice) from None
    except (ProxyError, OSError) as exc:  # without their frames, which hold the password
        raise Unreachable(
            f"{proxy} did not connect to {target}: {exc}; check {proxy.variable}, "
            "whose URL may need a user name and a password, or ask its administrator"
        ) from None
    return trio.SocketStream(connected)
