"""A program of a kernel, and the carrying of its output and its questions.

A child knows nothing of the process host: it gets its `Lifetime`, which `processes.py` keeps up to
date, and a function that has it signalled.
"""

from __future__ import annotations

import fcntl
import os
import signal
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import trio

from ..._groups import one_error
from ...errors import GatewayError
from .pty import Terminal

__all__ = ["Ask", "Child", "Lifetime", "Sink", "Source"]

#: Takes raw output of a program. While it blocks, the program blocks: memory stays flat.
#: It is never called twice at a time.
Sink: TypeAlias = Callable[[Literal["stdout", "stderr"], bytes], Awaitable[None]]

#: Asked (with "is it a password?") when the program waits for input on its terminal. Answers with a
#: line and its newline, or None for end of file.
Ask: TypeAlias = Callable[[bool], Awaitable[bytes | None]]

#: A system call takes at most this much (a pipe holds no more); one turn of a reader that much.
CALL_BYTES, READ_BYTES = 64 * 1024, 256 * 1024

#: A terminal gives out 4 KiB at a time, and a quick reader would get each of them by itself. After
#: one of more than BURST_BYTES there is likely more to come: it is left to gather for a moment, in
#: which the program goes on. What is longer than GATHERED_BYTES has gathered by itself.
BURST_BYTES, GATHERED_BYTES = 2 * 1024, 16 * 1024
GATHER_SECONDS = 0.001

#: How often to look, in a burst, whether the next 4 KiB are there. Linux copies them in a thread of
#: its own, 5 to 20 us for each, and a read (or poll) that comes earlier is put to sleep until that
#: thread is done: 60 us to 1 ms, mostly of waking up. Looking again and again, 1 us each time,
#: makes reading three to ten times as fast. The longer a burst, the longer it is worth while.
BYTES_PER_LOOK, MOST_LOOKS = 64, 200

#: What may lie in a pipe (64 KiB) or terminal (about 68 KiB), with room to spare. A drain stops
#: here, because something in the background may go on writing for ever.
LEFTOVER_BYTES = 256 * 1024

#: The time between two looks at a program: grows while nothing happens. A look takes 50 us.
FIRST_LOOK, LAST_LOOK = 0.002, 0.040

#: The time between two looks while a question is open.
WAITING_LOOK = 0.1


class _NotWaiting:
    """In place of an answer: nobody waits for one any more."""


@dataclass
class Lifetime:
    """What the host told about one child so far.

    A host that dies sets both events and nothing else.
    """

    answered: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)
    pid: int = 0
    failure: tuple[int, str] | None = None
    """Errno and text, if it could not be started."""
    code: int | None = None


