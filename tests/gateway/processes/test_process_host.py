"""Real programs under a real process host: terminals, questions, interrupts, and the end."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import trio

from backendai_trio.errors import GatewayError
from backendai_trio.gateway.kernels.commands import kernel_environment
from backendai_trio.gateway.kernels.runtimes import resolve
from backendai_trio.gateway.limits import GatewayLimits
from backendai_trio.gateway.processes.host_main import below
from backendai_trio.gateway.processes.interpreter import Interpreter, open_interpreter
from backendai_trio.gateway.processes.isolation import Isolation
from backendai_trio.gateway.processes.output_source import READ_BYTES
from backendai_trio.gateway.processes.process_host import (
    KernelHost,
    ProgramNotStartedError,
    open_host,
)
from backendai_trio.gateway.processes.pty import PseudoTerminal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels run on Linux only")

TALK = Callable[..., Any]


def environment(host: KernelHost) -> dict[str, str]:
    return kernel_environment(resolve("bash"), home=host.home, tmp=host.tmp, user={})


async def run(
    host: KernelHost, argv: list[str], talk: Any, stdout: Literal["terminal", "pipe"] = "terminal"
) -> int:
    async with host.open_process(
        argv, env=environment(host), cwd=host.work, stdout=stdout
    ) as process:
        return await process.run(talk.sink, talk.ask)


async def compile_c(host: KernelHost, compiler: str, source: str, talk: Any) -> str:
    (host.work / "main.c").write_text(textwrap.dedent(source))
    assert await run(host, [compiler, "-o", "main", "main.c"], talk) == 0
    return "./main"


def python(source: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(source)]


@asynccontextmanager
async def interpreter(root: Path, name: str) -> AsyncIterator[Interpreter]:
    argv = resolve(name).interpreter_argv()
    assert argv is not None
    with trio.fail_after(60):
        async with (
            open_host(root) as host,
            open_interpreter(host, argv, env=environment(host)) as interp,
        ):
            yield interp


async def wait_until(condition: Callable[[], bool]) -> None:
    """Look again until it holds; the caller sets the limit. Other processes send us no events."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.005)


