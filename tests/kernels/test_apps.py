"""Services in kernels: connections to them, many at once, and their ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest
import trio
import trio.testing

from backendai_trio import (
    Client,
    ConfigError,
    KernelSpec,
    NotFound,
    Stdout,
    TrioKernel,
    open_app,
    open_kernel,
)
from backendai_trio.kernels import AppInfo, AppStream, list_apps, open_app_stream
from backendai_trio.transport.websocket import CloseReason, ConnectionClosed, WebSocket
from backendai_trio.wire.apps import HALF_CLOSE, NORMAL

from ..app_servers import SERVER


@asynccontextmanager
async def kernel_with_server(client: Client) -> AsyncIterator[tuple[TrioKernel, str]]:
    async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
        text = ""
        async with kernel.execute(SERVER) as run:
            async for event in run:
                if isinstance(event, Stdout):
                    text += event.text
        yield kernel, text.strip()


class PairedWebSocket:
    """One end of a WebSocket in memory; the other end is another of these."""

    def __init__(
        self,
        sender: trio.MemorySendChannel[str | bytes],
        receiver: trio.MemoryReceiveChannel[str | bytes],
    ) -> None:
        self._sender, self._receiver = sender, receiver

    async def send_message(self, message: str | bytes) -> None:
        try:
            await self._sender.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionClosed(CloseReason(1006)) from None

    async def get_message(self) -> str | bytes:
        try:
            return await self._receiver.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError) as exc:
            code = NORMAL if isinstance(exc, trio.EndOfChannel) else 1006
            raise ConnectionClosed(CloseReason(code)) from None

    async def aclose(self) -> None:
        self._sender.close()
        self._receiver.close()
        await trio.lowlevel.checkpoint()


async def test_conformance() -> None:
    """Trio's own test of streams, over WebSockets in memory: it needs both ends of a stream."""

    async def make_pair() -> tuple[AppStream, AppStream]:
        await trio.lowlevel.checkpoint()
        one_way = trio.open_memory_channel[str | bytes](0)
        other_way = trio.open_memory_channel[str | bytes](0)
        ends = PairedWebSocket(one_way[0], other_way[1]), PairedWebSocket(other_way[0], one_way[1])
        one, other = (AppStream(cast(WebSocket, end), half_close=True) for end in ends)
        return one, other

    await trio.testing.check_half_closeable_stream(make_pair, None)


async def test_closed_stream_refuses_calls(client: Client) -> None:
    async with (
        kernel_with_server(client) as (kernel, port),
        open_app_stream(kernel, port) as stream,
    ):
        await stream.send_all(b"echo!x")
        assert await stream.receive_some(1) == b"x"
        for wrong in (0, -1):
            with pytest.raises(ValueError, match="at least 1"):
                await stream.receive_some(wrong)
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await stream.receive_some()

            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await stream.receive_some()
            await stream.aclose()
        for call in (stream.receive_some, stream.send_eof, stream.wait_send_all_might_not_block):
            with pytest.raises(trio.ClosedResourceError):
                await call()
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_all(b"x")


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    data = bytearray()
    async for chunk in stream:
        data += chunk
    return bytes(data)


async def list_ports(kernel: TrioKernel) -> list[AppInfo]:
    """The apps but for the SSH server, which depends on the machine."""
    return [app for app in await list_apps(kernel) if app.name != "sshd"]


async def test_list(client: Client) -> None:
    async with kernel_with_server(client) as (kernel, port):
        (info,) = await list_ports(kernel)
        assert (info.name, info.protocol, info.ports) == (port, "tcp", (int(port),))
        async with open_kernel(client, KernelSpec(runtime="python")) as other:
            assert await list_ports(other) == []


async def test_other_peoples_ports_are_not_to_be_had(client: Client) -> None:
    """The gateway's own port, and those of another kernel, are open on the same machine."""
    gateway_port = str(client.config.endpoint.port)
    async with kernel_with_server(client) as (kernel, port):
        async with open_kernel(client, KernelSpec(runtime="python")) as other:
            for name in (port, gateway_port, "", "0", "jupyter", "-1", "9" * 30):
                with pytest.raises(NotFound) as refused:
                    async with open_app_stream(other, name):
                        pass
                assert refused.value.kind == "app-not-found"
        with pytest.raises(NotFound, match=f"it offers (sshd, )?{port}"):
            async with open_app(kernel, "jupyter"):
                pass


