"""What a run says of itself: its events in order, its exit code, and the state that it leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backendai_trio import (
    Client,
    Finished,
    KernelSpec,
    LocalProtocolError,
    Stderr,
    Stdout,
    TrioKernel,
    open_kernel,
)

from .runs import every_way, run


@every_way
async def test_events_are_typed_and_in_order(kernel: TrioKernel) -> None:
    ran = await run(
        kernel,
        "import sys\n"
        "print('one')\n"
        "print('two', file=sys.stderr)\n"
        "print('three')\n"
        "sys.stderr.write('four')\n"
        "print(end='five')\n",
    )
    assert ran.events == [
        Stdout("one\n"),
        Stderr("two\n"),
        Stdout("three\n"),
        Stderr("four"),
        Stdout("five"),
        Finished(0),
    ]


@every_way
async def test_child_processes_are_heard(kernel: TrioKernel) -> None:
    ran = await run(kernel, "import subprocess; subprocess.run('echo out; echo err >&2', shell=1)")
    assert (ran.stdout, ran.stderr, ran.exit_code) == ("out\n", "err\n", 0)


async def test_run_that_prints_nothing(kernel: TrioKernel) -> None:
    assert (await run(kernel, "x = 1")).events == [Finished(0)]
    assert (await run(kernel, "")).events == [Finished(0)]


@every_way
async def test_iterating_on_after_the_end(kernel: TrioKernel) -> None:
    async with kernel.execute("pass") as execution:
        assert execution.outcome is None
        assert [event async for event in execution] == [Finished(0)]
        assert [event async for event in execution] == []
        assert execution.outcome == Finished(0)
        with pytest.raises(LocalProtocolError):
            await execution.send_input("too late")


@pytest.mark.parametrize("way", ["polls"])
async def test_poll_that_was_never_made_starts_nothing(kernel: TrioKernel) -> None:
    async with kernel.execute("open('trace', 'w')"):
        pass
    ran = await run(kernel, "import os; print(os.listdir())")
    assert ran.stdout == "[]\n"


async def test_run_that_nobody_looks_at_is_stopped(kernel: TrioKernel) -> None:
    async with kernel.execute("while True: pass") as execution:
        pass
    assert execution.outcome == Finished(130)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


async def test_run_id_is_ours_to_choose(kernel: TrioKernel) -> None:
    async with kernel.execute("pass", run_id="mine") as execution:
        assert execution.run_id == "mine"
        assert [event async for event in execution] == [Finished(0)]
        assert execution.run_id == "mine"
    async with kernel.execute("pass") as execution:
        assert execution.run_id
    for wrong in ("", "x" * 65):
        with pytest.raises(LocalProtocolError, match="64 characters"):
            kernel.execute("pass", run_id=wrong)


@pytest.mark.parametrize(
    ("code", "exit_code", "stderr"),
    [
        ("pass", 0, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('bye')", 1, "bye\n"),
        ("import sys; sys.exit(256 + 7)", 7, ""),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("this is no python", 1, "SyntaxError: invalid syntax\n"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt\n"),
        ("import os; os._exit(7)", 7, ""),
        ("import os; os.kill(os.getpid(), 9)", 137, "the next run starts a new interpreter]\n"),
    ],
)
async def test_exit_codes_of_python(
    kernel: TrioKernel, code: str, exit_code: int, stderr: str
) -> None:
    ran = await run(kernel, code)
    assert ran.exit_code == exit_code
    assert ran.stderr.endswith(stderr)
    assert (stderr == "") == (ran.stderr == "")
    # Whatever it was, the kernel takes code again.
    assert (await run(kernel, "print('well')")).stdout == "well\n"


@pytest.mark.parametrize(
    ("code", "at_once", "next_time"),
    [
        ("os.kill(os.getpid(), 11)", "killed by SIGSEGV (Segmentation fault)", "SIGSEGV"),
        ("os.abort()", "killed by SIGABRT (Aborted)", "SIGABRT"),
        ("os._exit(3)", "", "exited with code 3"),
    ],
)
async def test_crash_of_the_interpreter_is_reported(
    kernel: TrioKernel, code: str, at_once: str, next_time: str
) -> None:
    """At once if it is a crash, and in any case by the next run: all variables are gone."""
    assert (await run(kernel, "x = 1")).stderr == ""
    crashed = await run(kernel, f"import os; {code}")
    assert at_once in crashed.stderr
    assert (crashed.stderr == "") == (at_once == "")
    ran = await run(kernel, "print('x' in globals())")
    assert ran.stdout == "False\n"
    assert next_time in ran.stderr and "variables are lost" in ran.stderr
    assert (await run(kernel, "pass")).stderr == ""


@pytest.mark.parametrize(
    ("runtime", "program", "code", "exit_code"),
    [
        ("lua", None, "print('hi')", 0),
        ("lua", None, "error('broken')", 1),
        ("bash", "bash", "exit 5", 5),
        ("bash", "bash", "kill -TERM $$", 143),
        ("perl", "perl", "exit 6", 6),
    ],
)
async def test_exit_codes_of_others(
    client: Client,
    installed: Callable[..., str],
    runtime: str,
    program: str | None,
    code: str,
    exit_code: int,
) -> None:
    if program is not None:
        installed(program)
    async with open_kernel(client, KernelSpec(runtime=runtime)) as kernel:
        assert (await run(kernel, code)).exit_code == exit_code


@every_way
async def test_state_is_kept_in_python(kernel: TrioKernel) -> None:
    await run(kernel, "import math\nx = 40\ndef double(n): return 2 * n")
    await run(kernel, "1 / 0")
    assert (await run(kernel, "print(x + 2, double(4), math.floor(2.5))")).stdout == "42 8 2\n"


async def test_state_is_kept_in_lua(client: Client) -> None:
    async with open_kernel(client, KernelSpec(runtime="lua5")) as kernel:
        await run(kernel, "x = 40; function double(n) return 2 * n end")
        assert (await run(kernel, "error('broken')")).exit_code == 1
        assert (await run(kernel, "print(x + 2, double(4))")).stdout == "42\t8\n"
