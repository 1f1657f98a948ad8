"""The question to the terminal, whose answer comes between what the user types."""

from __future__ import annotations

import io
import os
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_cli.keyboard import TerminalMode
from backendai_cli.run.device_attributes import DeviceAttributes
from backendai_cli.standard_input import Stdin

from .terminal import TIMEOUT_SECONDS

QUESTION = b"\x1b[c"
SIXEL = b"\x1b[?62;4;22c"


@dataclass
class Terminal:
    """A terminal with a program on it, and a person in front of it."""

    master: int
    slave: int
    written: bytes = b""
    arrived: trio.Event = field(default_factory=trio.Event)
    mode: TerminalMode = field(init=False)
    stdin: Stdin = field(init=False)

    def __post_init__(self) -> None:
        self.mode = TerminalMode(self.slave)
        self.stdin = Stdin(self.slave)

    @contextmanager
    def program(self) -> Iterator[None]:
        """During the block, it is this process's standard output, and its modes are saved.

        No fixture: pytest captures anew after those.
        """
        stdout = io.TextIOWrapper(io.FileIO(self.slave, "w", closefd=False))
        with stdout, pytest.MonkeyPatch.context() as patch, self.mode:
            patch.setattr(sys, "stdout", stdout)
            yield

    def attributes(self, seconds: float = TIMEOUT_SECONDS) -> DeviceAttributes:
        return DeviceAttributes(self.stdin, self.mode, seconds)

    def type(self, keys: bytes) -> None:
        """Type keys, or answer."""
        os.write(self.master, keys)

    async def asked(self) -> None:
        """Wait for the question."""
        while QUESTION not in self.written:
            await trio.lowlevel.wait_readable(self.master)
            self.written += os.read(self.master, 65536)

    def modes(self) -> list[object]:
        return termios.tcgetattr(self.slave)

    def shows_typing(self) -> bool:
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    master, slave = os.openpty()
    try:
        yield Terminal(master, slave)
    finally:
        os.close(master)
        os.close(slave)


@asynccontextmanager
async def answered(terminal: Terminal, *pieces: bytes) -> AsyncIterator[trio.Nursery]:
    """During the block, the terminal answers the question."""

    async def answer() -> None:
        await terminal.asked()
        for piece in pieces:
            terminal.type(piece)
            await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        yield nursery


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "has_sixel"),
    [
        (b"\x1b[?62;4c", True),
        (b"\x1b[?62;4;22;28c", True),
        (b"\x1b[?1;2;4c", True),  # tmux
        (b"\x1b[?62;22c", False),
        (b"\x1b[?64;14;44c", False),
        (b"\x1b[?4;6c", False),  # a VT132
        (b"\x1b[?6c", False),
        (b"\x1b[?c", False),
    ],
)
async def test_answers(terminal: Terminal, answer: bytes, has_sixel: bool) -> None:
    attributes = terminal.attributes()
    with terminal.program():
        async with answered(terminal, answer):
            assert await attributes.has_sixel() == has_sixel
        # It is asked once: nobody answers a second time.
        assert await attributes.has_sixel() == has_sixel


async def test_answer_in_pieces(terminal: Terminal) -> None:
    with terminal.program():
        async with answered(terminal, *(bytes([byte]) for byte in SIXEL)):
            assert await terminal.attributes().has_sixel()


async def test_terminal_that_never_answers(terminal: Terminal) -> None:
    attributes = terminal.attributes(seconds=0.01)
    with terminal.program():
        terminal.type(b"a\x1b[")
        assert not await attributes.has_sixel()
        assert not await attributes.has_sixel()
        await terminal.asked()
        assert terminal.written.count(QUESTION) == 1
        assert await read(terminal.stdin, 3) == b"a\x1b["


# --- what is typed meanwhile ---------------------------------------------------------------------


async def read(stdin: Stdin, size: int) -> bytes:
    """Read input of this size."""
    data = b""
    while len(data) < size:
        piece = await stdin.read()
        assert piece, data
        data += piece
    return data


