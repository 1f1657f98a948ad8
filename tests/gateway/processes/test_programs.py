"""Real programs under a real process host: their output, their exit codes, and their end."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from backendai_trio.gateway.processes.output_source import READ_BYTES
from backendai_trio.gateway.processes.process_host import ProgramNotStartedError, open_host
from backendai_trio.gateway.processes.program_streams import PIPED
from backendai_trio.wire.stdio import Stdio

from .programs import TALK, alive, compile_c, environment, exists, linux_only, python, run

pytestmark = linux_only


@pytest.mark.parametrize("stdio", [Stdio(), PIPED], ids=["terminal", "pipe"])
async def test_10_mb_through_a_slow_sink_arrive_whole(root: Path, stdio: Stdio) -> None:
    source = "for i in range(125_000): print('%079d' % i)"
    got = bytearray()

    async def sink(kind: str, data: bytes) -> None:
        # Slow enough for the program to fill the pipe and wait.
        if len(got) < 1_000_000:
            await trio.sleep(0.01)
        await trio.lowlevel.checkpoint()
        assert len(data) <= READ_BYTES
        got.extend(data)

    async def ask(is_password: bool) -> bytes | None:
        await trio.lowlevel.checkpoint()
        raise AssertionError("nobody asked")

    with trio.fail_after(60):
        async with (
            open_host(root) as host,
            host.open_process(
                python(source), env=environment(host), cwd=host.work, stdio=stdio
            ) as process,
        ):
            assert await process.run(sink, ask) == 0
    assert bytes(got) == b"".join(b"%079d\n" % i for i in range(125_000))


async def test_bytes_come_through_untouched(root: Path, conversation: TALK) -> None:
    source = "import os; os.write(1, bytes(range(256)) + 'é\\r\\n\\t'.encode())"
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation()
            assert await run(host, python(source), talk) == 0
    assert talk.text("stdout") == bytes(range(256)) + "é\r\n\t".encode()


async def test_something_in_the_background_does_not_keep_a_run_open(
    root: Path, conversation: TALK
) -> None:
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation()
            script = "sleep 1000 & echo $!; (while :; do echo; done) >&2 & exit 7"
            assert await run(host, ["sh", "-c", script], talk) == 7
            # It was left alone until the kernel ends.
            pid = int(talk.text("stdout"))
            assert alive(pid)
    assert not alive(pid)


async def test_errors_of_the_sink_come_out_bare(root: Path, conversation: TALK) -> None:
    async def sink(kind: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("full")

    with trio.fail_after(30):
        async with open_host(root) as host:
            with pytest.raises(LookupError, match="full"):
                async with host.open_process(
                    ["yes"], env=environment(host), cwd=host.work, stdio=PIPED
                ) as process:
                    await process.run(sink, conversation().ask)
            assert not alive(process.pid)


async def test_a_cancelled_kernel_ends_at_once(root: Path, conversation: TALK) -> None:
    talk = conversation()
    with trio.CancelScope() as scope:

        async def sink(kind: str, data: bytes) -> None:
            await trio.lowlevel.checkpoint()
            scope.cancel()

        async with (
            open_host(root) as host,
            host.open_process(
                ["yes"], env=environment(host), cwd=host.work, stdio=Stdio()
            ) as process,
        ):
            await process.run(sink, talk.ask)
    assert scope.cancelled_caught
    assert not alive(process.pid)
    assert not exists(root)
    assert host.usage  # it ended by itself, it was not killed


async def test_exit_codes_and_missing_programs(root: Path, conversation: TALK) -> None:
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation()
            assert await run(host, ["sh", "-c", "exit 3"], talk) == 3
            assert await run(host, ["sh", "-c", "kill -9 $$"], talk) == 137
            with pytest.raises(ProgramNotStartedError, match="no-such-program: No such file"):
                await run(host, ["no-such-program"], talk)


async def test_interrupt_and_kill(root: Path, conversation: TALK, c_compiler: str) -> None:
    source = """
        #include <stdio.h>
        int main(void) { puts("busy"); fflush(stdout); for (;;) {} }
    """
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation()
            program = await compile_c(host, c_compiler, source, talk)
            for stop, code in (("interrupt", 130), ("kill", 137)):
                async with host.open_process(
                    [program], env=environment(host), cwd=host.work, stdio=Stdio()
                ) as process:

                    async def sink(kind: str, data: bytes) -> None:
                        await trio.lowlevel.checkpoint()
                        getattr(process, stop)()  # noqa: B023

                    assert await process.run(sink, talk.ask) == code
