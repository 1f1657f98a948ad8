"""Streams over a connection that breaks: nothing missing, nothing twice."""

from __future__ import annotations

import gc
import hashlib
import random
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
    KernelSpec,
    RemoteProtocolError,
    Stderr,
    Stdout,
    Terminal,
    TrioKernel,
    attach_kernel,
    open_client,
    open_kernel,
    open_terminal,
)
from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.gateway.kernels.output_buffer import DEFAULT_CAPACITY, ReplayBuffer
from backendai_trio.kernels import one_error
from backendai_trio.transport.resumable import ResumableStream, StreamLimits, open_resumable
from backendai_trio.wire.execution import ExecuteRequest
from backendai_trio.wire.resumable import Mark, Output

from ..local_kernels import work_folder
from ..proxies import Proxy

PYTHON = KernelSpec(runtime="python")
#: 5 MB of lines of 15 bytes, in which characters can be cut.
LINES = "".join(f"{number:08} ä€\n" for number in range(350_000))
PRINT_LINES = (
    "import sys\n"
    "for start in range(0, 350_000, 10_000):\n"
    "    print(''.join(f'{n:08} ä€\\n' for n in range(start, start + 10_000)), end='')\n"
    "sys.exit(3)\n"
)


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    """A kernel for Python, reached directly."""
    async with open_kernel(client, PYTHON) as opened:
        yield opened


@asynccontextmanager
async def through_proxy(
    gateway: Gateway, kernel: TrioKernel, seed: int = 0
) -> AsyncIterator[tuple[Proxy, TrioKernel]]:
    """A proxy before the gateway, and the kernel seen through it."""
    with one_error():
        async with trio.open_nursery() as nursery:
            proxy = Proxy(nursery, gateway.config.endpoint.port, random.Random(seed))
            await proxy.listen()
            endpoint = gateway.config.endpoint._replace(port=proxy.port)
            async with open_client(replace(gateway.config, endpoint=endpoint)) as client:
                yield proxy, await attach_kernel(client, PYTHON, token=kernel.token)
            nursery.cancel_scope.cancel()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- cuts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
async def test_output_is_whole_however_often_the_connection_breaks(
    gateway: Gateway, kernel: TrioKernel, seed: int
) -> None:
    """Ten breaks at random bytes of 5 MB, ten times over."""
    got: list[str] = []
    async with through_proxy(gateway, kernel, seed) as (proxy, distant):
        proxy.plan(10, len(LINES.encode()))
        before = proxy.connections
        async with distant.execute(PRINT_LINES) as run:
            async for event in run:
                if isinstance(event, Stdout):
                    got.append(event.text)
                else:
                    assert event == Finished(3)
        assert proxy.cuts == []
        # One cut may come while the last one is still being repaired.
        assert proxy.connections - before >= 5
    assert digest("".join(got).encode()) == digest(LINES.encode())


@pytest.mark.parametrize("seed", range(3))
async def test_typing_arrives_exactly_once(gateway: Gateway, kernel: TrioKernel, seed: int) -> None:
    """1 MB goes through a program and comes back."""
    lines = [random.Random(seed).randbytes(39).hex().encode() + b"\n" for _ in range(13_000)]
    typed = b"".join(lines)
    echo = "import sys\nfor line in sys.stdin:\n    sys.stdout.write('>' + line)\n"
    got: list[str] = []
    async with through_proxy(gateway, kernel, seed) as (proxy, distant):
        proxy.plan(20, 2 * len(typed))
        async with distant.execute(echo) as run, trio.open_nursery() as nursery:

            async def type_all() -> None:
                for start in range(0, len(typed), 100_000):
                    await run.send_stdin(typed[start : start + 100_000])
                await run.close_stdin()

            nursery.start_soon(type_all)
            async for event in run:
                match event:
                    case Stdout(text):
                        got.append(text)
                    case Stderr(text):
                        pytest.fail(text)
            assert run.outcome == Finished(0)
        assert proxy.cuts == []
    assert digest("".join(got).encode()) == digest(b"".join(b">" + line for line in lines))


