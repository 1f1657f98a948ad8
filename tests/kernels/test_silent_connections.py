"""Streams whose connection is dead, or whose server stays away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from backendai_trio import (
    Client,
    ConnectionFailed,
    Finished,
    RemoteProtocolError,
    Stdout,
    TrioKernel,
)
from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.transport.resumable import ResumableStream, StreamLimits, open_resumable
from backendai_trio.wire.execution import ExecuteRequest
from backendai_trio.wire.resumable import Mark, Output

from ..local_kernels import work_folder
from .distant import distant_kernel
from .distant import kernel as kernel

# --- silence -------------------------------------------------------------------------------------


#: Silence is noticed within 0.7 s instead of 25.
IMPATIENT = StreamLimits(check_seconds=0.1, silence_seconds=0.3, pong_seconds=0.3)


@asynccontextmanager
async def open_run(
    kernel: TrioKernel, code: str, limits: StreamLimits
) -> AsyncIterator[ResumableStream]:
    """A run's stream under time limits of its own."""
    path = kernel.client.era.stream_path(kernel.token, "execute")
    first = ExecuteRequest("query", "with-limits", code, raw_console=True)
    again = ExecuteRequest("continue", "with-limits")
    async with open_resumable(
        kernel.client,
        path,
        first=first.encode().decode(),
        again=again.encode().decode(),
        limits=limits,
    ) as stream:
        yield stream


async def until_mark(stream: ResumableStream, status: str) -> bytes:
    """The output before a mark."""
    output = b""
    while True:
        match await stream.receive():
            case Output(_, _, data):
                output += data
            case Mark(_, fields) if fields["status"] == status:
                return output


async def until_output(stream: ResumableStream, expected: bytes) -> None:
    output = b""
    while output != expected:
        match await stream.receive():
            case Output(_, _, data):
                output += data
                assert expected.startswith(output)


async def test_dead_connection_is_noticed_and_replaced(
    gateway: Gateway, kernel: TrioKernel
) -> None:
    code = "print('up', flush=True)\nprint(input())"
    async with (
        distant_kernel(gateway, kernel) as (proxy, distant),
        open_run(distant, code, IMPATIENT) as run,
    ):
        await until_output(run, b"up\n")
        proxy.freeze()
        before = proxy.connections
        await run.send(b"typed into the void\n")
        assert await until_mark(run, "finished") == b"typed into the void\n"
        assert proxy.connections == before + 1


async def test_quiet_connection_that_lives_is_kept(gateway: Gateway, kernel: TrioKernel) -> None:
    code = "import time; print('up', flush=True); time.sleep(1.5)"
    # Here an answer may take long: the machine may have other things to do.
    limits = replace(IMPATIENT, pong_seconds=10)
    async with (
        distant_kernel(gateway, kernel) as (proxy, distant),
        open_run(distant, code, limits) as run,
    ):
        await until_output(run, b"up\n")
        before = proxy.connections
        assert await until_mark(run, "finished") == b""
        assert proxy.connections == before


async def test_slow_receiver_does_not_lose_its_connection(
    gateway: Gateway, kernel: TrioKernel
) -> None:
    """Messages that nobody receives yet keep the answers to pings from being read."""
    code = "import sys\nfor _ in range(300): sys.stdout.write('y' * 10_000); sys.stdout.flush()\n"
    size = 0
    async with (
        distant_kernel(gateway, kernel) as (proxy, distant),
        open_run(distant, code, IMPATIENT) as run,
    ):
        before = proxy.connections
        await trio.sleep(1.5)  # twice as long as it takes to give a silent connection up
        while isinstance(message := await run.receive(), Output):
            size += len(message.data)
        assert size == 3_000_000
        assert proxy.connections == before


@pytest.mark.parametrize("limits", [GatewayLimits(resume_seconds=0.2)])
async def test_end_of_the_old_connection_does_not_touch_the_run(
    gateway: Gateway, kernel: TrioKernel
) -> None:
    """The gateway may learn late that a connection is dead: its client has come back long ago."""
    code = "import time\nprint(input(), flush=True)\ntime.sleep(1)\nprint('done')\n"
    async with (
        distant_kernel(gateway, kernel) as (proxy, distant),
        open_run(distant, "print('up', flush=True)\n" + code, IMPATIENT) as run,
    ):
        await until_output(run, b"up\n")
        old = set(proxy._scopes)
        proxy.freeze()
        await run.send(b"back\n")
        await until_output(run, b"back\n")
        for scope in old:
            scope.cancel()
        assert await until_mark(run, "finished") == b"done\n"


# --- the end -------------------------------------------------------------------------------------


async def test_server_that_does_not_come_back(gateway: Gateway, kernel: TrioKernel) -> None:
    limits = StreamLimits(outage_seconds=0.3)
    async with distant_kernel(gateway, kernel) as (proxy, distant):
        with pytest.raises(ConnectionFailed, match=r"0\.3 s; output may be missing .*refused"):
            async with open_run(
                distant, "print('up', flush=True)\nwhile True: pass", limits
            ) as run:
                await until_output(run, b"up\n")
                proxy.go_down()
                await run.receive()


@pytest.mark.parametrize("limits", [GatewayLimits(resume_seconds=0.1)])
@pytest.mark.parametrize("output", ["", "print('up', flush=True)"])
async def test_client_that_comes_back_too_late_does_not_run_its_code_again(
    gateway: Gateway,
    kernel: TrioKernel,
    gateway_parent: Path,
    output: str,
) -> None:
    """Also a client that has had no output yet, and so comes back to the position it began at."""
    trace = work_folder(gateway_parent) / "trace"
    code = (
        "with open('trace', 'a') as f: f.write('run')\n"
        "import time\n"
        f"{output}\n"
        "while True: time.sleep(1)\n"
    )
    async with distant_kernel(gateway, kernel) as (proxy, distant):
        with pytest.raises(RemoteProtocolError, match="its output is gone"):
            async with distant.execute(code) as run, trio.open_nursery() as nursery:

                async def come_back() -> None:
                    while not (trace.exists() and trace.read_text()):  # noqa: ASYNC110, ASYNC240
                        await trio.sleep(0.01)
                    if output:
                        assert await anext(run) == Stdout("up\n")
                    proxy.go_down()
                    # It gets its turn when the gateway has given up waiting for the client.
                    async with kernel.execute("pass") as other:
                        assert [event async for event in other] == [Finished(0)]
                    await proxy.listen()

                await come_back()
                await anext(run)
                nursery.cancel_scope.cancel()
    assert trace.read_text() == "run"


async def test_run_that_has_been_does_not_begin_again(client: Client, kernel: TrioKernel) -> None:
    """The first answer may be lost, so that a client does not know that its run has begun."""
    code = "print('once')"
    first = ExecuteRequest("query", "only-once", code).encode().decode()
    path = client.era.stream_path(kernel.token, "execute")
    async with open_resumable(client, path, first=first) as stream:
        assert await stream.receive() == Output("stdout", 5, b"once\n")
        assert isinstance(await stream.receive(), Mark)
    async with open_resumable(client, path, first=first) as stream:
        with pytest.raises(RemoteProtocolError, match="its output is gone"):
            await stream.receive()
    async with open_resumable(
        client, path, first=ExecuteRequest("continue", "never-heard-of").encode().decode()
    ) as stream:
        with pytest.raises(RemoteProtocolError, match="its output is gone"):
            await stream.receive()
