"""Running code on the real gateway: what comes back, in which order, and how it is stopped."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
import trio
import trio.testing

from backendai_trio import (
    ApiError,
    BatchOptions,
    BuildFinished,
    Client,
    Event,
    Execution,
    ExecutionError,
    ExecutionResult,
    Finished,
    InputRequest,
    KernelSpec,
    LocalProtocolError,
    Stderr,
    Stdout,
    TrioKernel,
    UploadError,
    attach_kernel,
    open_client,
    open_kernel,
)
from backendai_trio.files import plan_uploads
from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.kernels import CleanFinished
from backendai_trio.kernels.execution import execute
from backendai_trio.wire.execution import (
    INTERRUPT_RUN,
    RAW_CONSOLE,
    ExecuteReply,
    ExecuteRequest,
    Mode,
)
from backendai_trio.wire.http import JSON, Request
from backendai_trio.wire.resumable import RESUMABLE_STREAMS

from ..local_kernels import work_folder

PYTHON = KernelSpec(runtime="python")
# How a run's messages may travel (`backendai_trio.kernels.run_streams`).
WAYS = ("resumable", "socket", "polls")
FOR_EVER = "print('up', flush=True)\nwhile True: pass"


@pytest.fixture
def way() -> str:
    """How messages travel; tests that hold for each way are parametrised by it."""
    return "resumable"


@pytest.fixture
async def client(gateway: Gateway, way: str) -> AsyncIterator[Client]:
    """A client that makes use of no more than this way needs."""
    async with open_client(gateway.config) as opened:
        if way != "resumable":
            opened.hello = replace(opened.hello, features=frozenset({INTERRUPT_RUN, RAW_CONSOLE}))
        if way == "polls":
            opened.era = replace(opened.era, streams_executions=False)
        yield opened


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    """A kernel for Python."""
    async with open_kernel(client, PYTHON) as opened:
        yield opened


every_way = pytest.mark.parametrize("way", WAYS)
short_limits = pytest.mark.parametrize(
    "limits", [GatewayLimits(abandoned_seconds=0.2, poll_seconds=0.1)], ids=["short"]
)
# On a manager's socket a run has no id, so nobody can be asked how an interrupted one ended.
traceable_ways = pytest.mark.parametrize("way", ["resumable", "polls"])


@dataclass
class Ran:
    """What a run told, with neighbouring pieces of one stream put together."""

    events: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        last = self.events[-1] if self.events else None
        match last, event:
            case (Stdout(before), Stdout(text)):
                self.events[-1] = Stdout(before + text)
            case (Stderr(before), Stderr(text)):
                self.events[-1] = Stderr(before + text)
            case _:
                self.events.append(event)

    @property
    def stdout(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Stdout))

    @property
    def stderr(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Stderr))

    @property
    def exit_code(self) -> int | None:
        assert isinstance(self.events[-1], Finished)
        return self.events[-1].exit_code


async def run(
    kernel: TrioKernel,
    code: str = "",
    *,
    answers: Iterable[str | None] = (),
    mode: Literal["query", "batch"] = "query",
    options: BatchOptions | None = None,
) -> Ran:
    """Run code to its end."""
    ran = Ran()
    rest = iter(answers)
    async with kernel.execute(code, mode=mode, options=options) as execution:
        async for event in execution:
            ran.add(event)
            if isinstance(event, InputRequest):
                await execution.send_input(next(rest))
        assert execution.outcome is ran.events[-1]
    assert list(rest) == []
    return ran


async def arrived(kernel: TrioKernel, task_is_sending: trio.Event) -> None:
    """Wait until another run waits for its turn: here, or in our own gateway's queue."""
    if not kernel.client.has(RESUMABLE_STREAMS):
        task_is_sending.set()
        turn = kernel.client.turns[kernel.address].semaphore
        while not turn.statistics().tasks_waiting:  # noqa: ASYNC110 (a statistic has no event)
            await trio.lowlevel.checkpoint()
        return
    before = (await kernel.info()).queries
    task_is_sending.set()
    mine = 0
    while (await kernel.info()).queries - before - mine <= 1:
        mine += 1


def need(program: str) -> None:
    """Skip where a runtime is missing; fail where all tests must run, as in CI."""
    if shutil.which(program) is None:
        end = pytest.fail if os.environ.get("BACKENDAI_TESTS_REQUIRE_ALL") else pytest.skip
        end(f"{program} is not installed")


# --- events --------------------------------------------------------------------------------------


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
    client: Client, runtime: str, program: str | None, code: str, exit_code: int
) -> None:
    if program is not None:
        need(program)
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