async def test_program_that_writes_much_before_it_reads(kernel: TrioKernel) -> None:
    """Input that waits for the program must not hold up what lets the program go on."""
    code = (
        "import sys\n"
        "sys.stdin.readline()\n"
        "print('x' * 4_000_000)\n"
        "print(sum(map(len, sys.stdin)))\n"
    )
    line = "y" * 99 + "\n"
    got: list[str] = []
    async with kernel.execute(code) as run, trio.open_nursery() as nursery:

        async def type_all() -> None:
            for _ in range(100):
                await run.send_stdin(line.encode() * 100)
            await run.close_stdin()

        nursery.start_soon(type_all)
        async for event in run:
            if isinstance(event, Stdout):
                got.append(event.text)
    assert "".join(got) == "x" * 4_000_000 + f"\n{(100 * 100 - 1) * 100}\n"


@pytest.mark.parametrize("seed", range(3))
async def test_raw_terminal_loses_and_repeats_nothing(
    gateway: Gateway, kernel: TrioKernel, seed: int
) -> None:
    """Any byte goes through a terminal in raw mode and comes back."""
    typed = random.Random(seed).randbytes(300_000)
    got = b""
    async with through_proxy(gateway, kernel, seed) as (proxy, distant):
        async with open_terminal(distant) as terminal, trio.open_nursery() as nursery:
            await terminal.send_all(
                f"stty raw -echo; printf 'rea''dy>'; head -c {len(typed)}; exit 4\n".encode()
            )
            while b"ready>" not in got:
                got += await terminal.receive_some()
            # Not at the end of it all: a client that missed the shell's end finds a new shell.
            proxy.plan(5, len(typed))
            nursery.start_soon(terminal.send_all, typed)
            while data := await terminal.receive_some():
                got += data
            assert terminal.exit_code == 4
        assert proxy.cuts == []
    assert digest(got.partition(b"ready>")[2][: len(typed)]) == digest(typed)


async def test_connection_can_be_followed(gateway: Gateway, kernel: TrioKernel) -> None:
    code = "print('up', flush=True); print(input())"
    async with (
        through_proxy(gateway, kernel) as (proxy, distant),
        distant.execute(code) as run,
        trio.open_nursery() as nursery,
    ):
        assert await anext(run) == Stdout("up\n")
        assert (run.connection.up, run.connection.replaced) == (True, 0)
        heard: list[str] = []

        async def follow() -> None:
            await run.connection.wait_lost()
            heard.append("lost")
            await proxy.listen()
            await run.connection.wait_back()
            heard.append("back")
            await run.send_stdin(b"again\n")

        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        proxy.go_down()
        texts = [event.text async for event in run if isinstance(event, Stdout)]
        assert "".join(texts) == "again\n"
        assert heard == ["lost", "back"]
        assert (run.connection.up, run.connection.replaced) == (True, 1)


async def shows(terminal: Terminal, text: bytes) -> None:
    shown = b""
    while text not in shown:
        data = await terminal.receive_some()
        assert data, f"the shell ended, but showed {shown!r}"
        shown += data


async def let_end(kernel: TrioKernel) -> None:
    """Let the shell of `SHELL_THAT_WAITS` go on, and wait for its end."""
    code = """if True:
        import os, time
        shell = int(open("shell").read())
        open("go", "w").close()
        try:
            while True:
                os.kill(shell, 0)
                time.sleep(0.01)
        except ProcessLookupError:
            pass
    """
    async with kernel.execute(code) as run:
        assert [event async for event in run] == [Finished(0)]


SHELL_THAT_WAITS = (
    b"PS1=; echo $$ > shell; echo st''arted; while [ ! -e go ]; do sleep 0.02; done; "
    b"echo la''st; exit 7\n"
)


