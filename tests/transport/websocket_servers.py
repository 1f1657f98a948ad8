"""WebSocket servers that tests make up: wsproto's side of the protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import wsproto
from wsproto import events as ws

from .servers import HELLO, Handler, read_head

__all__ = ["Peer", "Script", "accepting", "until_closed", "upgrading"]


class Peer:
    """The server's end."""

    def __init__(self, stream: trio.SocketStream, head: bytes) -> None:
        self.stream = stream
        self.protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self.protocol.receive_data(head)
        (request,) = self.protocol.events()
        assert isinstance(request, ws.Request)
        self.target = request.target

    async def send(self, *events: ws.Event) -> None:
        await self.stream.send_all(b"".join(map(self.protocol.send, events)))

    async def next(self) -> ws.Event:
        while True:
            for event in self.protocol.events():
                return event
            data = await self.stream.receive_some(65536)
            self.protocol.receive_data(data or None)


Script = Callable[[Peer], Awaitable[None]]


def accepting(script: Script) -> Handler:
    """A server that opens WebSockets, and goes on with `script` for each."""

    async def upgrade(stream: trio.SocketStream, head: bytes) -> None:
        peer = Peer(stream, head)
        await peer.send(ws.AcceptConnection())
        await script(peer)

    return upgrading(upgrade)


def upgrading(answer: Callable[[trio.SocketStream, bytes], Awaitable[None]]) -> Handler:
    """A server that says hello, and answers a request for an upgrade as told."""

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if b"Upgrade" in head:
                await answer(stream, head)
                return
            await stream.send_all(HELLO)

    return handle


async def until_closed(peer: Peer) -> ws.CloseConnection:
    """What the client closes with, answered."""
    while not isinstance(event := await peer.next(), ws.CloseConnection):
        pass
    await peer.send(event.response())
    return event
