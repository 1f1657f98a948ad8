"""Interpreters under a process host: state, questions, interrupts, and their death."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Literal

import pytest
import trio

from backendai_trio.errors import GatewayError

from .programs import TALK, interpreter, linux_only, stat, wait_until

pytestmark = linux_only


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


async def test_python_order_where_many_lines_are_read_together(
    root: Path, conversation: TALK
) -> None:
    source = """import sys
for i in range(400):
    print("line", i)
    if i % 100 == 70: print("stream", file=sys.stderr)
"""
    async with interpreter(root, "python") as interp:
        talk = conversation()
        assert await interp.execute(source, talk.sink, talk.ask) == 0
    expected = b""
    for i in range(400):
        expected += b"line %d\n" % i
        expected += b"stream\n" if i % 100 == 70 else b""
    assert b"".join(data for _, data in talk.said) == expected


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("x = 1\n1/0", ["    1/0", "    ~^~"]),
        ("x = 1\n1/0\n", ["    1/0", "    ~^~"]),
        ("x = 1\r\n1/0\r\n", ["    1/0", "    ~^~"]),
        ("\f\nx = 1\n1/0", ["    1/0", "    ~^~"]),
        ("x = '\u2028 \x85 \x1c'\n1/0", ["    1/0", "    ~^~"]),
        ("def f():\n    1/0\n\nf()\n", ["    f()", "    1/0", "    ~^~"]),
        ("await undefined", ["    await undefined", "          ^^^^^^^^^"]),
        ("for i in 1, 2:\nprint(i)", ["    print(i)", "    ^"]),
        ("print('a", ["    print('a", "          ^"]),
        ("print(1))", ["    print(1))", "            ^"]),
        ("x = (1,\n  2", ["    x = (1,", "        ^"]),
    ],
)
async def test_python_errors_show_the_lines_that_were_typed(
    root: Path, conversation: TALK, source: str, lines: list[str]
) -> None:
    async with interpreter(root, "python") as interp:
        for show in (False, True):
            talk = conversation()
            assert await interp.execute(source, talk.sink, talk.ask, show_value=show) == 1
            shown = iter(talk.text("stderr").decode().splitlines())
            for line in lines:  # in this order; Python versions mark more or less of a line
                assert any(found.startswith(line) for found in shown), line


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


@pytest.fixture(params=["python", "lua"])
def language(request: pytest.FixtureRequest) -> str:
    """Each language of an interpreter."""
    return str(request.param)


SHORT = {"python": "for i in range(10_000): pass", "lua": "for i = 1, 10000 do end"}
UNTIL_END = {
    "python": "import os\nprint(1, flush=True)\nwhile not os.path.exists('end'): pass",
    "lua": "print(1) repeat until io.open('end')",
}


async def test_interrupts_at_the_end_do_not_reach_the_next_run(
    root: Path, conversation: TALK, language: str
) -> None:
    """They come when the code is over: before the interpreter's message of it is read, or after."""
    async with interpreter(root, language) as interp:
        talk = conversation()
        receive = interp._receive

        async def receive_late() -> dict[str, Any] | None:
            event = await receive()
            if event is not None and event["ev"] == "done":
                interp.interrupt()
            return event

        async def interrupt_when_done(kind: Literal["stdout", "stderr"], data: bytes) -> None:
            await talk.sink(kind, data)
            await wait_until(lambda: interp._phase == "done")
            interp.interrupt()

        for _ in range(100):
            interp._receive = receive_late  # type: ignore[method-assign]
            assert await interp.execute("x = 1", talk.sink, talk.ask) == 0
            interp._receive = receive  # type: ignore[method-assign]
            assert await interp.execute(SHORT[language], talk.sink, talk.ask) == 0
            assert await interp.execute("print(1)", interrupt_when_done, talk.ask) == 0
            assert await interp.execute(SHORT[language], talk.sink, talk.ask) == 0


async def test_next_run_waits_until_interrupts_are_sent(
    root: Path, conversation: TALK, language: str
) -> None:
    async with interpreter(root, language) as interp:
        talk = conversation()
        host = int(stat(interp._process.pid)[1])
        end = root / "work" / "end"

        async def interrupt_late(kind: Literal["stdout", "stderr"], data: bytes) -> None:
            await trio.lowlevel.checkpoint()
            os.kill(host, signal.SIGSTOP)
            interp.interrupt()
            end.touch()

        codes: list[int] = []

        async def go_on() -> None:
            codes.append(await interp.execute(SHORT[language], talk.sink, talk.ask))

        for _ in range(20):
            assert await interp.execute(UNTIL_END[language], interrupt_late, talk.ask) == 0
            end.unlink()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(go_on)
                await trio.testing.wait_all_tasks_blocked()
                assert interp._phase == "preparing"
                os.kill(host, signal.SIGCONT)
            assert codes.pop() == 0


async def test_many_interrupts_at_once(root: Path, conversation: TALK, language: str) -> None:
    """Each is one signal at most, so that handlers are not called within themselves."""
    async with interpreter(root, language) as interp:
        talk = conversation()
        host = int(stat(interp._process.pid)[1])

        async def interrupt_often(kind: Literal["stdout", "stderr"], data: bytes) -> None:
            await talk.sink(kind, data)
            if kind == "stdout":
                os.kill(host, signal.SIGSTOP)
                for _ in range(100_000):
                    interp.interrupt()
                os.kill(host, signal.SIGCONT)

        for _ in range(10):
            assert await interp.execute(UNTIL_END[language], interrupt_often, talk.ask) == 130
            assert await interp.execute(SHORT[language], talk.sink, talk.ask) == 0


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
