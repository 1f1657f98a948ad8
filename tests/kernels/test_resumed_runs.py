"""Streams over a connection that breaks: nothing missing, nothing twice."""

from __future__ import annotations

import gc
import hashlib
import random

import pytest
import trio
import trio.testing

from backendai_trio import (
    Finished,
    Stderr,
    Stdout,
    Terminal,
    TrioKernel,
    open_terminal,
)
from backendai_trio.gateway import Gateway
from backendai_trio.gateway.kernels.output_buffer import DEFAULT_CAPACITY, ReplayBuffer

from .distant import distant_kernel
from .distant import kernel as kernel

#: 5 MB of lines of 15 bytes, in which characters can be cut.
LINES = "".join(f"{number:08} ä€\n" for number in range(350_000))
PRINT_LINES = (
    "import sys\n"
    "for start in range(0, 350_000, 10_000):\n"
    "    print(''.join(f'{n:08} ä€\\n' for n in range(start, start + 10_000)), end='')\n"
    "sys.exit(3)\n"
)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- cuts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
async def test_output_is_whole_however_often_the_connection_breaks(
    gateway: Gateway, kernel: TrioKernel, seed: int
) -> None:
    """Ten breaks at random bytes of 5 MB, ten times over."""
    got: list[str] = []
    async with distant_kernel(gateway, kernel, seed) as (proxy, distant):
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
    async with distant_kernel(gateway, kernel, seed) as (proxy, distant):
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
    async with distant_kernel(gateway, kernel, seed) as (proxy, distant):
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
        distant_kernel(gateway, kernel) as (proxy, distant),
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
    async with distant_kernel(gateway, kernel) as (proxy, distant), open_terminal(distant) as away:
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
    async with distant_kernel(gateway, kernel) as (proxy, distant), open_terminal(distant) as away:
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
    async with distant_kernel(gateway, kernel) as (proxy, distant), distant.execute(code) as run:
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
