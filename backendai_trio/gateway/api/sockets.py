"""Receiving from, sending to and closing WebSockets."""

from __future__ import annotations

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

__all__ = [
    "GOING_AWAY",
    "NORMAL",
    "POLICY_VIOLATION",
    "close_socket",
    "is_open",
    "receive_message",
    "send_message",
]

NORMAL = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
_ABNORMAL = 1006
_REASON_CHARS = 120
"""A close frame has room for 123 bytes of reason (RFC 6455, section 5.5)."""


def is_open(socket: WebSocket) -> bool:
    """Whether a WebSocket was accepted, and neither side has closed it."""
    return socket.client_state is socket.application_state is WebSocketState.CONNECTED


async def receive_message(socket: WebSocket) -> str | bytes:
    """The next message.

    Raises:
        WebSocketDisconnect: the client has closed the WebSocket, or its connection broke.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or GOING_AWAY)
    text: str | None = message.get("text")
    data: bytes = message.get("bytes") or b""
    return data if text is None else text


async def send_message(socket: WebSocket, message: str | bytes) -> None:
    """Send a message.

    Raises:
        WebSocketDisconnect: the client has disconnected.
    """
    try:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_text(message)
    except trio.BusyResourceError:  # see `close_socket`
        raise WebSocketDisconnect(_ABNORMAL) from None


async def close_socket(socket: WebSocket, code: int, reason: str = "") -> None:
    """Close a WebSocket. Does nothing if it is not open or the client disconnects meanwhile.

    Args:
        socket: the WebSocket.
        code: the close code.
        reason: for people; cut to what a close frame has room for.
    """
    if not is_open(socket):
        await trio.lowlevel.checkpoint()
        return
    try:
        await socket.close(code, _cut(reason))
    except (trio.BusyResourceError, WebSocketDisconnect):
        # The client has disconnected at this moment, and the HTTP server closes the connection.
        # While it does, the connection is busy for other tasks (hypercorn 0.18: `_close` does not
        # take the `send_lock`).
        pass


def _cut(reason: str) -> str:
    return reason.encode()[:_REASON_CHARS].decode(errors="ignore")
