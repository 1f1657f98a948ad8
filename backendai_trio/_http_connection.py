"""A connection to the HTTP server: hypercorn's, with what it lacks."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Any, cast

import h11
import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol, H11WSConnection
from hypercorn.protocol.ws_stream import FrameTooLargeError, WebsocketBuffer, WSStream
from hypercorn.trio.tcp_server import TCPServer

from ._read_share import QUEUE_PLACES

if TYPE_CHECKING:
    from hypercorn.config import Config as HypercornConfig
    from hypercorn.trio.worker_context import WorkerContext
    from hypercorn.typing import (
        AppWrapper,
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        ASGISendEvent,
        ConnectionState,
        Scope,
        TaskGroup,
    )
    from wsproto.events import Message

    from ._read_share import ConnectionShare

__all__ = ["HttpConnection"]

_EXTENSIONS = b"sec-websocket-extensions"
_DISCONNECTS = ("http.disconnect", "websocket.disconnect")


class _Http1(H11Protocol):
    """HTTP/1.1 and WebSockets, and nothing that hypercorn can turn a connection into besides."""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Do not change to HTTP/2: its limits would be others."""

    async def handle(self, event: Event) -> None:
        """Handle what has arrived; see `H11Protocol.handle`."""
        if isinstance(event, RawData) and event.data and self._is_in_handshake:
            await self._refuse_early_data()
        else:
            await super().handle(event)

    async def _create_stream(self, request: h11.Request) -> None:
        # Without compression of WebSockets: a message is decompressed before its size is looked at,
        # and a kilobyte may be a megabyte then.
        headers = [item for item in request.headers if item[0] != _EXTENSIONS]
        await super()._create_stream(
            h11.Request(
                method=request.method,
                target=request.target,
                headers=headers,
                http_version=request.http_version,
            )
        )
        if isinstance(self.stream, WSStream):
            self.stream.buffer = _MessageBuffer(self.config.websocket_max_message_size)
        if isinstance(self.connection, H11WSConnection) and self.connection.buffer:
            await self._refuse_early_data()
        elif self.stream is not None and self.stream.closed:
            # A malformed handshake is answered. Hypercorn 0.18 would wait for the client to leave.
            await self.send(Closed())

    @property
    def _is_in_handshake(self) -> bool:
        """Whether a WebSocket was asked for, and there is no answer yet."""
        return isinstance(self.stream, WSStream) and not self.stream.handshake.accepted

    async def _refuse_early_data(self) -> None:
        """Close a connection whose client has not waited for the answer to its handshake (RFC 6455,
        section 4.1). Hypercorn 0.18 may answer it twice, which ends the server."""
        await self.send(Closed())


class _MessageBuffer(WebsocketBuffer):
    """A message of a WebSocket as it arrives. Hypercorn 0.18 goes on to keep one that is too large,
    until the client closes the WebSocket."""

    def extend(self, event: Message[Any]) -> None:
        """Add a part; see `WebsocketBuffer.extend`.

        Raises:
            FrameTooLargeError: the message is too large.
        """
        if self.length > self.max_length:
            raise FrameTooLargeError
        super().extend(event)


class HttpConnection(TCPServer):
    """Hypercorn's connection, with some differences.

    It speaks `_Http1`. It reads more at once; hypercorn's own size is a constant of a module. And
    it ends when the client has closed it and the last response is done: hypercorn 0.18 keeps the
    socket, and the descriptor, until the connection would have been idle for too long.
    """

    _client_has_closed = False

    def __init__(
        self,
        app: AppWrapper,
        config: HypercornConfig,
        context: WorkerContext,
        state: ConnectionState,
        stream: trio.SSLStream[trio.SocketStream],
        *,
        share: ConnectionShare,
    ) -> None:
        """
        Args:
            app: the application.
            config: hypercorn's settings.
            context: of the server.
            state: of the connection.
            stream: the connection.
            share: how much it may read at once.
        """
        super().__init__(app, config, context, state, stream)
        self._share = share

    async def protocol_send(self, event: Event) -> None:
        """Do what the protocol asks for; see `TCPServer.protocol_send`."""
        if self._client_has_closed and isinstance(event, Updated):
            return  # nothing is waited for any more
        if isinstance(event, Updated) and event.idle:
            self._share.note(0)  # until its next request
        if isinstance(event, Closed):
            # First for the application: what it sends now is dropped. It is no error, which
            # hypercorn would answer over a connection that is about to close.
            await self.protocol.handle(event)
        try:
            await super().protocol_send(event)
        except trio.BusyResourceError:
            # The connection is being closed at this moment: hypercorn 0.18 does that without its
            # `send_lock`.
            await trio.lowlevel.checkpoint()

    async def _read_data(self) -> None:
        made = self.protocol.protocol
        assert isinstance(made, H11Protocol)
        self.protocol.protocol = _Http1(
            made.app,
            made.config,
            made.context,
            cast("TaskGroup", _Applications(made.task_group, self._share)),
            made.connection_state,
            made.ssl,
            made.client,
            made.server,
            made.send,
        )
        while True:
            try:
                with trio.fail_after(self.config.read_timeout or inf):
                    data = bytes(await self.stream.receive_some(self._share.read_bytes))
            except (trio.ClosedResourceError, trio.BrokenResourceError, trio.TooSlowError):
                break
            self._share.note(len(data))
            await self.protocol.handle(RawData(data))
            if not data:
                break
        self._client_has_closed = True
        await self.idle_task.stop()
        await self.protocol.handle(Closed())


class _Applications:
    """Starts applications, each with a queue of its messages.

    Instead of hypercorn's `TaskGroup`, whose queues (hypercorn 0.18) have no room for the message
    of a disconnect when the application does not receive what its client sends: then the end of its
    response waits for ever, and so does the connection.

    Args:
        group: hypercorn's own.
        share: how much may wait in a queue.
    """

    def __init__(self, group: TaskGroup, share: ConnectionShare) -> None:
        self._group = group
        self._share = share

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        """See `TaskGroup.spawn`."""
        self._group.spawn(function, *args)

    async def spawn_app(
        self,
        app: AppWrapper,
        config: HypercornConfig,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Start an application; see `TaskGroup.spawn_app`.

        Returns:
            Puts a message into its queue. After a disconnect, messages are dropped.
        """
        room = trio.Semaphore(QUEUE_PLACES)
        taken: deque[int] = deque()
        is_over = False

        def release(places: int) -> None:
            for _ in range(places):
                room.release()

        async def run(
            scope: Scope,
            receive: ASGIReceiveCallable,
            send: ASGISendCallable,
            sync_spawn: Callable[..., Any],
            call_soon: Callable[..., Any],
        ) -> None:
            async def receive_one() -> ASGIReceiveEvent:
                message = await receive()
                release(taken.popleft())
                return message

            await app(scope, receive_one, send, sync_spawn, call_soon)

        put = await self._group.spawn_app(run, config, scope, send)

        async def put_where_is_room(message: ASGIReceiveEvent) -> None:
            nonlocal is_over
            if message["type"] in _DISCONNECTS:
                is_over = True
                taken.append(0)
                release(QUEUE_PLACES)  # the connection's reader may wait for them
            else:
                places = self._share.places
                for _ in range(places):
                    if not is_over:
                        await room.acquire()
                if is_over:  # it takes no places: nobody would give them back
                    await trio.lowlevel.checkpoint()
                    return
                taken.append(places)
            await put(message)

        return put_where_is_room
