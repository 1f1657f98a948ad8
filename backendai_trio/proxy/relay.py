"""Relaying the messages of a WebSocket both ways."""

from __future__ import annotations

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..transport.websocket import CLOSE_SECONDS, ConnectionClosed
from ..transport.websocket import WebSocket as Upstream

__all__ = ["relay"]

_GOING_AWAY = 1001
_BAD_GATEWAY = 1014


async def relay(down: WebSocket, up: Upstream) -> None:
    """Carry messages both ways until one side closes, and close the other as it did.

    Args:
        down: the WebSocket of the proxy's client, accepted.
        up: the one to the server.
    """
    left: WebSocketDisconnect | None = None

    async def to_client() -> None:
        try:
            while True:
                message = await up.get_message()
                if isinstance(message, str):
                    await down.send_text(message)
                else:
                    await down.send_bytes(message)
        except (ConnectionClosed, WebSocketDisconnect):
            nursery.cancel_scope.cancel()

    async def to_server() -> None:
        nonlocal left
        try:
            while True:
                message = await down.receive()
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message.get("code") or _GOING_AWAY)
                text: str | None = message.get("text")
                await up.send_message(message["bytes"] if text is None else text)
        except WebSocketDisconnect as exc:
            left = exc
        except ConnectionClosed:
            return  # `to_client` notices it once it has forwarded what came before
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(to_client)
        nursery.start_soon(to_server)
    if left is not None:
        await up.aclose(_sendable(left.code, _GOING_AWAY))
        return
    closed = up.closed
    code = _sendable(closed.code if closed else 0, _BAD_GATEWAY)
    reason = (closed.reason if closed else None) or ""
    await down.close(code, reason)
    # Messages that the client has on their way must be read, or the connection could not end.
    with trio.move_on_after(CLOSE_SECONDS):
        while (await down.receive())["type"] != "websocket.disconnect":
            pass


def _sendable(code: int, otherwise: int) -> int:
    """A close code that may be sent; some only say that there was none."""
    is_defined = 1000 <= code <= 1014 and code not in (1004, 1005, 1006)
    return code if is_defined or 3000 <= code <= 4999 else otherwise
