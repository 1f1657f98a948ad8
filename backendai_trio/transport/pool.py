"""Pools of connections, made as the settings ask for them."""

from __future__ import annotations

import socket
import ssl
import warnings
from contextlib import AbstractAsyncContextManager

import httpcore2

from ..config.settings import Config
from ..errors import ConfigError, InsecureConnectionWarning
from .http1 import Pool
from .proxied import ProxiedPool, proxy_of
from .requests import Exchanges

__all__ = ["keepalive_options", "open_pool", "tls_context"]

_MAX_CONNECTIONS = 100
# Below the keep-alive time of any server we know of (hypercorn 5 s, aiohttp 15 s and more), so that
# a request is hardly ever sent on a connection that the server is about to close.
_KEEPALIVE_SECONDS = 4.0

warnings.filterwarnings("always", category=InsecureConnectionWarning)


def open_pool(config: Config, tls: ssl.SSLContext | None) -> AbstractAsyncContextManager[Exchanges]:
    """A pool of connections to the server, through the proxy if there is one.

    Args:
        config: the settings.
        tls: what `tls_context` says.

    Raises:
        ConfigError: the proxy's address is none.
    """
    proxy = proxy_of(config)
    if proxy is None:
        return Pool(
            ssl_context=tls,
            max_connections=_MAX_CONNECTIONS,
            keepalive_seconds=_KEEPALIVE_SECONDS,
            # Within a minute, however long an answer may take.
            socket_options=keepalive_options(30, 10, 3),
        )
    return ProxiedPool(
        httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            proxy=proxy,
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_SECONDS,
        )
    )


def tls_context(config: Config) -> ssl.SSLContext | None:
    """How to check the server's certificate; None for plain HTTP."""
    if config.endpoint.scheme != "https":
        return None
    # Trust what the system trusts, on every platform (truststore comes with httpcore2).
    context = httpcore2.default_ssl_context()
    if config.ca_file is not None:
        try:
            context.load_verify_locations(config.ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(
                "BACKEND_CA_FILE", f"{config.ca_file!r} holds no PEM certificates ({exc})"
            ) from None
    if not config.verify_tls:
        warnings.warn(
            f"certificate checks are off for {config.endpoint.url} "
            "(BACKEND_SKIP_SSLCERT_VALIDATION): anyone on the way can read and change everything",
            InsecureConnectionWarning,
            stacklevel=4,
        )
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def keepalive_options(idle: int, interval: int, probes: int) -> list[tuple[int, int, int]]:
    """Let TCP notice a peer that is gone.

    Args:
        idle: seconds without a byte after which it asks.
        interval: seconds between its questions.
        probes: how many of them have to stay unanswered.

    Returns:
        Arguments of `setsockopt`, as far as the platform has them.
    """
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (
        ("TCP_KEEPIDLE", idle),
        ("TCP_KEEPALIVE", idle),  # its name on macOS
        ("TCP_KEEPINTVL", interval),
        ("TCP_KEEPCNT", probes),
    ):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options
