"""Programs whose standard streams are pipes, a terminal, or some of each."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Literal

import pytest
import trio

from backendai_trio.gateway.processes.process_host import open_host
from backendai_trio.wire.stdio import Stdio

from .programs import TALK, environment, linux_only, python, run

pytestmark = linux_only

KINDS = """
import os, sys
print([os.isatty(fd) for fd in range(3)], flush=True)
print("error", file=sys.stderr, flush=True)
try:
    os.close(os.open("/dev/tty", os.O_RDWR))
    print("controlled", True)
except OSError:
    print("controlled", False)
"""
NO_INPUT = Stdio(stdin="pipe")


async def test_each_stream_is_what_was_asked_for(root: Path, conversation: TALK) -> None:
    with trio.fail_after(60):
        async with open_host(root) as host:
            for stdin, stdout, stderr in product(
                ("terminal", "pipe"), ("terminal", "pipe"), ("terminal", "pipe", "stdout")
            ):
                talk = conversation()
                stdio = Stdio(stdin=stdin, stdout=stdout, stderr=stderr)  # type: ignore[arg-type]
                assert await run(host, python(KINDS), talk, stdio) == 0
                kinds = [kind == "terminal" for kind in (stdin, stdout, stderr)]
                kinds[2] = kinds[1] if stderr == "stdout" else kinds[2]
                joined = stderr == "stdout" or stdout == stderr == "terminal"
                out, err = talk.text("stdout").decode(), talk.text("stderr").decode()
                assert f"{kinds}\n" in out
                assert f"controlled {stdin == 'terminal'}\n" in out
                assert "error\n" in (out if joined else err), stdio
                assert not (joined and err)


async def test_one_stream_keeps_the_order(root: Path, conversation: TALK) -> None:
    source = """
    import os
    for i in range(2000):
        os.write(1 + i % 2, b"%d\\n" % i)
    """
    expected = b"".join(b"%d\n" % i for i in range(2000))
    with trio.fail_after(60):
        async with open_host(root) as host:
            for stdio in (Stdio(stdout="pipe", stderr="stdout"), Stdio(stderr="terminal")):
                talk = conversation()
                assert await run(host, python(source), talk, stdio) == 0
                assert talk.text("stdout") == expected


async def test_a_pipe_asks_for_input_and_ends(root: Path, conversation: TALK) -> None:
    source = """
    import sys
    print("first", ascii(sys.stdin.readline()), flush=True)
    print("rest", sys.stdin.read(), sys.stdin.read() == "")
    """
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation(b"one\n", b"two\n", None)
            assert await run(host, python(source), talk, NO_INPUT) == 0
    assert talk.text("stdout") == b"first 'one\\n'\nrest two\n True\n"
    assert [kind for kind, _ in talk.said].count("asked") == 3


@pytest.mark.parametrize(
    "receive",
    [
        pytest.param("os.splice(0, 1, 65536)", id="splice"),
        pytest.param("os.readv(0, [buffer])", id="readv"),
        pytest.param("os.preadv(0, [buffer], -1, os.RWF_HIPRI)", id="preadv2"),
        pytest.param("libc.tee(0, 1, 1, 0)", id="tee"),
        pytest.param("while not select.select([0], [], [], 0.05)[0]: pass", id="select"),
        pytest.param("while not poll.poll(50): pass", id="poll"),
    ],
)
async def test_each_way_to_read_a_pipe_asks_for_input(
    root: Path, conversation: TALK, receive: str
) -> None:
    source = f"""
    import ctypes, os, select
    libc, buffer, poll = ctypes.CDLL(None), bytearray(10), select.poll()
    poll.register(0, select.POLLIN)
    {receive}
    """
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation(b"one\n", None)
            stdio = Stdio(stdin="pipe", stdout="pipe")
            assert await run(host, python(source), talk, stdio) == 0
    assert ("asked", b"") in talk.said


async def test_all_of_a_long_input_comes_through_a_pipe(root: Path) -> None:
    source = (
        "import sys; data = sys.stdin.buffer.read(); print(len(data), data == b'x' * len(data))"
    )
    got = bytearray()

    async def sink(kind: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        got.extend(data)

    with trio.fail_after(60):
        async with (
            open_host(root) as host,
            host.open_process(
                python(source), env=environment(host), cwd=host.work, stdio=NO_INPUT
            ) as process,
            process.streaming(sink, None),
        ):
            await process.write_stdin(b"x" * 1_000_000)
            await process.write_stdin(None)
            await process.write_stdin(None)  # again
            await process.write_stdin(b"dropped")
            assert await process.wait() == 0
    assert bytes(got) == b"1000000 True\n"


async def test_a_pipe_that_nobody_reads_holds_its_writer_up(root: Path) -> None:
    async def sink(kind: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    with trio.fail_after(30):
        async with (
            open_host(root) as host,
            host.open_process(
                python("import time; time.sleep(60)"),
                env=environment(host),
                cwd=host.work,
                stdio=NO_INPUT,
            ) as process,
            process.streaming(sink, None),
        ):
            with trio.move_on_after(0.2) as scope:
                await process.write_stdin(b"x" * 1_000_000)
            assert scope.cancelled_caught
            process.kill()


@pytest.mark.parametrize("stdin", ["terminal", "pipe"])
async def test_a_new_size_is_told(root: Path, stdin: Literal["terminal", "pipe"]) -> None:
    source = """
    import os, signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
    print("ready", flush=True)
    signal.sigwait({signal.SIGWINCH})
    print(*os.get_terminal_size(1))
    """
    said = b""

    async def sink(_kind: str, data: bytes) -> None:
        nonlocal said
        await trio.lowlevel.checkpoint()
        said += data
        if said == b"ready\n":
            process.resize(24, 80)  # it has this size
            process.resize(40, 132)

    with trio.fail_after(30):
        async with (
            open_host(root) as host,
            host.open_process(
                python(source), env=environment(host), cwd=host.work, stdio=Stdio(stdin=stdin)
            ) as process,
        ):
            assert await process.run(sink, None) == 0
    assert said == b"ready\n132 40\n"
