"""Lines that the Python interpreter gathers in blocks, for a client that writes to a pipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from .programs import TALK, interpreter, linux_only

pytestmark = linux_only

LINES = 1500
PRELUDE = f"""
import contextlib, io, multiprocessing, os, signal, subprocess, sys, threading, time
for i in range({LINES}): print(i)
assert sys.stdout.blocks.active
"""
NUMBERS = b"".join(b"%d\n" % i for i in range(LINES))
SAID = list[tuple[str, bytes]]


def said_after(talk: Any) -> SAID:
    """What was said after the lines of `PRELUDE`."""
    kind, first = talk.said[0]
    assert kind == "stdout" and first.startswith(NUMBERS)
    rest = first.removeprefix(NUMBERS)
    return [("stdout", rest)] * bool(rest) + talk.said[1:]


PROGRAMS = {
    "os.system": "os.system('echo c')",
    "subprocess": "subprocess.run(['echo', 'c'])",
    "posix_spawn": "os.waitpid(os.posix_spawnp('echo', ['echo', 'c'], os.environ), 0)",
    "fork": "if os.fork() == 0: print('c'); os._exit(0)\nos.wait()",
    "fork that executes": "if os.fork() == 0: os.execlp('echo', 'echo', 'c')\nos.wait()",
    "process by fork": (
        "p = multiprocessing.get_context('fork').Process(target=print, args='c')\n"
        "p.start(); p.join()"
    ),
    "process by spawn": (
        "p = multiprocessing.get_context('spawn').Process(target=print, args='c')\n"
        "p.start(); p.join()"
    ),
    "flush": "print(end='', flush=True); os.write(1, b'c\\n')",
    "flush of the stream": "sys.stdout.flush(); os.write(1, b'c\\n')",
    "bytes": "sys.stdout.buffer.write(b'c\\n')",
    "bytes that are flushed": (
        "sys.stdout.buffer.write(b'c'); sys.stdout.buffer.flush(); os.write(1, b'\\n')"
    ),
    "detached": (
        "sys.stdout = io.TextIOWrapper(sys.stdout.detach())\n"
        "print(end='', flush=True); os.write(1, b'c\\n')"
    ),
    "replaced": (
        "with contextlib.redirect_stdout(io.StringIO()) as text: print('c')\n"
        "assert text.getvalue() == 'c\\n'; print(text.getvalue(), end='')"
    ),
    "redirected": (
        "sys.stdout.flush(); saved = os.dup(1); null = os.open('/dev/null', os.O_WRONLY)\n"
        "os.dup2(null, 1); print('x', flush=True); os.dup2(saved, 1); print('c')"
    ),
    "signal handler": (
        "signal.signal(signal.SIGUSR1, lambda *_: print('c'))\nos.kill(os.getpid(), signal.SIGUSR1)"
    ),
    "configured": "sys.stdout.reconfigure(encoding='ascii', line_buffering=False); print('c')",
}
"""What prints a ``c`` between two prints."""


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS)
async def test_order_of_whatever_else_writes_there(
    root: Path, conversation: TALK, source: str
) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()
        source = f"{PRELUDE}print('a')\n{source}\nprint('b')"
        assert await interp.execute(source, talk.sink, talk.ask, piped=True) == 0, talk.said[1:]
        assert said_after(talk) == [("stdout", b"a\nc\nb\n")]
        # The interpreter has found back: the next run is like one in a new interpreter.
        talk = conversation()
        assert await interp.execute("print('next')", talk.sink, talk.ask) == 0
        assert talk.said == [("stdout", b"next\n")]


async def test_order_of_a_child_that_goes_on_beside(root: Path, conversation: TALK) -> None:
    """Lines are written one by one while there are children."""
    source = """
heard, said = os.pipe()
script = f"while read line; do echo c; echo >&{said}; done"
child = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, bufsize=0, pass_fds=[said])
for i in range(2500): print("more")
for i in range(20):
    print("a")
    child.stdin.write(b"\\n")
    os.read(heard, 1)
child.stdin.close()
child.wait()
"""
    async with interpreter(root, "python") as interp:
        talk = conversation()
        code = await interp.execute(PRELUDE + source, talk.sink, talk.ask, piped=True)
    assert code == 0
    assert said_after(talk) == [("stdout", b"more\n" * 2500 + b"a\nc\n" * 20)]


async def test_forks_print_line_by_line(root: Path, conversation: TALK) -> None:
    source = """
if os.fork() == 0:
    for i in range(2500): print("more")
    os.write(1, b"end\\n")
    os._exit(0)