def stat(pid: int) -> list[str]:
    """State, parent, ...; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def alive(pid: int) -> bool:
    fields = stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def parent(pid: int) -> int:
    return int(stat(pid)[1])


def outer(root: int, pid: int) -> int:
    """The process below `root` that calls itself `pid`, by the id that we know it by."""
    for candidate in below(root):
        for line in Path(f"/proc/{candidate}/status").read_text().splitlines():
            # One for each namespace that it is in, ours first.
            if line.startswith("NSpid:") and int(line.split()[-1]) == pid:
                return candidate
    raise LookupError(pid)


def exists(path: Path) -> bool:
    return path.exists()


# -- programs on a terminal -----------------------------------------------------------------------


async def test_prompt_without_flush_is_seen_before_the_answer(
    root: Path, conversation: TALK, c_compiler: str
) -> None:
    source = """
        #include <stdio.h>
        int main(void) {
            char name[100], town[100];
            printf("name? "); if (!fgets(name, 100, stdin)) return 1;
            printf("town? "); if (!fgets(town, 100, stdin)) return 2;
            fprintf(stderr, "note\\n");
            printf("%s%s", name, town);
            return fgets(name, 100, stdin) ? 3 : 42;
        }
    """
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation(b"Ada\n", b"London\n", None)
            program = await compile_c(host, c_compiler, source, talk)
            assert await run(host, [program], talk) == 42
    assert talk.said[:4] == [
        ("stdout", b"name? "),
        ("asked", b""),
        ("stdout", b"town? "),
        ("asked", b""),
    ]
    assert talk.text("stdout") == b"name? town? Ada\nLondon\n"
    assert talk.text("stderr") == b"note\n"
    assert talk.questions == [False, False, False]


async def test_getpass_in_a_program_asks_for_a_password(root: Path, conversation: TALK) -> None:
    source = "import getpass; print(input('user: '), getpass.getpass('secret: '))"
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation(b"ada\n", b"pw\n")
            assert await run(host, python(source), talk) == 0
    assert talk.questions == [False, True]
    # On a terminal Python's input() writes its prompt to stderr, and getpass to /dev/tty.
    assert talk.said[0] == ("stderr", b"user: ")
    assert talk.text("stdout") == b"secret: \nada pw\n"


async def test_end_of_file_can_come_more_than_once(root: Path, conversation: TALK) -> None:
    source = """
        import sys
        print(sys.stdin.read(), end="")
        print(sys.stdin.read(), end="")
        print("end")
    """
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation(b"a\n", b"b\n", None, b"c\n", None)
            assert await run(host, python(source), talk) == 0
    assert talk.text("stdout") == b"a\nb\nc\nend\n"


@pytest.mark.parametrize(
    "wait",
    [
        "import select; select.select([0], [], [])",
        "import select; p = select.poll(); p.register(0, select.POLLIN); p.poll()",
        "import select; p = select.epoll(); p.register(0, select.EPOLLIN); p.poll()",
        "import threading; t = threading.Thread(target=input); t.start(); t.join(); exit()",
        "import subprocess; subprocess.run(['head', '-n1']); exit()",
    ],
    ids=["select", "poll", "epoll", "thread", "process"],
)
async def test_every_way_of_waiting_is_seen(root: Path, conversation: TALK, wait: str) -> None:
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation(b"x\n")
            assert await run(host, python(f"{wait}\ninput()"), talk) == 0
    assert talk.questions == [False]


async def test_busy_and_sleeping_programs_are_not_asked_for(root: Path, conversation: TALK) -> None:
    source = "import time; time.sleep(0.2); sum(range(3_000_000)); print('done')"
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation()
            assert await run(host, python(source), talk) == 0
    assert talk.questions == []


@pytest.mark.parametrize("size", [4095, 4096, 100_000])
async def test_long_input_line(root: Path, conversation: TALK, size: int) -> None:
    source = """
        import hashlib, sys, termios
        termios.tcflush(0, termios.TCIFLUSH)
        line = sys.stdin.buffer.readline()
        print(len(line), hashlib.sha256(line).hexdigest())
    """
    line = bytes(32 + i % 90 for i in range(size)) + b"\n"
    with trio.fail_after(30):
        async with open_host(root) as host:
            talk = conversation(line)
            assert await run(host, python(source), talk) == 0
    expected = f"{len(line)} {hashlib.sha256(line).hexdigest()}\n"
    assert talk.text("stdout") == expected.encode()
    assert len(talk.questions) == 1


async def test_a_question_is_dropped_when_the_program_stops_waiting(
    root: Path, conversation: TALK
) -> None:
    source = """
        import os, signal, time
        def stop(*args): raise TimeoutError
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try: input("quick! ")
        except TimeoutError: print("too late")
        while not os.path.exists("dropped"): time.sleep(0.01)
        print(input("again? "))
    """
    talk = conversation()
    dropped: list[str] = []

    async def ask(is_password: bool) -> bytes | None:
        if dropped:
            return b"yes\n"
        try:
            await trio.sleep_forever()
        finally:
            dropped.append("question")
            (root / "work" / "dropped").touch()

    with trio.fail_after(30):
        async with (
            open_host(root) as host,
            host.open_process(
                python(source), env=environment(host), cwd=host.work, stdout="terminal"
            ) as process,
        ):
            assert await process.run(talk.sink, ask) == 0
    assert talk.text("stderr") == b"quick! again? "
    assert talk.text("stdout") == b"too late\nyes\n"


async def test_input_before_the_program_reads_is_kept(root: Path, conversation: TALK) -> None:
    """Linux drops what is beyond 4 KiB then; see `pty.py`."""
    source = """
        import os, sys, time
        while not os.path.exists('go'):
            time.sleep(0.01)
        got = sys.stdin.buffer.read()
        sys.exit(got != b'x' * 9_000)
    """
    async with open_host(root) as host:
        talk = conversation()
        async with host.open_process(
            python(textwrap.dedent(source)), env=environment(host), cwd=host.work, stdout="pipe"
        ) as process:
            with trio.fail_after(30):
                async with process.streaming(talk.sink, None), trio.open_nursery() as nursery:

                    async def type_all() -> None:
                        for _ in range(3):
                            await process.write_stdin(b"x" * 3_000)
                        await process.write_stdin(None)

                    nursery.start_soon(type_all)
                    await trio.testing.wait_all_tasks_blocked()
                    (host.work / "go").touch()
                    assert await process.wait() == 0


def test_no_input_is_taken_that_linux_would_drop() -> None:
    """Right after something was typed, Linux does not tell how much of it is unread."""
    pick = random.Random(2017)
    with PseudoTerminal.open() as terminal:
        for _ in range(500):
            taken = bytearray()
            for _ in range(4):
                piece = pick.randbytes(pick.randrange(1, 4_000))
                taken += piece[: terminal.write_nowait(piece)]
            got = b""
            while terminal.has_unread_input():
                got += os.read(terminal.slave, 8_192)
            assert got == taken
            # As at the start of a program: from then on nothing was read yet.
            termios.tcflush(terminal.slave, termios.TCIFLUSH)


async def test_code_that_is_cancelled_when_its_kernel_has_let_go(
    root: Path, conversation: TALK
) -> None:
    """Submitted and not begun, which a cancelled run waits for, in a process that says no more."""
    talk = conversation()
    async with interpreter(root, "python") as interp, trio.open_nursery() as nursery:
        os.kill(interp._process.pid, signal.SIGSTOP)
        nursery.start_soon(interp.execute, "1", talk.sink, talk.ask)
        await trio.testing.wait_all_tasks_blocked()
        await interp._control.aclose()
        nursery.cancel_scope.cancel()


# -- output ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stdout", ["terminal", "pipe"])
async def test_10_mb_through_a_slow_sink_arrive_whole(
    root: Path, stdout: Literal["terminal", "pipe"]
) -> None:
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
                python(source), env=environment(host), cwd=host.work, stdout=stdout
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
                    ["yes"], env=environment(host), cwd=host.work, stdout="pipe"
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
                ["yes"], env=environment(host), cwd=host.work, stdout="terminal"
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
                    [program], env=environment(host), cwd=host.work, stdout="terminal"
                ) as process:

                    async def sink(kind: str, data: bytes) -> None:
                        await trio.lowlevel.checkpoint()
                        getattr(process, stop)()  # noqa: B023

                    assert await process.run(sink, talk.ask) == code


# -- interpreters ---------------------------------------------------------------------------------


async def test_python_keeps_its_state(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()
        assert await interp.execute("x = 41", talk.sink, talk.ask) == 0
        assert await interp.execute("def f(): return x + 1", talk.sink, talk.ask) == 0
        assert await interp.execute("print(f()); f()", talk.sink, talk.ask) == 0
        assert talk.said == [("stdout", b"42\n")]
        assert "f" in await interp.complete("f", {})
        assert await interp.complete("y = x.rea", {}) == ["x.real"]
        assert await interp.complete("y = ", {"line": "x.im"}) == ["x.imag"]


async def test_python_order_of_stdout_and_stderr(root: Path, conversation: TALK) -> None:
    source = """import sys
