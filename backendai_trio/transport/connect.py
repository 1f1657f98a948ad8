"""Connections to a client's server: through the proxy if there is one, with TLS if it has that."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import trio

from ..config.settings import Config
from .proxied import open_tunnel, proxy_of
from .sockets import PlainStream

__all__ = ["open_stream"]

_ABORT_SECONDS = 1.0
"""Closing without a word takes no time to speak of; this bounds it all the same."""


async def open_stream(
    config: Config,
    tls: ssl.SSLContext | None,
    *,
    socket_options: Sequence[tuple[int, int, int]] = (),
) -> trio.abc.Stream:
    """Connect to the server; bytes go as they are from then on. The caller closes the stream.

    Args:
        config: the settings: the server, and the proxy on the way to it.
        tls: the client's TLS context; None for plain HTTP. Making one takes 50 to 115 ms and blocks
            the event loop, so a client has one for all of its connections.
        socket_options: arguments of `setsockopt` for the TCP connection.

    Raises:
        ConnectionFailed: the proxy cannot be reached, or refuses.
        OSError: the server cannot be reached.
        trio.BrokenResourceError: the TLS handshake failed; its cause is the `ssl.SSLError`.
    """
    endpoint = config.endpoint
    proxy = proxy_of(config)
    stream: trio.abc.Stream
    if proxy is not None:
        stream = await open_tunnel(config, proxy, socket_options)
    else:
        stream = direct = await trio.open_tcp_stream(endpoint.host, endpoint.port)
        for option in socket_options:
            direct.setsockopt(*option)
    if tls is None:
        return PlainStream.of(stream) if isinstance(stream, trio.SocketStream) else stream
    secure = trio.SSLStream(stream, tls, server_hostname=endpoint.host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:  # cancelled, too: nobody else would close it
        with trio.move_on_after(_ABORT_SECONDS, shield=True):
            await trio.aclose_forcefully(stream)
        raise
    return secure
