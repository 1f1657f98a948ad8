"""Programs at a terminal that wait for input, and what they are given."""

from __future__ import annotations

import hashlib
import os
import random
import termios
import textwrap
from pathlib import Path

import pytest
import trio

from backendai_trio.gateway.processes.process_host import open_host
from backendai_trio.gateway.processes.program_streams import PIPED
from backendai_trio.gateway.processes.pty import PseudoTerminal
from backendai_trio.wire.stdio import Stdio

from .programs import TALK, compile_c, environment, linux_only, python, run

pytestmark = linux_only


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
                python(source), env=environment(host), cwd=host.work, stdio=Stdio()
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
            python(textwrap.dedent(source)), env=environment(host), cwd=host.work, stdio=PIPED
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