os.wait()
"""
    async with interpreter(root, "python") as interp:
        talk = conversation()
        code = await interp.execute(PRELUDE + source, talk.sink, talk.ask, piped=True)
    assert code == 0
    assert said_after(talk) == [("stdout", b"more\n" * 2500 + b"end\n")]


@pytest.mark.parametrize(
    "source", ["print('e', file=sys.stderr)", "print('e', end='', file=sys.stderr)"]
)
async def test_order_of_standard_error(root: Path, conversation: TALK, source: str) -> None:
    source = f"{PRELUDE}print('a')\n{source}\nprint('b')\nfor i in range(1500): print(i)\n"
    source += "assert sys.stdout.blocks.active\n1/0"
    async with interpreter(root, "python") as interp:
        talk = conversation()
        assert await interp.execute(source, talk.sink, talk.ask, piped=True) == 1
    said = said_after(talk)
    assert said[0] == ("stdout", b"a\n")
    assert (said[1][0], said[1][1].rstrip()) == ("stderr", b"e")
    assert said[2] == ("stdout", b"b\n" + NUMBERS)
    assert said[3][0] == "stderr" and b"ZeroDivisionError" in said[3][1]
    assert len(said) == 4


async def test_order_of_questions(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation(b"x\n", b"y\n")
        source = f"{PRELUDE}print('a')\nprint(input('q '))\nprint(input('r '))"
        assert await interp.execute(source, talk.sink, talk.ask, piped=True) == 0
    asked: tuple[str, bytes] = ("asked", b"")
    answers = [("stdout", b"x\nr "), asked, ("stdout", b"y\n")]
    assert said_after(talk) == [("stdout", b"a\nq "), asked, *answers]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(5)", 5),
        ("os.abort()", 134),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("os.killpg(os.getpgid(0), signal.SIGKILL)", 137),
        ("signal.pthread_kill(threading.get_ident(), signal.SIGKILL)", 137),
        ("os.execlp('false', 'false')", 1),
    ],
)
async def test_nothing_is_lost_at_an_end(
    root: Path, conversation: TALK, source: str, code: int
) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()
        source = f"{PRELUDE}print('a')\n{source}"
        assert await interp.execute(source, talk.sink, talk.ask, piped=True) == code
    assert said_after(talk) == [("stdout", b"a\n")]


@pytest.mark.parametrize("end", ["'\\n'", "''"])
@pytest.mark.parametrize("source", ["time.sleep(1000)", "while True: pass"])
async def test_lines_arrive_while_the_program_goes_on(
    root: Path, conversation: TALK, source: str, end: str
) -> None:
    async with interpreter(root, "python") as interp:
        talk = conversation()

        async def sink(kind: Literal["stdout", "stderr"], data: bytes) -> None:
            await talk.sink(kind, data)
            if talk.text("stdout").rstrip().endswith(b"go"):
                interp.interrupt()

        source = f"{PRELUDE}print('go', end={end})\n{source}"
        assert await interp.execute(source, sink, talk.ask, piped=True) == 130


async def test_threads_that_print_at_once(root: Path, conversation: TALK) -> None:
    source = """
def speak(name):
    for i in range(5000): print(name, i)
threads = [threading.Thread(target=speak, args=name) for name in "abcd"]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    async with interpreter(root, "python") as interp:
        talk = conversation()
        code = await interp.execute(PRELUDE + source, talk.sink, talk.ask, piped=True)
    assert code == 0
    lines = talk.text("stdout").decode().splitlines()[LINES:]
    assert len(lines) == 20_000
    for name in "abcd":
        assert [line for line in lines if line[0] == name] == [f"{name} {i}" for i in range(5000)]


async def test_interrupts_lose_and_repeat_no_line(root: Path, conversation: TALK) -> None:
    async with interpreter(root, "python") as interp:
        for _ in range(5):
            talk = conversation()

            async def sink(
                kind: Literal["stdout", "stderr"], data: bytes, talk: Any = talk
            ) -> None:
                await talk.sink(kind, data)
                if kind == "stdout" and len(talk.text("stdout")) > 100_000:
                    interp.interrupt()

            source = f"{PRELUDE}while True:\n    print(i)\n    i += 1"
            assert await interp.execute(source, sink, talk.ask, piped=True) == 130
            (_, rest), (kind, trace) = said_after(talk)
            assert kind == "stderr" and b"KeyboardInterrupt" in trace
            numbers = [int(line) for line in rest.split()]
            assert numbers == list(range(LINES - 1, LINES - 1 + len(numbers)))


async def test_only_piped_runs_have_blocks(root: Path, conversation: TALK) -> None:
    source = """
for i in range(3000): print("more")
print(sys.stdout.blocks.active)
os.write(1, b"end\\n")
"""
    async with interpreter(root, "python") as interp:
        await interp.execute("import os, sys", conversation().sink, conversation().ask)
        for piped in (True, False, True):
            talk = conversation()
            assert await interp.execute(source, talk.sink, talk.ask, piped=piped) == 0
            text = talk.text("stdout")
            if piped:  # `os.write` may overtake the block
                assert sorted(text.split()) == [b"True", b"end", *[b"more"] * 3000]
            else:
                assert text == b"more\n" * 3000 + b"False\nend\n"


async def test_signal_handlers_can_print(root: Path, conversation: TALK) -> None:
    """A print in a handler fails in the middle of the write of a block; so there is none."""
    source = """
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
for i in range(3000): print("more")
os.write(1, b"end\\n")
"""
    async with interpreter(root, "python") as interp:
        talk = conversation()
        assert await interp.execute(source, talk.sink, talk.ask, piped=True) == 0
    assert talk.said == [("stdout", b"more\n" * 3000 + b"end\n")]


async def test_forks_are_not_warned_of(root: Path, conversation: TALK) -> None:
    """Python warns of forks where there are threads, of which the user has made none."""
    source = """
counts = []
os.register_at_fork(before=lambda: counts.append(len(os.listdir("/proc/self/task"))))
if os.fork() == 0: os._exit(0)
os.wait()
print(counts)
"""
    async with interpreter(root, "python") as interp:
        talk = conversation()
        code = await interp.execute(PRELUDE + source, talk.sink, talk.ask, piped=True)
    assert code == 0
    assert said_after(talk) == [("stdout", b"[1]\n")]
