"""WebSockets of a client: trio-websocket's connection, as the rest of the client uses it.

What this module adds: one error for every end of a connection, and that a message which is cut off
by a cancellation ends the connection, since the next frame would be taken for the message's rest.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio
import trio_websocket

from .._groups import one_error
from .websocket_transport import WebSocketTransport

__all__ = [
    "CLOSE_SECONDS",
    "CloseReason",
    "ConnectionClosed",
    "NotUpgraded",
    "Upgrade",
    "WebSocket",
]

_log = logging.getLogger("backendai_trio.websocket")

# That of managers from 20.03 on (docs/protocol.md, section 6.1).
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
# trio-websocket's reader puts messages into a queue, and stops reading while that is full.
_QUEUED_MESSAGES = 64
_MAX_REFUSAL_BYTES = 1024 * 1024
CLOSE_SECONDS = 2.0
"""Limit for the exchange of close frames."""
_ABNORMAL = 1006


@dataclass(frozen=True, slots=True)
class CloseReason:
    """Why a WebSocket was closed (RFC 6455, section 7.4)."""

    code: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


class ConnectionClosed(Exception):
    """The WebSocket was closed, by either side, or its connection broke.

    Attributes:
        reason: why; code 1006 if the connection broke.
    """

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class NotUpgraded(Exception):
    """The server neither opened a WebSocket nor refused it; the text continues "the server ..."."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request for a WebSocket.

    Attributes:
        host: what the Host header says.
        target: path and query, as they stand on the request line.
        headers: names and values, besides those of the protocol.
        subprotocols: names to offer.
    """

    host: str
    target: str = field(repr=False)
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    subprotocols: Sequence[str] = ()


class WebSocket:
    """A WebSocket of a client. Made by `backendai_trio.transport.websocket_connect`.

    Any number of tasks may send and receive. A reader task answers pings and queues messages; while
    the queue is full it does not read, so a slow receiver slows the server, and the answers to the
    server's pings are late as well. They stand behind the messages anyway.

    Attributes:
        subprotocol: the one that the server chose, if any was offered.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.subprotocol: str | None = None
        self._transport = WebSocketTransport(stream)
        self._connection: trio_websocket.WebSocketConnection
        self._left: CloseReason | None = None
        self._failure = ""
        self._ping_now = trio.Event()
        self._tasks: trio.CancelScope
        self._closing = trio.CancelScope()

    async def run(
        self,
        upgrade: Upgrade,
        *,
        answer_seconds: float,
        ping_seconds: float,
        receive_bytes: int,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Shake hands, then keep the connection going until it is closed.

        Args:
            upgrade: the request.
            answer_seconds: limit for the server's answer to it.
            ping_seconds: how often to send a ping.
            receive_bytes: how much to read at once.
            task_status: told when the WebSocket is open.

        Raises:
            trio_websocket.ConnectionRejected: the server refused the upgrade.
            NotUpgraded: it gave no answer, or none that is of the protocol.
        """
        started = False
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    self._connection = await self._shake_hands(
                        nursery, upgrade, answer_seconds, receive_bytes
                    )
                    self.subprotocol = self._connection.subprotocol
                    self._tasks = nursery.cancel_scope
                    started = True
                    task_status.started()
                    await self._send_pings(ping_seconds)
        except (NotUpgraded, trio_websocket.ConnectionRejected):
            raise
        except Exception as exc:
            if not started:
                raise NotUpgraded("broke the WebSocket protocol") from exc
            # The library's reader failed, as it does when a ping comes after our close frame. Its
            # failure must not cancel the user's tasks; they raise `ConnectionClosed`.
            _log.debug("the reader of a WebSocket failed", exc_info=exc)
            self._failure = f"the WebSocket library failed ({exc})"
        finally:
            self._closing.cancel()  # no close frame will be read any more
            await self._transport.abort()  # noqa: ASYNC102 (it is shielded, and bounded)

    async def _shake_hands(
        self,
        nursery: trio.Nursery,
        upgrade: Upgrade,
        answer_seconds: float,
        receive_bytes: int,
    ) -> trio_websocket.WebSocketConnection:
        transport = self._transport
        with trio.move_on_after(answer_seconds) as handshake:
            # The library waits for ever when the connection ends before the answer to the upgrade.
            # If the answer came first its wait is over already, and this changes nothing.
            transport.on_end = handshake.cancel
            transport.room = _MAX_REFUSAL_BYTES
            connection = await trio_websocket.wrap_client_stream(
                nursery,
                transport,  # type: ignore[arg-type]  # any stream will do
                upgrade.host,
                upgrade.target,
                subprotocols=upgrade.subprotocols,
                extra_headers=[(name.encode(), value.encode()) for name, value in upgrade.headers],
                message_queue_size=_QUEUED_MESSAGES,
                max_message_size=MAX_MESSAGE_BYTES,
                receive_buffer_size=receive_bytes,
            )
            transport.on_end = None
            transport.room = math.inf
            return connection
        if transport.end is not None:
            raise NotUpgraded(transport.end)
        raise NotUpgraded(f"did not answer within {answer_seconds:g} s")

    async def _send_pings(self, ping_seconds: float) -> None:
        """Send a ping now and then, and when `ping` asks for one; never wait for the answer.

        All pings are sent here, in a task that is only cancelled with the connection: a time limit
        around a ping could cut its frame off.
        """
        while self.closed is None:
            with trio.move_on_after(ping_seconds):
                await self._ping_now.wait()
            self._ping_now = trio.Event()
            with trio.CancelScope() as answer:
                # The library's `ping` waits for the pong, which may never come from a manager that
                # executes code.
                self._transport.on_ping_sent = answer.cancel
                try:
                    await self._connection.ping()
                except trio_websocket.ConnectionClosed:
                    return

    @property
    def closed(self) -> CloseReason | None:
        """Why the WebSocket is closed, or being closed by the server; None while it is open."""
        if self._left is not None:
            return self._left
        reason = self._connection.closed
        if reason is None:
            return CloseReason(_ABNORMAL, self._failure) if self._failure else None
        return CloseReason(reason.code, reason.reason or self._broken(reason.code))

    @property
    def waiting_since(self) -> float | None:
        """Since when not a byte has come from the server, in Trio's time.

        None while the reader does not read, because messages wait to be received.
        """
        return self._transport.waiting_since

    async def get_message(self) -> str | bytes:
        """Receive the next message; those that came before the server's close frame come first.

        Raises:
            ConnectionClosed: no more messages will come.

        Cancellation: loses nothing.
        """
        if self._left is not None:
            await trio.lowlevel.checkpoint()
            raise ConnectionClosed(self._left)
        try:
            return await self._connection.get_message()
        except trio_websocket.ConnectionClosed:
            raise self._closed_error() from None

    async def send_message(self, message: str | bytes) -> None:
        """Send a message; waits while the server is far behind.

        Raises:
            ConnectionClosed: nothing can be sent any more.

        Cancellation: a message that waits its turn is not sent. One whose sending has begun may be
            cut off; that ends the connection, and every other call raises `ConnectionClosed`.
        """
        if self.closed is None:
            try:
                await self._connection.send_message(message)
                return
            except trio_websocket.ConnectionClosed:
                pass
        await trio.lowlevel.checkpoint()
        raise self._closed_error()

    def ping(self) -> None:
        """Have a ping sent soon; the server's answer shows in `waiting_since`."""
        self._ping_now.set()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Exchange close frames, then close the connection; may be repeated.

        It takes 2 s (`CLOSE_SECONDS`) at most, also when cancelled. Calls of other tasks raise
        `ConnectionClosed`.

        Args:
            code: of the close frame.
            reason: of the close frame; at most 123 bytes are sent.
        """
        # A cancelled block has no time for that. While a server that is far behind keeps another
        # task's message waiting, the close frame would only wait behind it.
        hurried = trio.current_effective_deadline() == -math.inf or self._transport.sending
        if self.closed is None and not hurried:
            self._left = CloseReason(code, reason)
            self._closing.shield = True
            self._closing.deadline = trio.current_time() + CLOSE_SECONDS
            with self._closing:
                await self._connection.aclose(code, reason or None)
        await self.abort(CloseReason(code, reason))

    async def abort(self, reason: CloseReason | None = None) -> None:
        """Close the connection without a close frame; may be repeated.

        It takes no time to speak of, also when cancelled.

        Args:
            reason: what calls of other tasks raise.
        """
        if self._left is None:
            dropped = CloseReason(_ABNORMAL, "the connection was dropped")
            self._left = self.closed or reason or dropped
        await self._transport.abort()
        self._tasks.cancel()

    def _closed_error(self) -> ConnectionClosed:
        return ConnectionClosed(self.closed or CloseReason(_ABNORMAL, self._broken(_ABNORMAL)))

    def _broken(self, code: int) -> str:
        """The reason of a close without one."""
        return self._failure or "the connection broke" if code == _ABNORMAL else ""
