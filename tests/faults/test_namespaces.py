"""A server that vanishes from the network: nothing it sends arrives, and nobody closes anything.

It stands behind a network namespace, whose way back is taken away.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
import trio

from backendai_trio import (
    ConnectionFailed,
    ExecutionError,
    KernelLeftBehindWarning,
    KernelSpec,
    Stdout,
    attach_kernel,
    find_kernel,
    list_kernels,
    open_client,
    open_kernel,
)
from backendai_trio.gateway import Gateway
from backendai_trio.transport.limits import Limits, StreamLimits

from ..requirements import lacking

NEAR, FAR, PORT = "10.213.97.1", "10.213.97.2", 18_999
LIMITS = Limits(
    unacknowledged_seconds=2.0,
    streams=StreamLimits(
        check_seconds=0.2, silence_seconds=0.5, pong_seconds=0.5, outage_seconds=2.0
    ),
)
#: Carries connections through the namespace.
CARRIER = """
import sys, trio
from functools import partial
async def pump(a, b):
    try:
        async for data in a: await b.send_all(data)
        await b.send_eof()
    except trio.BrokenResourceError: pass
async def carry(near):
    async with near, await trio.open_tcp_stream(sys.argv[2], int(sys.argv[3])) as far:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, near, far)
            nursery.start_soon(pump, far, near)
async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_tcp, carry, int(sys.argv[3]), host=sys.argv[1]))
        print("ready", flush=True)
trio.run(main)
"""


class Namespace:
    """A namespace between the client and the server."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def open(self) -> None:
        near, far = f"{self.name}a", f"{self.name}b"
        self.ip("netns", "add", self.name)
        self.ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", self.name)
        self.ip("addr", "add", f"{NEAR}/24", "dev", near)
        self.ip("link", "set", near, "up")
        self.ip("-n", self.name, "addr", "add", f"{FAR}/24", "dev", far)
        self.ip("-n", self.name, "link", "set", far, "up")
        self.ip("-n", self.name, "link", "set", "lo", "up")

    def vanish(self) -> None:
        """Nothing comes out of it any more."""
        self.ip("-n", self.name, "route", "add", "blackhole", f"{NEAR}/32")

    def close(self) -> None:
        # The link by itself: sockets that wait for an answer keep the namespace for a while.
        for words in (("link", "del", f"{self.name}a"), ("netns", "del", self.name)):
            with suppress(subprocess.CalledProcessError):
                self.ip(*words)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    opened = Namespace(f"bt{os.getpid() % 100_000}")
    try:
        opened.open()
    except (OSError, subprocess.CalledProcessError) as exc:
        opened.close()
        raise lacking(f"network namespaces cannot be made here: {exc}") from None
    yield opened
    opened.close()


@pytest.fixture
async def way(namespace: Namespace, gateway: Gateway) -> AsyncIterator[None]:
    """The way through the namespace to the gateway."""

    async def to_gateway(near: trio.SocketStream) -> None:
        port = gateway.config.endpoint.port
        far = await trio.open_tcp_stream("127.0.0.1", port)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(pump, near, far)
            nursery.start_soon(pump, far, near)

    async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in source:
                await sink.send_all(data)
            await sink.send_eof()

    carrier = [sys.executable, "-c", CARRIER, FAR, NEAR, str(PORT)]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_tcp, to_gateway, PORT, host=NEAR))
        process = await nursery.start(
            partial(
                trio.run_process,
                ["ip", "netns", "exec", namespace.name, *carrier],
                stdout=subprocess.PIPE,
                check=False,
            )
        )
        said = b""
        while b"\n" not in said:
            said += await process.stdout.receive_some()
        yield
        nursery.cancel_scope.cancel()


async def test_a_server_that_vanishes(way: None, namespace: Namespace, gateway: Gateway) -> None:
    config = replace(
        gateway.config,
        endpoint=gateway.config.endpoint._replace(host=FAR, port=PORT),
        connect_seconds=2.0,
        answer_seconds=3.0,
        grace_seconds=2.0,
    )
    async with (
        open_client(gateway.config) as direct,
        open_kernel(direct, KernelSpec(runtime="python")) as own,
        open_client(config, limits=LIMITS) as client,
    ):
        kernel = await find_kernel(client, own.token)
        with trio.fail_after(25):  # the limits above end all of it
            with pytest.raises(ExecutionError, match="broke"), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "run .* may still go on", RuntimeWarning)
                async with kernel.execute("import time\nprint(1)\ntime.sleep(60)") as run:
                    assert await anext(run) == Stdout("1\n")
                    namespace.vanish()
                    async for _ in run:
                        pass
            # The answer to a create has no limit: here, TCP notices.
            with pytest.raises(ConnectionFailed), warnings.catch_warnings():
                warnings.simplefilter("ignore", KernelLeftBehindWarning)
                await attach_kernel(client, KernelSpec(runtime="python"), token="lost")
            with pytest.raises(ConnectionFailed):
                await list_kernels(client)
        assert gateway.tokens() == [own.token]
    assert gateway.tokens() == []