@pytest.mark.parametrize("is_raw", [False, True])
@pytest.mark.parametrize("is_reading", [False, True])
async def test_keys_around_the_answer(terminal: Terminal, is_reading: bool, is_raw: bool) -> None:
    """They are input, in their order, whether a program reads at that time or not."""
    got = b""

    async def read_all() -> None:
        nonlocal got
        while b"." not in got:
            got += await terminal.stdin.read()

    with terminal.program():
        if is_raw:
            terminal.mode.raw()
        async with trio.open_nursery() as nursery:
            if is_reading:
                nursery.start_soon(read_all)
                await trio.testing.wait_all_tasks_blocked()
            terminal.type(b"a")
            async with answered(terminal, b"b\x1b[A", b"c" + SIXEL + b"d", b"e"):
                assert await terminal.attributes().has_sixel()
            terminal.type(b".\n")
            if not is_reading:
                nursery.start_soon(read_all)
    assert got.rstrip(b"\r\n") == b"ab\x1b[Acde."


@pytest.mark.parametrize("is_raw", [False, True])
@pytest.mark.parametrize("pieces", [[SIXEL], [b"x" + SIXEL[:1], SIXEL[1:7], SIXEL[7:] + b"y"]])
async def test_answer_that_comes_late(
    terminal: Terminal, pieces: list[bytes], is_raw: bool
) -> None:
    """It is no input."""
    terminal.stdin = Stdin(terminal.slave, rest_seconds=TIMEOUT_SECONDS)

    async def answer() -> None:
        for piece in pieces:
            terminal.type(piece)
            await trio.testing.wait_all_tasks_blocked()
        terminal.type(b"z\n")

    with terminal.program():
        if is_raw:
            terminal.mode.raw()
        assert not await terminal.attributes(seconds=0.01).has_sixel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            expected = b"".join(pieces).replace(SIXEL, b"") + b"z\n"
            assert await read(terminal.stdin, len(expected)) == expected


async def test_answer_that_began_in_time(terminal: Terminal) -> None:
    terminal.stdin = Stdin(terminal.slave, rest_seconds=TIMEOUT_SECONDS)
    with terminal.program():
        terminal.mode.raw()
        terminal.type(b"x" + SIXEL[:5])
        assert not await terminal.attributes(seconds=0.01).has_sixel()
        assert await terminal.stdin.read() == b"x"
        terminal.type(SIXEL[5:] + b"y")
        assert await terminal.stdin.read() == b"y"


async def test_escape_is_a_key_after_the_question(terminal: Terminal) -> None:
    with terminal.program():
        terminal.mode.raw()
        assert not await terminal.attributes(seconds=0.01).has_sixel()
        for keys in (b"\x1b", b"a\x1b", b"\x1b[A", b"\x1b[?", SIXEL[:-1] + b"h"):
            terminal.type(keys)
            assert await read(terminal.stdin, len(keys)) == keys


async def test_a_second_answer_is_input(terminal: Terminal) -> None:
    """Programs ask as well, those that have the terminal."""
    with terminal.program():
        terminal.mode.raw()
        async with answered(terminal, SIXEL):
            assert await terminal.attributes().has_sixel()
        terminal.type(SIXEL)
        assert await read(terminal.stdin, len(SIXEL)) == SIXEL


async def test_end_of_input(terminal: Terminal) -> None:
    with terminal.program():
        async with answered(terminal, b"a\x04b\n\x04" + SIXEL + b"c\n\x04d"):
            assert await terminal.attributes().has_sixel()
        # In the middle of a line, Ctrl-D only sends it.
        got = [await terminal.stdin.read() for _ in range(6)]
        assert got == [b"a", b"b\n", b"", b"c\n", b"", b"d"]


async def test_keys_for_a_line_editor(terminal: Terminal) -> None:
    with terminal.program():
        async with answered(terminal, b"a\n\x04", b"b" + SIXEL + b"c"):
            assert await terminal.attributes().has_sixel()
    assert terminal.stdin.take_kept(b"\x04") == b"a\n\x04bc"
    assert terminal.stdin.take_kept(b"\x04") == b""