# --- questions -----------------------------------------------------------------------------------


@every_way
async def test_password_after_other_input(client: Client) -> None:
    """A program that reads its terminal itself; the answer to one question brings the next."""
    code = "read -p 'name? ' name; read -s -p 'password? ' word; echo; echo $name-$word"
    questions: list[bool] = []
    async with (
        open_kernel(client, KernelSpec(runtime="bash")) as kernel,
        kernel.execute(code) as run,
    ):
        async for event in run:
            if isinstance(event, InputRequest):
                questions.append(event.is_password)
                await run.send_input(f"answer{len(questions)}")
        assert run.outcome == Finished(0)
    assert questions == [False, True]


async def test_input_and_password(kernel: TrioKernel) -> None:
    code = (
        "from getpass import getpass\n"
        "name = input('your name? ')\n"
        "word = getpass('password? ')\n"
        "print(f'hello, {name}: {word!r}')\n"
    )
    ran = await run(kernel, code, answers=["LABLUP", "pass wörd"])
    assert ran.events == [
        Stdout("your name? "),
        InputRequest(is_password=False),
        Stdout("password? "),
        InputRequest(is_password=True),
        Stdout("hello, LABLUP: 'pass wörd'\n"),
        Finished(0),
    ]


@pytest.mark.parametrize("answer", ["", " ", "ünï", "a\\nb", "x" * 100_000, "\udc80"])
async def test_answers_arrive_as_they_are(kernel: TrioKernel, answer: str) -> None:
    ran = await run(kernel, "print(ascii(input()))", answers=[answer])
    assert ran.stdout == ascii(answer) + "\n"


async def test_end_of_input_in_python(kernel: TrioKernel) -> None:
    ran = await run(kernel, "while True: print(input())", answers=["one", "two", None])
    assert ran.stdout == "one\ntwo\n"
    assert ran.stderr.endswith("EOFError: EOF when reading a line\n")
    assert ran.exit_code == 1
    ran = await run(kernel, "print(input())", answers=["three"])
    assert ran.stdout == "three\n"


async def test_questions_of_lua(client: Client) -> None:
    async with open_kernel(client, KernelSpec(runtime="lua")) as kernel:
        code = "io.write('name? '); print('<' .. io.read() .. '>'); print(io.read())"
        ran = await run(kernel, code, answers=["LABLUP", None])
        assert ran.stdout == "name? <LABLUP>\nnil\n"
        assert ran.exit_code == 0


@every_way
async def test_answer_needs_a_question(kernel: TrioKernel) -> None:
    async with kernel.execute("print(input())") as execution:
        with pytest.raises(LocalProtocolError, match="does not wait"):
            await execution.send_input("too early")
        assert await anext(execution) == InputRequest()
        await execution.send_input("now")
        with pytest.raises(LocalProtocolError, match="does not wait"):
            await execution.send_input("twice")
        assert await anext(execution) == Stdout("now\n")


@pytest.mark.parametrize("way", ["socket", "polls"])
async def test_no_end_of_input_where_the_server_cannot(kernel: TrioKernel) -> None:
    with pytest.raises(ExecutionError, match="cannot tell"):
        async with kernel.execute("print(input())") as execution:
            assert await anext(execution) == InputRequest()
            await execution.send_input(None)
            await anext(execution)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@every_way
async def test_typing_ahead(kernel: TrioKernel) -> None:
    async with kernel.execute("print(input()); print(input())") as execution:
        await execution.send_stdin(b"one\ntw")
        assert await anext(execution) == Stdout("one\n")
        await execution.send_stdin(b"o\n")
        rest = Ran()
        async for event in execution:
            rest.add(event)
    assert rest.stdout == "two\n"
    assert rest.exit_code == 0


# --- batch ---------------------------------------------------------------------------------------


def write(folder: Path, **files: str) -> list[Path]:
    """Make files, with ``_`` for the dot in their names."""
    paths = []
    for name, text in files.items():
        path = folder / ".".join(name.rsplit("_", 1))
        path.write_text(text)
        paths.append(path)
    return paths


async def test_batch_of_python(kernel: TrioKernel, tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        main_py="import sys, helper\nprint('name?')\nprint(helper.greet(input()))\nsys.exit(4)\n",
        helper_py="def greet(name): return f'hello, {name}'\n",
    )
    await kernel.upload(plan_uploads(paths, base=tmp_path))
    for _ in range(2):  # the files stay
        ran = await run(kernel, mode="batch", answers=["LABLUP"])
        assert ran.events == [
            Stdout("name?\n"),
            InputRequest(),
            Stdout("hello, LABLUP\n"),
            Finished(4),
        ]