async def test_half_close(client: Client) -> None:
    """The answer comes after the end of what was sent."""
    async with (
        kernel_with_server(client) as (kernel, port),
        open_app_stream(kernel, port) as stream,
    ):
        await stream.send_all(b"hello")
        await stream.send_eof()
        await stream.send_eof()
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_all(b"more")
        assert await read_all(stream) == b"olleh"
        assert await stream.receive_some() == b""


async def test_service_that_closes_or_resets(client: Client) -> None:
    async with kernel_with_server(client) as (kernel, port):
        async with open_app_stream(kernel, port) as stream:
            await stream.send_all(b"quit!")
            assert await read_all(stream) == b"bye"
        async with open_app_stream(kernel, port) as stream:
            await stream.send_all(b"reset")
            with pytest.raises(trio.BrokenResourceError, match="reset"):
                await read_all(stream)


async def test_as_a_manager_speaks(client: Client) -> None:
    """Without half-close, which managers do not have, the service's end closes the WebSocket."""
    client.hello = replace(client.hello, features=client.hello.features - {HALF_CLOSE})
    async with kernel_with_server(client) as (kernel, port):
        async with open_app_stream(kernel, port) as stream:
            await stream.send_all(b"echo!hello")
            assert await stream.receive_some(3) == b"hel"
            assert await stream.receive_some() == b"lo"
            await stream.send_eof()
        async with open_app_stream(kernel, port) as stream:
            await stream.send_all(b"quit!")
            assert await read_all(stream) == b"bye"
            assert stream.ended


async def test_twenty_connections_at_once(client: Client) -> None:
    """All are open together, each with a megabyte under way in both directions."""
    size = 1024 * 1024
    together = 0
    everybody = trio.Event()

    async def talk(port: int, number: int) -> None:
        nonlocal together
        data = bytes([number]) * size
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"echo!x")
            assert await stream.receive_some() == b"x"
            together += 1
            if together == 20:
                everybody.set()
            await everybody.wait()
            async with trio.open_nursery() as nursery:

                async def send() -> None:
                    await stream.send_all(data)
                    await stream.send_eof()

                nursery.start_soon(send)
                assert await read_all(stream) == data

    async with kernel_with_server(client) as (kernel, name), open_app(kernel, name) as app:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(talk, app.port, number)
        with pytest.raises(trio.WouldBlock):
            app.problems.receive_nowait()
        assert app.url == f"tcp://127.0.0.1:{app.port}"


async def test_local_ends(client: Client) -> None:
    async with kernel_with_server(client) as (kernel, name), open_app(kernel, name) as app:
        async with await trio.open_tcp_stream("127.0.0.1", app.port) as stream:
            await stream.send_all(b"hello")
            await stream.send_eof()
            assert await read_all(stream) == b"olleh"
        async with await trio.open_tcp_stream("127.0.0.1", app.port) as stream:
            await stream.send_all(b"quit!")
            assert await read_all(stream) == b"bye"
        async with await trio.open_tcp_stream("127.0.0.1", app.port) as stream:
            await stream.send_all(b"reset")
            try:
                assert await read_all(stream) == b""
            except trio.BrokenResourceError:
                pass
        assert "reset" in str(await app.problems.receive())


async def test_a_kernel_that_ends_under_it(client: Client) -> None:
    async with kernel_with_server(client) as (kernel, name), open_app(kernel, name) as app:
        async with await trio.open_tcp_stream("127.0.0.1", app.port) as stream:
            await stream.send_all(b"echo!x")
            assert await stream.receive_some() == b"x"
            await kernel.destroy()
            assert await stream.receive_some() == b""
        async with await trio.open_tcp_stream("127.0.0.1", app.port) as stream:
            assert await stream.receive_some() == b""
        problem = await app.problems.receive()
        assert isinstance(problem, NotFound) and problem.kind == "session-not-found"


async def test_taken_port(client: Client) -> None:
    async with kernel_with_server(client) as (kernel, name), open_app(kernel, name) as app:
        with pytest.raises(ConfigError, match="--bind"):
            async with open_app(kernel, name, port=app.port):
                pass