@dataclass
class Source:
    """One of our ends of a program's output."""

    name: Literal["stdout", "stderr"]
    fd: int
    is_terminal: bool = False
    burst: int = 0
    """The bytes of a burst in a terminal so far. In one, the next read is worth trying at once; it
    may come back with nothing."""

    def read(self) -> bytes | None:
        """What is there, up to READ_BYTES; b"" if nothing is, None at the end of file.

        In a burst also what comes at once: that takes a few milliseconds at most.
        """
        parts: list[bytes] = []
        size = 0
        while size < READ_BYTES:
            if self.burst:
                self._look_for_more()
            try:
                part = os.read(self.fd, min(CALL_BYTES, READ_BYTES - size))
            except BlockingIOError:
                self.burst = 0
                break
            if not part:
                return b"".join(parts) if parts else None
            parts.append(part)
            size += len(part)
            if self.is_terminal:
                if len(part) <= BURST_BYTES:
                    self.burst = 0
                    break
                self.burst += len(part)
        return b"".join(parts)

    def _look_for_more(self) -> None:
        unread = bytearray(4)
        for _ in range(min(self.burst // BYTES_PER_LOOK, MOST_LOOKS)):
            fcntl.ioctl(self.fd, termios.FIONREAD, unread)
            if any(unread):
                return
            os.sched_yield()  # to that thread, if it is to run on this CPU


class Child:
    """A program that was started. Made by `KernelHost.open_child`.

    Attributes:
        pid: its process id, also of its session and process group.
        control: our end of its descriptor 3, if it has one.
    """

    def __init__(
        self,
        lifetime: Lifetime,
        tell: Callable[[dict[str, object]], None],
        terminal: Terminal,
        sources: list[Source],
        control: trio.SocketStream | None,
    ) -> None:
        self.control = control
        self._lifetime = lifetime
        self._tell = tell
        self._terminal = terminal
        self._sources = sources
        # Whoever reads output holds this until the sink has it: the order stays as it was written.
        self._turn = trio.Lock()
        self._activity = 0
        self._read = trio.lowlevel.ParkingLot()

    @property
    def pid(self) -> int:
        return self._lifetime.pid

    @property
    def exit_code(self) -> int | None:
        """0-255, or 128 + n after signal n; None while it runs."""
        return self._lifetime.code

    def interrupt(self) -> None:
        """SIGINT to its process group, as Ctrl-C at a terminal does."""
        self._tell({"op": "signal", "signal": int(signal.SIGINT)})

    def kill(self) -> None:
        """SIGKILL to it, everything below it and everything in its session."""
        self._tell({"op": "kill"})

    async def wait(self) -> int:
        """The exit code, when it has ended. Output is not read: see `run`.

        Raises:
            GatewayError: the host has died.
        """
        await self._lifetime.ended.wait()
        if self._lifetime.code is None:
            raise GatewayError("the kernel's process host has died")
        return self._lifetime.code

    async def type(self, data: bytes | None) -> None:
        """Type at its terminal, whether or not it waits; None for end of file.

        Returns when it is in the program's buffer. An end of file waits until all before it was
        read, since only one that is read alone counts (see `waiting.py`).
        """
        # Linux has no event for "all was read".
        while data is None and self._terminal.has_unread_input():  # noqa: ASYNC110
            await trio.sleep(FIRST_LOOK)
        await self._terminal.type(data)

    def type_nowait(self, data: bytes) -> int:
        """Type what its terminal takes at once; how many bytes that were."""
        return self._terminal.type_nowait(data)

    def resize(self, rows: int, columns: int) -> None:
        """Set its terminal's size in characters; it gets SIGWINCH if the size is new."""
        self._terminal.resize(rows, columns)

    async def run(self, sink: Sink, ask: Ask | None) -> int:
        """Carry output and questions until the program ends; all its output is delivered then.

        An `ask` that is still open when the program ends is cancelled.

        Raises:
            GatewayError: the host has died. Errors of `sink` and `ask` come through as they are.

        Cancellation: the program goes on (the end of `open_child` kills it); output may be lost.
        """
        async with self.streaming(sink, ask):
            return await self.wait()

    @asynccontextmanager
    async def streaming(self, sink: Sink, ask: Ask | None) -> AsyncIterator[None]:
        """Carry output and questions during the block.

        What was written before the end of the block is delivered by then, unless it failed.
        """
        with one_error():
            async with trio.open_nursery() as nursery:
                for source in self._sources:
                    nursery.start_soon(self._pump, source, sink)
                if ask is not None:
                    nursery.start_soon(self._watch, sink, ask)
                yield
                # With the turn in hand no pump is between its read and its sink, where a
                # cancellation would lose what it has read.
                async with self._turn:
                    await self._deliver(sink)
                    nursery.cancel_scope.cancel()

    async def drain(self, sink: Sink) -> None:
        """Deliver all that was written so far."""
        async with self._turn:
            await self._deliver(sink)

    async def _deliver(self, sink: Sink) -> None:
        for source in self._sources:
            size = 0
            while size < LEFTOVER_BYTES and (data := source.read()):
                await sink(source.name, data)
                size += len(data)
        await trio.lowlevel.checkpoint()

    async def _pump(self, source: Source, sink: Sink) -> None:
        while True:
            if source.burst:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(source.fd)
            if self._turn.locked():
                await self._turn.acquire()
            else:
                self._turn.acquire_nowait()  # a step of the event loop less
            try:
                data = source.read()
                if data is None:
                    return
                if data:
                    self._note_activity()
                    await sink(source.name, data)
            finally:
                self._turn.release()
            if BURST_BYTES < len(data) < GATHERED_BYTES:
                await trio.sleep(GATHER_SECONDS)

    def _note_activity(self) -> None:
        self._activity += 1
        self._read.unpark_all()

    async def _watch(self, sink: Sink, ask: Ask) -> None:
        """Look again and again whether the program waits for input; ask for it then.

        Looking is the only way: Linux has no event for "somebody reads this terminal".
        """
        delay, seen, looked = FIRST_LOOK, self._activity, trio.current_time()
        while True:
            await trio.sleep(delay)
            if self._activity != seen:
                seen, delay = self._activity, FIRST_LOOK
                # A program busy writing is seldom waiting; another thread of it may be, though.
                if trio.current_time() - looked < LAST_LOOK:
                    continue
            else:
                delay = min(delay * 1.4, LAST_LOOK)
            looked = trio.current_time()
            if not self._terminal.is_awaited_by(self.pid):
                continue
            await self.drain(sink)
            # The sink may have taken its time, in which a signal can have ended the read.
            if not self._terminal.is_awaited_by(self.pid):
                continue
            answer = await self._ask(ask)
            if answer is None and not self._terminal.is_awaited_by(self.pid):
                # `type` has just typed the end of input, and two of them would be read as data.
                continue
            if not isinstance(answer, _NotWaiting):
                await self._terminal.type(answer)
            self._activity += 1

    async def _ask(self, ask: Ask) -> bytes | _NotWaiting | None:
        """Ask, but give up when the question is void before the answer.

        It is when the program stops waiting (by a signal, say), and when it asks for a password
        where it asked for something else, or the other way round: input that is typed ahead or
        goes to it by itself can end a wait, and begin the next, between two looks.
        """
        answer: bytes | _NotWaiting | None = _NotWaiting()
        hidden = self._terminal.hides_input()

        async def question() -> None:
            nonlocal answer
            answer = await ask(hidden)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(question)
            doubts = 0
            while doubts < 2:  # once may be a thread that stirred for a moment
                with trio.move_on_after(WAITING_LOOK) as unchanged:
                    # The next question is printed, so here it is seen at once.
                    while self._terminal.hides_input() == hidden:
                        await self._read.park()
                if not unchanged.cancelled_caught:
                    break
                waits = self._terminal.is_awaited_by(self.pid)
                doubts = 0 if waits else doubts + 1
            nursery.cancel_scope.cancel()
        return answer