async def test_shell_that_ends_while_its_client_is_away(
    gateway: Gateway, kernel: TrioKernel
) -> None:
    """Its last output and exit code arrive, also if there is a new shell meanwhile."""
    async with through_proxy(gateway, kernel) as (proxy, distant), open_terminal(distant) as away:
        await away.send_all(SHELL_THAT_WAITS)
        await shows(away, b"started\r\n")
        proxy.go_down()
        await let_end(kernel)
        async with open_terminal(kernel) as other:
            await other.send_all(b"echo ne''w\n")
            await shows(other, b"new")
            await proxy.listen()
            await shows(away, b"last\r\n")
            assert await away.receive_some() == b""
            assert away.exit_code == 7
            await other.send_all(b"echo un''disturbed\n")
            await shows(other, b"undisturbed")


async def test_shell_whose_end_another_client_has_seen(
    gateway: Gateway, kernel: TrioKernel
) -> None:
    async with through_proxy(gateway, kernel) as (proxy, distant), open_terminal(distant) as away:
        await away.send_all(SHELL_THAT_WAITS)
        await shows(away, b"started\r\n")
        proxy.go_down()
        async with open_terminal(kernel) as other:
            await let_end(kernel)
            while await other.receive_some():
                pass
            assert other.exit_code == 7
        await proxy.listen()
        with pytest.raises(trio.BrokenResourceError, match="its output is gone"):
            await away.receive_some()


async def test_interrupt_arrives_exactly_once(gateway: Gateway, kernel: TrioKernel) -> None:
    """Also one that was sent while there was no connection; a later break does not repeat it."""
    code = (
        "import time\n"
        "try:\n"
        "    print('up', flush=True)\n"
        "    while True: time.sleep(1)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "print(input())\n"
    )
    async with through_proxy(gateway, kernel) as (proxy, distant), distant.execute(code) as run:
        assert await anext(run) == Stdout("up\n")
        proxy.go_down()
        await run.interrupt()
        await proxy.listen()
        assert await anext(run) == Stdout("interrupted\n")
        proxy.cut()
        await run.send_stdin(b"went on\n")
        texts = [event.text async for event in run if isinstance(event, Stdout)]
        assert "".join(texts) == "went on\n"
        assert run.outcome == Finished(0)
        assert run.connection.replaced == 2


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
        through_proxy(gateway, kernel) as (proxy, distant),
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
        through_proxy(gateway, kernel) as (proxy, distant),
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
        through_proxy(gateway, kernel) as (proxy, distant),
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
        through_proxy(gateway, kernel) as (proxy, distant),
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
    async with through_proxy(gateway, kernel) as (proxy, distant):
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
    async with through_proxy(gateway, kernel) as (proxy, distant):
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


# --- a slow reader -------------------------------------------------------------------------------


async def test_slow_reader_holds_the_program_back(kernel: TrioKernel) -> None:
    """100 MB of output; little of it is ever on its way (cli/test_memory.py measures memory)."""
    line = "y" * 99 + "\n"
    code = f"import sys\nfor _ in range(1000): sys.stdout.write({line!r} * 1000)\n"
    size = 0
    old = [found for found in gc.get_objects() if isinstance(found, ReplayBuffer)]
    buffers: list[ReplayBuffer] = []
    async with kernel.execute(code) as run:
        async for event in run:
            buffers = buffers or [
                found
                for found in gc.get_objects()
                if isinstance(found, ReplayBuffer) and not any(found is known for known in old)
            ]
            if size == 0:
                # Not a byte is taken until everything on the way is full.
                while not buffers[0].full:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            if isinstance(event, Stdout):
                size += len(event.text)
                assert buffers[0].end - buffers[0].start < DEFAULT_CAPACITY + 256 * 1024
            else:
                assert event == Finished(0)
    assert size == 100_000_000
