"""Services in kernels: connections to them, many at once, and their ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

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
from backendai_trio.kernels import list_apps, open_app_stream
from backendai_trio.wire.apps import HALF_CLOSE

# Answers with what it got once its peer has ended its direction; "quit" closes at once, "reset"
# resets, and "wait" echoes as it comes.
SERVER = """
import socket, struct, threading
listener = socket.create_server(("127.0.0.1", 0))
def serve(peer):
    first = peer.recv(5)
    if first == b"quit!":
        peer.sendall(b"bye"); peer.close(); return
    if first == b"reset":
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close(); return
    if first == b"echo!":
        while data := peer.recv(65536): peer.sendall(data)
        peer.close(); return
    got = bytearray(first)
    while data := peer.recv(65536): got += data
    peer.sendall(bytes(got)[::-1]); peer.close()
def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
print(listener.getsockname()[1])
"""


@asynccontextmanager
async def kernel_with_server(client: Client) -> AsyncIterator[tuple[TrioKernel, str]]:
    async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
        text = ""
        async with kernel.execute(SERVER) as run:
            async for event in run:
                if isinstance(event, Stdout):
                    text += event.text
        yield kernel, text.strip()


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    data = bytearray()
    async for chunk in stream:
        data += chunk
    return bytes(data)


async def test_list(client: Client) -> None:
    async with kernel_with_server(client) as (kernel, port):
        (info,) = await list_apps(kernel)
        assert (info.name, info.protocol, info.ports) == (port, "tcp", (int(port),))
        async with open_kernel(client, KernelSpec(runtime="python")) as other:
            assert await list_apps(other) == []


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
        with pytest.raises(NotFound, match=f"but: {port}"):
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