for i in range(50):
    print("out", i, end="")
    print("err", i, file=sys.stderr)
"""
    async with interpreter(root, "python") as interp:
        talk = conversation()
        assert await interp.execute(source, talk.sink, talk.ask) == 0
    expected: list[tuple[str, bytes]] = []
    for i in range(50):
        expected += [("stdout", b"out %d" % i), ("stderr", b"err %d\n" % i)]
    assert talk.said == expected


async def test_python_errors(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:

        async def attempt(source: str) -> tuple[int, str]:
            talk = conversation()
            code = await interp.execute(source, talk.sink, talk.ask)
            return code, talk.text("stderr").decode()

        code, text = await attempt("def f():\n    return 1 / 0\nf()")
        assert code == 1
        assert text.startswith('Traceback (most recent call last):\n  File "<input 1>", line 3')
        assert "    return 1 / 0\n" in text
        assert text.endswith("ZeroDivisionError: division by zero\n")
        assert "python_interpreter" not in text
        code, text = await attempt("x = = 1")
        assert code == 1 and text.startswith('  File "<input 2>", line 1\n    x = = 1\n')
        assert text.endswith("SyntaxError: invalid syntax\n")
        assert await attempt("import sys; sys.exit(3)") == (3, "")
        assert await attempt("sys.exit('no')") == (1, "no\n")
        assert await attempt("sys.exit()") == (0, "")


async def test_python_awaits_outside_of_functions(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:

        async def attempt(source: str) -> tuple[int, str, str]:
            talk = conversation()
            code = await interp.execute(source, talk.sink, talk.ask, show_value=True)
            return code, talk.text("stdout").decode(), talk.text("stderr").decode()

        assert await attempt("import asyncio\nx = await asyncio.sleep(0, 5)\nprint(x)") == (
            0,
            "5\n",
            "",
        )
        assert await attempt("await asyncio.sleep(0, 'shown')") == (0, "'shown'\n", "")
        # The event loop is the same in all runs.
        source = "gate = asyncio.Event()\ntask = asyncio.ensure_future(gate.wait())\n"
        assert await attempt(source + "await asyncio.sleep(0)") == (0, "", "")
        assert await attempt("gate.set()\nawait task") == (0, "True\n", "")
        assert await attempt("async with asyncio.Lock(): print('locked')") == (0, "locked\n", "")
        code, _, text = await attempt("async def f():\n    return 1 / 0\nawait f()")
        assert code == 1
        assert text.startswith('Traceback (most recent call last):\n  File "<input 6>", line 3')
        assert text.endswith("ZeroDivisionError: division by zero\n")
        assert await attempt("import sys\nawait asyncio.sleep(0)\nsys.exit(3)") == (3, "", "")
        code, _, text = await attempt("def f():\n    await f()")
        assert code == 1 and "SyntaxError: 'await' outside async function" in text


async def test_python_input_and_getpass(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation("Zoë\n".encode(), b"pw\n", b"line\n", None)
        source = """import getpass, sys