C_MAIN = """
#include <stdio.h>
#include "mylib.h"
int main(void) {
    char name[32];
    printf("myvalue is %d\\nyour name? ", myvalue());
    if (scanf("%31s", name) != 1) { fprintf(stderr, "no name\\n"); return 3; }
    printf("hello, %s!\\n", name);
    return 0;
}
"""


@every_way
async def test_batch_of_c(client: Client, tmp_path: Path, c_compiler: str) -> None:
    paths = write(
        tmp_path,
        main_c=C_MAIN,
        mylib_c='#include "mylib.h"\nint myvalue(void) { return 42; }\n',
        mylib_h="int myvalue(void);\n",
    )
    async with open_kernel(client, KernelSpec(runtime="c")) as kernel:
        await kernel.upload(plan_uploads(paths, base=tmp_path))
        ran = await run(kernel, mode="batch", answers=["LABLUP"])
        assert ran.events == [
            BuildFinished(0),
            Stdout("myvalue is 42\nyour name? "),
            InputRequest(),
            Stdout("hello, LABLUP!\n"),
            Finished(0),
        ]


async def test_end_of_input_in_c(client: Client, tmp_path: Path, c_compiler: str) -> None:
    paths = write(tmp_path, main_c=C_MAIN, mylib_h="static int myvalue(void) { return 42; }\n")
    async with open_kernel(client, KernelSpec(runtime="c")) as kernel:
        await kernel.upload(plan_uploads(paths, base=tmp_path))
        await run(kernel, mode="batch", answers=["LABLUP"])
        # Often: the end of input and the look at what the program waits for are two tasks.
        for _ in range(20):
            options = BatchOptions(build=None)
            ran = await run(kernel, mode="batch", options=options, answers=[None])
            assert (ran.stderr, ran.exit_code) == ("no name\n", 3), ran.stdout


@every_way
async def test_build_that_fails(client: Client, tmp_path: Path, c_compiler: str) -> None:
    paths = write(tmp_path, main_c="int main(void) { return nonsense; }\n")
    async with open_kernel(client, KernelSpec(runtime="c")) as kernel:
        await kernel.upload(plan_uploads(paths, base=tmp_path))
        ran = await run(kernel, mode="batch")
        assert "nonsense" in ran.stderr
        assert ran.events[-2:] == [BuildFinished(1), Finished(1)]
        assert ran.stdout == ""


async def test_query_of_c(client: Client, c_compiler: str) -> None:
    async with open_kernel(client, KernelSpec(runtime="c")) as kernel:
        code = '#include <stdio.h>\nint main() { printf("hello world\\n"); return 2; }'
        ran = await run(kernel, code)
        assert ran.events == [Stdout("hello world\n"), Finished(2)]


async def test_commands_of_a_batch(kernel: TrioKernel) -> None:
    options = BatchOptions(clean="echo c", build="echo b", exec="echo e; exit 9", build_log=True)
    ran = await run(kernel, mode="batch", options=options)
    assert ran.events == [
        Stdout("c\n"),
        CleanFinished(0),
        Stdout("b\n"),
        BuildFinished(0),
        Stdout("e\n"),
        Finished(9),
    ]
    ran = await run(kernel, mode="batch", options=BatchOptions(build="echo b", exec=None))
    assert ran.events == [BuildFinished(0), Finished(0)]


async def test_batch_with_nothing_to_run(kernel: TrioKernel) -> None:
    ran = await run(kernel, mode="batch")
    assert "nothing to run: no main.py" in ran.stderr
    assert ran.exit_code == 127


async def test_many_files_at_once(kernel: TrioKernel, tmp_path: Path) -> None:
    paths = []
    for number in range(45):
        (tmp_path / f"file{number}").write_bytes(bytes([number]) * number)
        paths.append(tmp_path / f"file{number}")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    paths.append(tmp_path / "deep" / "er" / 'ünï code "quoted".txt')
    paths[-1].write_bytes(b"x" * 1_048_575)
    await kernel.upload(plan_uploads(paths, base=tmp_path))
    ran = await run(
        kernel,
        "from pathlib import Path\n"
        "print(all(Path(f'file{n}').read_bytes() == bytes([n]) * n for n in range(45)))\n"
        "for path in Path('deep').rglob('*.txt'): print(path, path.stat().st_size)\n",
    )
    assert ran.stdout == 'True\ndeep/er/ünï code "quoted".txt 1048575\n'