async def test_cancelled_question(terminal: Terminal) -> None:
    with terminal.program():
        before = terminal.modes()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(terminal.attributes().has_sixel)
                await terminal.asked()
                terminal.type(b"ab")
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert terminal.modes() == before
        terminal.type(b"c\n")
        assert await read(terminal.stdin, 4) == b"abc\n"


@given(
    st.binary(max_size=20).filter(lambda data: b"\x1b" not in data and b"\0" not in data),
    st.binary(max_size=20),
    st.lists(st.integers(0, 60), max_size=10),
)
@settings(max_examples=60, deadline=None)
def test_any_input_around_the_answer(before: bytes, after: bytes, cuts: list[int]) -> None:
    """However it is cut into reads, `read` gives all but the answer."""
    data = before + SIXEL + after
    bounds = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    pieces = [data[a:b] for a, b in pairwise(bounds)]

    async def main() -> bytes:
        reading, writing = os.pipe()
        try:
            stdin = Stdin(reading)

            async def write() -> None:
                for piece in pieces:
                    os.write(writing, piece)
                    await trio.testing.wait_all_tasks_blocked()
                os.close(writing)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                answer = await stdin.ask(trio.lowlevel.checkpoint, TIMEOUT_SECONDS, end=b"")
                assert answer == b"62;4;22"
                got = b""
                while piece := await stdin.read():
                    got += piece
            return got
        finally:
            os.close(reading)

    assert trio.run(main) == before + after


# --- the modes of the terminal -------------------------------------------------------------------


async def test_modes_during_the_question(terminal: Terminal) -> None:
    with terminal.program():
        before = terminal.modes()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(terminal.attributes().has_sixel)
            await terminal.asked()
            flags = termios.tcgetattr(terminal.slave)[3]
            assert not flags & (termios.ECHO | termios.ICANON)
            assert flags & termios.ISIG, "Ctrl-C ends the command"
            terminal.type(SIXEL)
        assert terminal.modes() == before


@pytest.mark.parametrize("choice", ["hide", "raw", "restore"])
async def test_mode_that_is_chosen_during_the_question(terminal: Terminal, choice: str) -> None:
    """It comes into force afterwards."""
    with terminal.program():
        terminal.mode.restore() if choice == "hide" else terminal.mode.hide()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(terminal.attributes().has_sixel)
            await terminal.asked()
            getattr(terminal.mode, choice)()
            assert not termios.tcgetattr(terminal.slave)[3] & termios.ICANON
            terminal.type(SIXEL)
        assert terminal.shows_typing() == (choice == "restore")
        assert bool(termios.tcgetattr(terminal.slave)[3] & termios.ICANON) == (choice != "raw")
    assert terminal.shows_typing()


# --- who is not asked ----------------------------------------------------------------------------


async def is_asked(terminal: Terminal) -> bool:
    """Whether the terminal is asked; it would answer."""
    async with answered(terminal, SIXEL) as nursery:
        has_sixel = await terminal.attributes().has_sixel()
        nursery.cancel_scope.cancel()
    assert has_sixel == (QUESTION in terminal.written)
    return has_sixel


async def test_terminal_is_asked(terminal: Terminal) -> None:
    with terminal.program():
        assert await is_asked(terminal)


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
async def test_dumb_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    with terminal.program():
        assert not await is_asked(terminal)


async def test_outside_of_a_run(terminal: Terminal) -> None:
    with terminal.program():
        terminal.mode.__exit__()
        assert not await is_asked(terminal)


async def test_input_is_a_pipe(terminal: Terminal) -> None:
    reading, writing = os.pipe()
    terminal.stdin = Stdin(reading)
    try:
        with terminal.program():
            assert not await is_asked(terminal)
    finally:
        os.close(reading)
        os.close(writing)


async def test_output_is_a_pipe(terminal: Terminal) -> None:
    with terminal.program(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
        assert not await is_asked(terminal)


async def test_output_is_another_terminal(terminal: Terminal) -> None:
    master, slave = os.openpty()
    os.set_blocking(master, False)
    stdout = io.TextIOWrapper(io.FileIO(slave, "w"))
    with stdout, terminal.program(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        assert not await is_asked(terminal)
        with pytest.raises(BlockingIOError):
            os.read(master, 1)
    os.close(master)