a = input("name? ")
b = getpass.getpass("secret: ")
c = sys.stdin.readline()
try: input("more? ")
except EOFError: print([a, b, c])
"""
        assert await interp.execute(source, talk.sink, talk.ask) == 0
    assert talk.questions == [False, True, False, False]
    assert talk.said[0] == ("stdout", b"name? ")
    assert talk.text("stdout") == "name? secret: more? ['Zoë', 'pw', 'line\\n']\n".encode()


async def test_output_of_children_and_long_input(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation(b"x" * 100_000 + b"\n")
        source = "import os; os.system('echo process'); print(len(input()))"
        assert await interp.execute(source, talk.sink, talk.ask) == 0
    assert talk.text("stdout") == b"process\n100000\n"


async def test_forks_do_not_disturb(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()
        source = "import os\nif os.fork() == 0: print('fork')\nelse: print(os.wait()[1])"
        assert await interp.execute(source, talk.sink, talk.ask) == 0
        assert await interp.execute("print('still here')", talk.sink, talk.ask) == 0
    assert sorted(talk.text("stdout").splitlines()) == [b"0", b"fork", b"still here"]


async def test_the_death_of_an_interpreter_is_a_result(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()
        source = (
            "import os, subprocess\nprint('last')\nsubprocess.Popen(['sleep', '1000'])\nos._exit(3)"
        )
        assert await interp.execute(source, talk.sink, talk.ask) == 3
        assert talk.said == [("stdout", b"last\n")]
        assert not interp.alive
        with pytest.raises(GatewayError, match="has ended"):
            await interp.execute("1", talk.sink, talk.ask)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("python", "print('go')\nwhile True: pass"),
        ("python", "import time\nprint('go')\ntime.sleep(1000)"),
        ("python", "print('go')\nimport subprocess\nsubprocess.run(['sleep', '1000'])"),
        ("python", "import asyncio\nprint('go')\nawait asyncio.sleep(1000)"),
        ("python", "import asyncio\nawait asyncio.sleep(0)\nprint('go')\nwhile True: pass"),
        ("lua", "print('go') while true do end"),
        ("lua", "print('go') coroutine.wrap(function() while true do end end)()"),
    ],
)
async def test_interrupt(root: Path, conversation: TALK, name: str, source: str) -> None:
    async with interpreter(root, name) as interp:
        talk = conversation()

        async def sink(kind: Literal["stdout", "stderr"], data: bytes) -> None:
            await talk.sink(kind, data)
            if data == b"go\n":
                interp.interrupt()

        for _ in range(3):
            assert await interp.execute(source, sink, talk.ask) == 130
        assert await interp.execute("print('usable')", talk.sink, talk.ask) == 0
    assert talk.said[-1] == ("stdout", b"usable\n")


async def test_interrupts_at_any_time_never_end_the_interpreter(
    root: Path, conversation: TALK
) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()
        await interp.execute("x = 0", talk.sink, talk.ask)
        for _ in range(100):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(interp.execute, "x += 1", talk.sink, talk.ask)
                await trio.lowlevel.checkpoint()
                interp.interrupt()
        assert await interp.execute("print('usable')", talk.sink, talk.ask) == 0
    assert talk.said[-1] == ("stdout", b"usable\n")


async def test_interrupt_ends_a_question(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()

        async def ask(is_password: bool) -> bytes | None:
            interp.interrupt()
            await trio.sleep_forever()

        assert await interp.execute("input()", talk.sink, ask) == 130
        assert talk.text("stderr").endswith(b"    input()\nKeyboardInterrupt\n")
        assert await interp.execute("print(1)", talk.sink, talk.ask) == 0


async def test_cancelling_interrupts_the_code(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()
        with trio.CancelScope() as scope:

            async def sink(kind: str, data: bytes) -> None:
                await trio.lowlevel.checkpoint()
                scope.cancel()

            await interp.execute("print('go')\nwhile True: pass", sink, talk.ask)
        assert scope.cancelled_caught
        assert await interp.execute("print('next')", talk.sink, talk.ask) == 0
        assert talk.text("stdout") == b"next\n"


async def test_one_thing_at_a_time(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()

        async def ask(is_password: bool) -> bytes | None:
            with pytest.raises(trio.BusyResourceError):
                await interp.execute("1", talk.sink, talk.ask)
            with pytest.raises(trio.BusyResourceError):
                await interp.complete("p", {})
            return b"\n"

        assert await interp.execute("input()", talk.sink, ask) == 0
        assert "print" in await interp.complete("pri", {})


async def test_lua(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "lua") as interp:
        talk = conversation(b"Ada\n")

        async def attempt(source: str) -> int:
            return await interp.execute(source, talk.sink, talk.ask)

        assert await attempt("x = 41") == 0
        assert await attempt("io.write('name? ') name = io.read() print(name, x + 1)") == 0
        assert await attempt("io.stderr:write('e') print('o') io.stderr:write('f')") == 0
        assert await attempt("os.exit(3)") == 3
        assert await attempt("x = ") == 1
        assert await attempt("local function f() error('bad') end\nf()") == 1
        assert await interp.complete("string.for", {}) == ["string.format"]
    assert talk.said[:6] == [
        ("stdout", b"name? "),
        ("asked", b""),
        ("stdout", b"Ada\t42\n"),
        ("stderr", b"e"),
        ("stdout", b"o\n"),
        ("stderr", talk.said[5][1]),
    ]
    problems = talk.said[5][1].decode()
    assert problems.startswith("flua: input:1: unexpected symbol near <eof>\nlua: input:1: bad\n")
    assert "driver" not in problems and "xpcall" not in problems


# -- the end --------------------------------------------------------------------------------------

#: Leaves the session and the process group and ignores what it can; says its process id. The
#: program itself ends when that is done, and it knows by the end of a pipe.
DAEMON = """
import os, signal, time
told, tells = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        os.environ.clear()
        print(os.getpid(), flush=True)
        os.closerange(0, 3)
        os.close(tells)
        while True: time.sleep(1000)
    os._exit(0)