async def test_file_that_changes_while_it_is_sent(kernel: TrioKernel, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    for text in (b"1234", b"123456"):
        planned = plan_uploads([path])
        path.write_bytes(text)
        with pytest.raises(UploadError, match="changed its size"):
            await kernel.upload(planned)
    planned = plan_uploads([path])
    path.unlink()
    with pytest.raises(UploadError, match="cannot be read"):
        await kernel.upload(planned)
    assert (await run(kernel, "import os; print(os.listdir())")).stdout == "[]\n"


# --- stopping ------------------------------------------------------------------------------------


@every_way
async def test_interrupt_from_another_task(kernel: TrioKernel) -> None:
    ran = Ran()
    async with kernel.execute(FOR_EVER) as execution, trio.open_nursery() as nursery:
        async for event in execution:
            ran.add(event)
            if isinstance(event, Stdout):
                nursery.start_soon(execution.interrupt)
    assert ran.events[0] == Stdout("up\n")
    assert ran.stderr.endswith("KeyboardInterrupt\n")
    assert ran.exit_code == 130


@every_way
async def test_interrupt_of_the_kernel(kernel: TrioKernel) -> None:
    async with kernel.execute(FOR_EVER) as execution:
        async for event in execution:
            if isinstance(event, Stdout):
                await kernel.interrupt()
        assert execution.outcome == Finished(130)


@every_way
async def test_interrupt_that_overtakes_its_run(kernel: TrioKernel) -> None:
    async with kernel.execute("while True: pass") as execution:
        await execution.interrupt()
        async for _ in execution:
            pass
        assert execution.outcome == Finished(130)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


async def test_interrupt_of_a_run_that_has_ended_hits_no_other(kernel: TrioKernel) -> None:
    async with kernel.execute("pass") as first:
        async for _ in first:
            pass
        async with kernel.execute("print(input())") as second:
            assert await anext(second) == InputRequest()
            await first.interrupt()
            await second.send_input("not hit")
            assert [event async for event in second] == [Stdout("not hit\n"), Finished(0)]


@every_way
async def test_interrupt_while_it_waits_for_input(kernel: TrioKernel) -> None:
    async with kernel.execute("input()") as execution:
        assert await anext(execution) == InputRequest()
        await execution.interrupt()
        events = [event async for event in execution]
        assert events[-1] == Finished(130)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@every_way
async def test_interrupt_while_somebody_waits_for_the_next_event(kernel: TrioKernel) -> None:
    """As at a terminal: one task iterates, and another hears of Ctrl-C."""
    events: list[Event] = []
    async with kernel.execute("input()") as execution, trio.open_nursery() as nursery:

        async def iterate() -> None:
            async for event in execution:
                events.append(event)

        nursery.start_soon(iterate)
        while not events:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await execution.interrupt()
    assert (events[0], events[-1]) == (InputRequest(), Finished(130))
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@every_way
async def test_answer_after_an_interrupt_is_for_the_next_question(kernel: TrioKernel) -> None:
    """What has to be said to end the first one is none, nor is what was typed meanwhile lost."""
    code = (
        "try:\n    input()\nexcept KeyboardInterrupt:\n    print('caught', flush=True)\n"
        "print(input(), input())\n"
    )
    ran = Ran()
    async with kernel.execute(code) as execution:
        assert await anext(execution) == InputRequest()
        await execution.interrupt()
        async for event in execution:
            ran.add(event)
            if event == Stdout("caught\n"):
                await execution.send_stdin(b"one\ntwo\n")
    assert ran.stdout == "caught\none two\n"
    assert ran.exit_code == 0


@every_way
async def test_program_that_minds_no_interrupt_goes_on(kernel: TrioKernel) -> None:
    code = (
        "try:\n    print('up', flush=True)\n    while True: pass\n"
        "except KeyboardInterrupt:\n    print('caught')\n"
    )
    async with kernel.execute(code) as execution:
        assert await anext(execution) == Stdout("up\n")
        await execution.interrupt()
        assert [event async for event in execution] == [Stdout("caught\n"), Finished(0)]


@pytest.mark.parametrize("runtime", ["lua", "bash", "perl"])
async def test_cancel_interrupts_other_runtimes(client: Client, runtime: str) -> None:
    code = {
        "lua": "print('up') io.flush() while true do end",
        "bash": "echo up; while :; do :; done",
        "perl": "$| = 1; print qq(up\\n); 1 while 1;",
    }[runtime]
    if runtime != "lua":
        need(runtime)
    async with open_kernel(client, KernelSpec(runtime=runtime)) as kernel:
        with trio.CancelScope() as scope:
            async with kernel.execute(code) as execution:
                async for _ in execution:
                    scope.cancel()
        assert scope.cancelled_caught
        assert execution.outcome == Finished(130)
        after = {"lua": "print('well')", "bash": "echo well", "perl": "print qq(well\\n)"}[runtime]
        assert (await run(kernel, after)).stdout == "well\n"


@traceable_ways
async def test_cancel_interrupts_and_the_kernel_is_usable(kernel: TrioKernel) -> None:
    await run(kernel, "x, hit = 1, False")
    code = (
        "try:\n    print('up', flush=True)\n    while True: pass\n"
        "except KeyboardInterrupt:\n    hit = True\n    raise\n"
    )
    with trio.CancelScope() as scope:
        async with kernel.execute(code) as execution:
            async for event in execution:
                assert event == Stdout("up\n")
                scope.cancel()
    assert scope.cancelled_caught
    # Leaving the block took until the code had stopped.
    assert execution.outcome == Finished(130)
    assert (await run(kernel, "print(x, hit)")).stdout == "1 True\n"


@traceable_ways
async def test_cancel_while_it_waits_for_input(kernel: TrioKernel) -> None:
    with trio.CancelScope() as scope:
        async with kernel.execute("input()") as execution:
            async for _ in execution:
                scope.cancel()
                await trio.lowlevel.checkpoint()
    assert execution.outcome == Finished(130)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@every_way
async def test_cancel_while_nothing_is_printed(
    kernel: TrioKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the cancel hits the wait for a message, and it must not have to wait for a polite end
    from a connection that died with it."""
    monkeypatch.setattr("backendai_trio.transport.resumable.CLOSE_SECONDS", 1000)
    up = trio.Event()
    scope = trio.CancelScope()

    async def use() -> None:
        with scope:
            async with kernel.execute(FOR_EVER) as execution:
                async for _ in execution:
                    up.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        await up.wait()
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
    assert scope.cancelled_caught
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@traceable_ways
async def test_leaving_the_block_early(kernel: TrioKernel) -> None:
    async with kernel.execute(FOR_EVER) as execution:
        async for _ in execution:
            break
    assert execution.outcome == Finished(130)
    with pytest.raises(ValueError, match="of the user"):
        async with kernel.execute(FOR_EVER) as execution:
            async for _ in execution:
                raise ValueError("of the user")
    assert execution.outcome == Finished(130)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@traceable_ways
async def test_program_that_asks_again_when_interrupted(kernel: TrioKernel) -> None:
    code = (
        "for _ in '12':\n    try:\n        input()\n    except KeyboardInterrupt:\n        pass\n"
    )
    async with kernel.execute(code) as execution:
        assert await anext(execution) == InputRequest()
    assert execution.outcome == Finished(0)


async def test_program_that_cannot_be_stopped_is_reported(gateway: Gateway) -> None:
    config = replace(gateway.config, grace_seconds=0.5)
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('up', flush=True)\nwhile True: pass\n"
    )
    async with open_client(config) as client, open_kernel(client, PYTHON) as kernel:
        with pytest.warns(RuntimeWarning, match=kernel.address):
            async with kernel.execute(code) as execution:
                await anext(execution)
    assert gateway.tokens() == []


@pytest.mark.parametrize("way", ["socket", "polls"])
async def test_leaving_a_managers_run_at_its_question(client: Client, kernel: TrioKernel) -> None:
    """The question is answered, with nothing: a manager's kernel would wait for that for ever."""
    client.hello = replace(client.hello, features=frozenset({RAW_CONSOLE}))
    with trio.CancelScope() as scope:
        async with kernel.execute("input()") as execution:
            assert await anext(execution) == InputRequest()
            scope.cancel()
            await anext(execution)
    assert (await run(kernel, "print(input())", answers=["mine"])).stdout == "mine\n"


for_ever_patient = pytest.mark.parametrize(
    "limits", [GatewayLimits(abandoned_seconds=1e6)], ids=["for-ever"]
)
ASKING = "try:\n    print(input('name? '))\nexcept KeyboardInterrupt:\n    ended = True\n"


async def ask(kernel: TrioKernel, code: str = ASKING, **answer: str) -> ExecutionResult:
    """Run code, or answer, as the other faces do: until it ends or asks."""
    mode: Mode = "input" if answer else "query"
    request = ExecuteRequest(mode, answer.get("run_id") or secrets.token_hex(8), code)
    return await execute(kernel.client, kernel.address, request)


@for_ever_patient
@pytest.mark.parametrize("way", ["socket", "polls"])
async def test_question_that_nobody_answers_gives_way(client: Client, kernel: TrioKernel) -> None:
    """A manager's kernel would wait for the answer for ever, and take no other code."""
    client.hello = replace(client.hello, features=frozenset({RAW_CONSOLE}))
    assert (await ask(kernel))["status"] == "waiting-input"
    assert (await run(kernel, "print(ended)")).stdout == "True\n"
    # One that is answered goes on, and holds nobody up afterwards.
    asked = await ask(kernel)
    answered = await ask(kernel, "me", run_id=asked["runId"])
    assert (answered["status"], answered["console"]) == ("finished", [("stdout", "me\n")])
    assert (await run(kernel, "print(1)")).stdout == "1\n"
    # A restart ends it as well.
    await ask(kernel)
    await kernel.restart()
    assert (await run(kernel, "print(2)")).stdout == "2\n"
    assert client.waiting_runs == {} == client.turns


@for_ever_patient
async def test_question_that_cannot_be_ended_says_so(gateway: Gateway) -> None:
    config = replace(gateway.config, grace_seconds=0.5)
    code = (
        "while True:\n    try:\n        input('name? ')\n    except BaseException:\n        pass\n"
    )
    async with open_client(config) as client:
        client.hello = replace(client.hello, features=frozenset({RAW_CONSOLE}))
        client.era = replace(client.era, streams_executions=False)
        async with open_kernel(client, PYTHON) as kernel:
            asked = await ask(kernel, code)
            for _ in range(2):
                with pytest.raises(ExecutionError, match=rf"{asked['runId']}.*restart"):
                    await run(kernel, "print(1)")


@pytest.mark.parametrize("way", ["socket"])
async def test_cancel_on_a_managers_socket(kernel: TrioKernel) -> None:
    """The interrupted run is read to its end: a manager's kernel would be of no use otherwise."""
    with trio.CancelScope() as scope:
        async with kernel.execute(FOR_EVER) as execution:
            assert await anext(execution) == Stdout("up\n")
            scope.cancel()
            await anext(execution)
    assert isinstance(execution.outcome, Finished)
    assert (await run(kernel, "print(6 * 7)")).stdout == "42\n"


@every_way
async def test_kernel_that_ends_under_its_run(client: Client) -> None:
    """The error is told once, and nobody claims that the run may still go on."""
    async with open_kernel(client, PYTHON) as kernel:
        with pytest.raises((ExecutionError, ApiError)):
            async with kernel.execute("input()") as execution:
                assert await anext(execution) == InputRequest()
                await kernel.destroy()
                await execution.send_input("nobody is there")
                async for _ in execution:
                    pass


@every_way
async def test_kernel_that_ends_while_it_runs(kernel: TrioKernel) -> None:
    """A poll is told an exit code of 130 (docs/protocol.md, section 4.2), a stream has no outcome
    at all: either way it is no success."""
    try:
        async with kernel.execute(FOR_EVER) as execution, trio.open_nursery() as nursery:
            assert await anext(execution) == Stdout("up\n")
            nursery.start_soon(kernel.destroy)
            async for _ in execution:
                pass
        assert execution.outcome == Finished(130)
    except* (ExecutionError, ApiError):
        pass


# --- several runs --------------------------------------------------------------------------------


@every_way
async def test_two_runs_at_once_take_turns(kernel: TrioKernel) -> None:
    order: list[str] = []
    go = trio.Event()

    async def second() -> None:
        await go.wait()
        assert (await run(kernel, "log.append('b')")).exit_code == 0
        order.append("second")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(second)
        code = "log = ['a1']; input(); log.append('a2')"
        async with kernel.execute(code) as execution:
            assert await anext(execution) == InputRequest()
            await arrived(kernel, go)
            await execution.send_input("")
            async for _ in execution:
                pass
            order.append("first")
    assert (await run(kernel, "print(log)")).stdout == "['a1', 'a2', 'b']\n"
    assert sorted(order) == ["first", "second"]


@traceable_ways
async def test_cancel_of_a_run_that_waits_for_its_turn(kernel: TrioKernel) -> None:
    go = trio.Event()

    async def second(scope: trio.CancelScope) -> None:
        await go.wait()
        with scope:
            await run(kernel, "log.append('b')")

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(second, scope)
        async with kernel.execute("log = ['a1']; input(); log.append('a2')") as execution:
            assert await anext(execution) == InputRequest()
            await arrived(kernel, go)
            scope.cancel()
            await execution.send_input("")
            assert [event async for event in execution] == [Finished(0)]
    assert (await run(kernel, "print(log)")).stdout == "['a1', 'a2']\n"


@every_way
@short_limits
async def test_run_that_its_client_abandoned_gives_way(client: Client, kernel: TrioKernel) -> None:
    """A client that was killed polls no more, and says nothing."""
    # It prints more than the gateway holds, so that it is blocked as well.
    code = "try:\n    while True: print('x' * 1000)\nexcept KeyboardInterrupt: hit = True"
    request = ExecuteRequest("query", "lost", code).encode()
    path = client.era.session_path(kernel.token)
    reply = await client.call(Request("POST", path, (), request, JSON))
    assert ExecuteReply.decode(reply.body).status == "continued"
    assert (await run(kernel, "print(hit)")).stdout == "True\n"


@pytest.mark.parametrize("way", ["resumable", "socket"])
@short_limits
async def test_a_question_may_be_thought_about(kernel: TrioKernel) -> None:
    """However long, and whoever else wants the kernel."""
    async with kernel.execute("answer = input()") as execution, trio.open_nursery() as nursery:
        assert await anext(execution) == InputRequest()
        nursery.start_soon(run, kernel, "pass")
        await trio.sleep(0.8)
        await execution.send_input("considered")
        assert [event async for event in execution] == [Finished(0)]
    assert (await run(kernel, "print(answer)")).stdout == "considered\n"


@pytest.mark.parametrize("way", ["socket"])
async def test_abandoned_run_gets_no_answer(kernel: TrioKernel) -> None:
    """Its kernel is about to be destroyed, and must not go on with an answer that nobody gave."""
    async with kernel.execute("input(); print('went', 'on')") as execution:
        assert await anext(execution) == InputRequest()
        execution.abandon()
    assert (await run(kernel, "print('next')")).stdout == "next\n"
    assert "went on" not in await kernel.logs()


@pytest.mark.parametrize("way", ["polls"])
async def test_a_cancelled_receive_loses_nothing(kernel: TrioKernel) -> None:
    """The poll goes on, since servers hand out output once; and the code runs once."""
    async with kernel.execute("import time; time.sleep(0.5); print('once')") as execution:
        with trio.move_on_after(0.1) as scope:
            await anext(execution)
        assert scope.cancelled_caught
        assert [event async for event in execution] == [Stdout("once\n"), Finished(0)]


@every_way
async def test_input_that_nobody_reads_holds_nobody_up(kernel: TrioKernel) -> None:
    async with kernel.execute("print(input())") as execution, trio.open_nursery() as nursery:
        nursery.start_soon(execution.send_stdin, b"first\n" + b"x" * 1_000_000)
        assert [event async for event in execution][-1] == Finished(0)


async def test_poll_of_a_client_that_went_away_loses_nothing(
    gateway: Gateway, kernel: TrioKernel, gateway_parent: Path
) -> None:
    """Output is taken out only by a poll whose client is still there."""
    code = (
        "import os, time\nprint('up')\n"
        "while not os.path.exists('signal'): time.sleep(0.01)\n"
        "print('here')\n"
    )
    go, gone = trio.Event(), trio.CancelScope()
    async with open_client(gateway.config) as other:

        async def exchange(request: ExecuteRequest) -> ExecuteReply:
            path = other.era.session_path(kernel.token)
            return ExecuteReply.decode(
                (await other.call(Request("POST", path, (), request.encode(), JSON))).body
            )

        async def poll() -> None:
            await go.wait()
            with gone:
                await exchange(ExecuteRequest("continue", "shared"))

        reply = await exchange(ExecuteRequest("query", "shared", code))
        assert reply.console == (("stdout", "up\n"),)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await arrived(kernel, go)
            gone.cancel()
        assert gone.cancelled_caught
        for _ in range(3):  # by then the gateway has seen the closed connection
            await kernel.info()
        (work_folder(gateway_parent) / "signal").touch()
        console: list[object] = []
        while reply.status != "finished":
            reply = await exchange(ExecuteRequest("continue", "shared"))
            console += reply.console
        assert console == [("stdout", "here\n")]


# --- output, much and odd ------------------------------------------------------------------------


async def hash_of(execution: Execution) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    async for event in execution:
        if isinstance(event, Stdout):
            data = event.text.encode("utf-8", "surrogateescape")
            digest.update(data)
            size += len(data)
    assert execution.outcome == Finished(0)
    return digest.hexdigest(), size


@every_way
async def test_ten_megabytes_arrive_whole_and_in_order(kernel: TrioKernel) -> None:
    lines = b"".join(b"%063d\n" % number for number in range(160_000))
    async with kernel.execute("for i in range(160_000): print(f'{i:063d}')") as execution:
        assert await hash_of(execution) == (hashlib.sha256(lines).hexdigest(), len(lines))


@every_way
async def test_ten_megabytes_of_a_batch(kernel: TrioKernel, tmp_path: Path) -> None:
    lines = b"".join(b"%063d\n" % number for number in range(160_000))
    (path,) = write(tmp_path, main_py="for i in range(160_000): print(f'{i:063d}')\n")
    await kernel.upload(plan_uploads([path]))
    async with kernel.execute(mode="batch") as execution:
        assert await hash_of(execution) == (hashlib.sha256(lines).hexdigest(), len(lines))


@every_way
async def test_characters_split_across_writes(kernel: TrioKernel) -> None:
    text = "ä€😀" * 50
    ran = await run(kernel, f"import os\nfor b in {text.encode()!r}: os.write(1, bytes([b]))")
    assert ran.events == [Stdout(text), Finished(0)]


@every_way
async def test_character_split_across_polls(kernel: TrioKernel) -> None:
    code = "import os; os.write(1, b'<\\xe2\\x82'); input(); os.write(1, b'\\xac>')"
    async with kernel.execute(code) as execution:
        assert await anext(execution) == Stdout("<")
        assert await anext(execution) == InputRequest()
        await execution.send_input("")
        assert await anext(execution) == Stdout("€>")


EVERY_BYTE = "import os; os.write(1, bytes(range(256))); os.write(2, b'\\xff\\n')"


@pytest.mark.parametrize("way", ["resumable", "polls"])
async def test_bytes_that_are_no_utf8_come_unchanged(kernel: TrioKernel) -> None:
    ran = await run(kernel, EVERY_BYTE)
    assert ran.stdout.encode("utf-8", "surrogateescape") == bytes(range(256))
    assert ran.stderr.encode("utf-8", "surrogateescape") == b"\xff\n"
    # Cut off in the middle of a character.
    ran = await run(kernel, "import os; os.write(1, b'\\xe2\\x82')")
    assert ran.stdout.encode("utf-8", "surrogateescape") == b"\xe2\x82"


@pytest.mark.parametrize("way", ["socket", "polls"])
async def test_bytes_that_are_no_utf8_for_a_client_that_does_not_know(
    client: Client, kernel: TrioKernel
) -> None:
    client.hello = replace(client.hello, features=frozenset({INTERRUPT_RUN}))
    ran = await run(kernel, EVERY_BYTE)
    assert ran.stdout == bytes(range(256)).decode("utf-8", "replace")
    assert ran.stderr == "\ufffd\n"


def resident_bytes() -> int:
    """What this process, gateway and client in one, holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


MIB = 1024 * 1024
PRINTER = """
import os
line = b'x' * 65535 + b'\\n'
for number in range(800):
    os.write(1, line)
    with open('progress', 'w') as file: file.write(str(65536 * (number + 1)))
"""


@pytest.mark.parametrize("way", ["resumable", "polls"])
async def test_nobody_polls_and_nothing_grows(kernel: TrioKernel, gateway_parent: Path) -> None:
    """50 MB: the program blocks until they are fetched, and at no time are they held here."""
    progress = trio.Path(work_folder(gateway_parent) / "progress")

    async def printed() -> int:
        try:
            return int(await progress.read_text() or 0)
        except FileNotFoundError:
            return 0

    before = resident_bytes()
    async with kernel.execute(PRINTER) as execution:
        first = await anext(execution)
        assert isinstance(first, Stdout)
        while True:
            if await printed() >= MIB:
                break
            await trio.sleep(0.01)
        # It may go on for a while now, but not far. Not reaching the limit is never an error, so
        # this needs no right moment.
        for _ in range(30):
            await trio.sleep(0.01)
            assert await printed() < 8 * MIB
            assert resident_bytes() - before < 30 * MIB
        size = len(first.text)
        async for event in execution:
            if isinstance(event, Stdout):
                size += len(event.text)
                assert resident_bytes() - before < 60 * MIB
        assert execution.outcome == Finished(0)
    assert size == 800 * 65536


async def test_many_runs_take_no_memory(client: Client) -> None:
    async with open_kernel(client, KernelSpec(runtime="lua")) as kernel:
        code = "print(string.rep('x', 10000))"
        for _ in range(50):
            await run(kernel, code)
        before = resident_bytes()
        for _ in range(100):
            await run(kernel, code)
        assert resident_bytes() - before < 8 * MIB


async def test_many_kernels_one_after_another_take_no_memory(client: Client) -> None:
    for number in range(24):
        if number == 12:
            before = resident_bytes()
        kernel = await attach_kernel(client, PYTHON, token="again")
        await kernel.destroy()
    assert resident_bytes() - before < 8 * MIB
