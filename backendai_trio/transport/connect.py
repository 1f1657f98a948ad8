"""Opening connections: TCP, the proxy on the way, and TLS."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import trio

from .._groups import one_error
from ..config.settings import Config, Endpoint
from .exceptions import Unreachable, connect_error
from .proxies import Proxy, open_socks, open_tunnel, proxy_of
from .tls import ClientTLS, SessionRefused, handshake, verifying_context

__all__ = ["SocketOption", "connect", "keepalive_options", "open_stream", "socket_of"]

SocketOption = tuple[int, int, int]
"""Arguments of `setsockopt`."""

_ABORT_SECONDS = 1.0
"""Closing without a farewell takes no time to speak of; this bounds it all the same."""


async def open_stream(
    config: Config, tls: ClientTLS | None, *, socket_options: Sequence[SocketOption] = ()
) -> trio.abc.Stream:
    """Connect to the client's server; bytes go through proxies as they are. The caller closes it.

    Args:
        config: the settings: the server, and the proxy on the way to it.
        tls: the client's (`Client.tls`); None for plain HTTP.
        socket_options: for the TCP connection, be it to the server or to the proxy.

    Raises:
        ConnectionFailed: the server or the proxy cannot be reached, the proxy refuses, the TLS
            handshake fails, or all of it takes longer than `Config.connect_seconds`.
        ConfigError: the proxy's address is none, or the certificates of `Config.ca_file` cannot
            be read.
    """
    return await connect(
        config, config.endpoint, proxy_of(config), tls, tunnel=True, socket_options=socket_options
    )


async def connect(
    config: Config,
    endpoint: Endpoint,
    proxy: Proxy | None,
    tls: ClientTLS | None,
    *,
    tunnel: bool,
    socket_options: Sequence[SocketOption],
) -> trio.abc.Stream:
    """Connect to a server, or to the HTTP proxy that takes requests for it.

    Args:
        config: the settings of the client.
        endpoint: the server, which need not be the client's.
        proxy: the proxy on the way; None for none.
        tls: for a server on ``https``; None takes a context that checks certificates.
        tunnel: whether an HTTP proxy must pass bytes as they are. It does so for ``https`` always;
            requests for ``http`` can be given to the proxy itself.
        socket_options: for the TCP connection.

    Raises:
        ConnectionFailed, ConfigError: see `open_stream`.
    """
    seconds = config.connect_seconds
    if endpoint.scheme != "https":
        tls = None
    elif tls is None:
        tls = ClientTLS(verifying_context(config.ca_file))
    with trio.move_on_after(seconds):
        while True:
            stream = await _connect_below_tls(config, endpoint, proxy, tunnel, socket_options)
            if tls is None:
                return stream
            try:
                with _named_server(endpoint, config):
                    return await tls.secure(stream, endpoint)
            except SessionRefused:
                await _abort(stream)  # the next handshake is a whole one
            except BaseException:  # cancelled, too: nobody else would close it
                await _abort(stream)  # noqa: ASYNC102 (shielded there)
                raise
    if proxy is not None:
        raise Unreachable(
            f"{proxy} did not lead to {endpoint.url} within {seconds:g} s; check {proxy.variable} "
            "and BACKEND_ENDPOINT, or set BACKEND_CONNECTION_TIMEOUT to more seconds"
        )
    raise Unreachable(
        f"{endpoint.url} did not take a connection within {seconds:g} s; "
        "check BACKEND_ENDPOINT and the network, or set BACKEND_CONNECTION_TIMEOUT to more seconds"
    )


async def _connect_below_tls(
    config: Config,
    endpoint: Endpoint,
    proxy: Proxy | None,
    tunnel: bool,
    socket_options: Sequence[SocketOption],
) -> trio.abc.Stream:
    """Connect by TCP, and go through the proxy; see `connect`."""
    is_secure = proxy is not None and proxy.scheme == "https"
    context = verifying_context(config.ca_file) if is_secure else None
    stream: trio.abc.Stream = await _connect_tcp(config, endpoint, proxy)
    try:
        for option in socket_options:
            socket_of(stream).setsockopt(*option)
        if proxy is not None and not proxy.is_socks:
            if context is not None:
                with _named_proxy(proxy, config):
                    stream = await handshake(stream, context, proxy.host)
            if tunnel or endpoint.scheme == "https":
                headers = {"User-Agent": config.user_agent}
                await open_tunnel(stream, proxy, endpoint, headers)
    except BaseException:  # cancelled, too: nobody else would close it
        await _abort(stream)  # noqa: ASYNC102 (shielded there)
        raise
    return stream


async def _abort(stream: trio.abc.Stream) -> None:
    with trio.move_on_after(_ABORT_SECONDS, shield=True):
        await trio.aclose_forcefully(stream)


async def _connect_tcp(
    config: Config, endpoint: Endpoint, proxy: Proxy | None
) -> trio.SocketStream:
    if proxy is None:
        with _named_server(endpoint, config):
            return await trio.open_tcp_stream(endpoint.host, endpoint.port)
    if proxy.is_socks:
        return await open_socks(proxy, endpoint)
    with _named_proxy(proxy, config):
        return await trio.open_tcp_stream(proxy.host, proxy.port)


def _named_server(endpoint: Endpoint, config: Config) -> AbstractContextManager[None]:
    advice = "check BACKEND_ENDPOINT, and that the server is up"
    return _named(endpoint.url, "BACKEND_ENDPOINT", advice, config)


def _named_proxy(proxy: Proxy, config: Config) -> AbstractContextManager[None]:
    advice = f"check {proxy.variable}, and that the proxy is up; or name the server in NO_PROXY"
    return _named(str(proxy), proxy.variable, advice, config)


@contextmanager
def _named(name: str, variable: str, advice: str, config: Config) -> Iterator[None]:
    try:
        with one_error():  # Trio connects in a nursery: a cancellation comes as a group
            yield
    except (OSError, trio.BrokenResourceError) as exc:
        raise connect_error(exc, name, variable, advice, ca_file=config.ca_file) from exc


def socket_of(stream: trio.abc.Stream) -> trio.socket.SocketType:
    """The socket under a stream of this module."""
    while isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    assert isinstance(stream, trio.SocketStream)
    return stream.socket


def keepalive_options(
    idle: int, interval: int, probes: int, *, unacknowledged: float | None = None
) -> list[SocketOption]:
    """Let TCP notice a peer that is gone.

    Args:
        idle: seconds without a byte after which it is probed.
        interval: seconds between probes.
        probes: how many of them have to stay unanswered.
        unacknowledged: seconds after which sent bytes that were not acknowledged end the
            connection, be it that the peer is gone or that it has no room for them. Probes are not
            sent meanwhile, and TCP's own patience is 15 minutes and more.

    Returns:
        Arguments of `setsockopt`, as far as the platform has them.
    """
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (
        ("TCP_KEEPIDLE", idle),
        ("TCP_KEEPALIVE", idle),  # its name on macOS
        ("TCP_KEEPINTVL", interval),
        ("TCP_KEEPCNT", probes),
        ("TCP_USER_TIMEOUT", unacknowledged and int(1000 * unacknowledged)),
    ):
        if value and hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options