os.close(tells)
os.wait()
os.read(told, 1)
"""


async def test_nothing_survives_a_kernel(
    root: Path, conversation: TALK, isolation: Isolation
) -> None:
    with trio.fail_after(30):
        async with open_host(root, isolation) as host:
            talk = conversation()
            assert await run(host, python(DAEMON), talk) == 0
            pid = outer(host.pid, int(talk.text("stdout")))
            assert alive(pid)
            nested = host.work / "a" / "b"
            nested.mkdir(parents=True)
            (nested / "file").write_bytes(b"x" * 1000)
            (nested / "link").symlink_to("/etc")
            nested.chmod(0o500)
            (host.home / "fifo").touch(0o000)
            started = trio.current_time()
        assert trio.current_time() - started < 2
    assert not alive(pid)
    assert not exists(root)
    assert host.usage["scratch_bytes"] >= 1000
    assert host.usage["max_rss_bytes"] > 1_000_000
    assert host.usage.keys() >= {"cpu_ms", "read_bytes", "write_bytes"}
    assert exists(Path("/etc/passwd"))


async def test_the_death_of_the_host(root: Path, conversation: TALK, isolation: Isolation) -> None:
    daemons = []
    with trio.fail_after(30):
        async with open_host(root, isolation) as host:
            talk = conversation()
            async with host.open_process(
                ["sh", "-c", "setsid sleep 1000 & echo $!; exec cat"],
                env=environment(host),
                cwd=host.work,
                stdout="pipe",
            ) as process:
                host_pid = parent(process.pid)

                async def ask(is_password: bool) -> bytes | None:
                    daemons.append(outer(host.pid, int(talk.text("stdout"))))
                    assert alive(daemons[0])
                    os.kill(host_pid, 9)
                    await trio.sleep_forever()

                with pytest.raises(GatewayError, match="has died"):
                    await process.run(talk.sink, ask)
            with pytest.raises(GatewayError):
                await run(host, ["true"], talk)
    assert not alive(daemons[0])
    assert not alive(process.pid)
    assert not exists(root)


async def test_a_host_that_hangs(root: Path, conversation: TALK, isolation: Isolation) -> None:
    limits = GatewayLimits(host_stop_seconds=0.1)
    with trio.fail_after(30):
        async with open_host(root, isolation, limits=limits) as host:
            talk = conversation()
            assert await run(host, python(DAEMON), talk) == 0
            pid = outer(host.pid, int(talk.text("stdout")))
            os.kill(parent(pid), signal.SIGSTOP)
            assert alive(pid)
    assert not alive(pid)
    assert not exists(root)


KILLED = """
import sys, trio
from pathlib import Path
from backendai_trio.gateway.processes.isolation import try_isolation
from backendai_trio.gateway.processes.process_host import open_host

