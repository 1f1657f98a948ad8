"""Connections that break, to order."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import trio

from backendai_trio import Client, open_client
from backendai_trio._groups import one_error
from backendai_trio.gateway import Gateway

__all__ = ["Proxy", "open_proxy_without_upgrades", "through_proxy"]


class Proxy:
    """A way to the gateway that breaks.

    Attributes:
        connections: how many were made.
        passed: how many bytes went through, both ways.
        cuts: at how many bytes it cuts all connections, in order.
        port: where it listens.
    """

    def __init__(self, nursery: trio.Nursery, target: int, chance: random.Random) -> None:
        self.connections = 0
        self.passed = 0
        self.cuts: list[int] = []
        self.port = 0
        self._listening = trio.CancelScope()
        self._nursery = nursery
        self._target = target
        self._chance = chance
        self._scopes: set[trio.CancelScope] = set()
        self._frozen: set[trio.CancelScope] = set()

    def plan(self, count: int, size: int) -> None:
        """Cut so often at random places within the next `size` bytes."""
        self.cuts = sorted(self.passed + self._chance.randrange(size) for _ in range(count))

    def freeze(self) -> None:
        """The connections that are open now stay open and carry nothing any more."""
        self._frozen |= self._scopes

    def cut(self) -> None:
        """Break all connections."""
        for scope in self._scopes:
            scope.cancel()

    async def listen(self) -> None:
        """Take connections, each time on the same port."""
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        self._listening = trio.CancelScope()
        self._nursery.start_soon(self._accept, listeners)

    def go_down(self) -> None:
        """Break all connections, and take no more."""
        self._listening.cancel()
        self.cut()

    async def _accept(self, listeners: list[trio.SocketListener]) -> None:
        with self._listening:
            await trio.serve_listeners(self._carry, listeners, handler_nursery=self._nursery)

    async def _carry(self, near: trio.SocketStream) -> None:
        self.connections += 1
        far = await trio.open_tcp_stream("127.0.0.1", self._target)
        async with near, far:
            with trio.CancelScope() as scope:
                self._scopes.add(scope)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, near, far, scope)
                    nursery.start_soon(self._pump, far, near, scope)
            self._scopes.discard(scope)
            if self._chance.random() < 0.5:  # reset: what is under way is lost, both ways
                for end in (near, far):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def _pump(
        self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some(16_384):
                if scope in self._frozen:
                    await trio.sleep_forever()
                if self.cuts and self.passed + len(data) > self.cuts[0]:
                    data = data[: self.cuts[0] - self.passed]
                    while self.cuts and self.cuts[0] <= self.passed + len(data):
                        self.cuts.pop(0)
                    self.passed += len(data)
                    if data:
                        await target.send_all(data)
                    self.cut()
                    await trio.sleep_forever()
                self.passed += len(data)
                await target.send_all(data)
        except trio.BrokenResourceError:
            pass
        scope.cancel()


@asynccontextmanager
async def through_proxy(gateway: Gateway, seed: int = 0) -> AsyncIterator[tuple[Proxy, Client]]:
    """A proxy before a gateway, and a client on its other side.

    Args:
        gateway: what it leads to.
        seed: of the places where it cuts.
    """
    with one_error():
        async with trio.open_nursery() as nursery:
            proxy = Proxy(nursery, gateway.config.endpoint.port, random.Random(seed))
            await proxy.listen()
            endpoint = gateway.config.endpoint._replace(port=proxy.port)
            async with open_client(replace(gateway.config, endpoint=endpoint)) as client:
                yield proxy, client
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_proxy_without_upgrades(target: int) -> AsyncIterator[int]:
    """A reverse proxy as many are set up by default: what asks for a WebSocket loses that.

    Args:
        target: port of the server behind it.

    Yields:
        Its own port.
    """

    async def carry(near: trio.SocketStream) -> None:
        async with near, await trio.open_tcp_stream("127.0.0.1", target) as far:
            with suppress(trio.BrokenResourceError):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pump, far, near, nursery.cancel_scope)
                    head = b""
                    while b"\r\n\r\n" not in head and (data := await near.receive_some(65536)):
                        head += data
                    head, end, rest = head.partition(b"\r\n\r\n")
                    lines = head.split(b"\r\n")
                    kept = [b for b in lines if not b.lower().startswith((b"upgrade:", b"connect"))]
                    await far.send_all(b"\r\n".join([*kept, b"Connection: close"]) + end + rest)
                    await pump(near, far, None)

    async def pump(
        source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope | None
    ) -> None:
        with suppress(trio.BrokenResourceError):
            while data := await source.receive_some(65536):
                await sink.send_all(data)
        if scope is not None:
            scope.cancel()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, carry, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()