async def sink(kind, data):
    print(data.decode().strip(), flush=True)

async def ask(is_password):
    await trio.sleep_forever()

async def main(root, daemon, name):
    with try_isolation(name) as trial:
        isolation = trial.result()
    async with open_host(Path(root), isolation) as host:
        async with host.open_process(
            [sys.executable, "-c", daemon + "input()"], env={}, cwd=host.work, stdout="terminal"
        ) as process:
            print(process.pid, flush=True)
            await process.run(sink, ask)

trio.run(main, *sys.argv[1:])
"""


async def test_nothing_survives_the_gateway(root: Path, isolation: Isolation) -> None:
    environ: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with trio.fail_after(30):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", KILLED, str(root), DAEMON, isolation.name],
            stdout=subprocess.PIPE,
            env=environ,
        )
        assert process.stdout is not None
        async with process.stdout:
            text = b""
            while text.count(b"\n") < 2:
                text += await process.stdout.receive_some()
            program, daemon = (int(line) for line in text.split())
            pids = [program, outer(process.pid, daemon), *below(process.pid)]
            assert all(map(alive, pids))
            started = time.monotonic()
            process.kill()
            await process.wait()
            # The folder above is the gateway's, which is nobody's now.
            await wait_until(lambda: not any(map(alive, pids)) and not exists(root.parent))
            assert time.monotonic() - started < 2
