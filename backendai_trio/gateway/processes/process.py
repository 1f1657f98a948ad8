"""A program of a kernel: its output, its input, and its requests for input.

A `Process` does not know the process host. It gets a `ProcessState`, which `process_host.py` keeps
up to date, and a function that sends the host a message about it.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from ..._groups import one_error
from ...errors import GatewayError
from .input_watch import Ask, InputWatch
from .output_source import BURST_BYTES, OutputSource, Sink
from .program_streams import ProgramStreams

__all__ = ["Ask", "Process", "ProcessState", "Sink"]

#: A read of more than BURST_BYTES and less than this is followed by a pause, in which output
#: gathers while the program goes on: a fast reader would get each 4 KiB by itself.
GATHERED_BYTES = 16 * 1024
GATHER_SECONDS = 0.001

#: Reads of less than QUICK_BYTES of the same output that follow each other within QUICK_SECONDS are
#: followed by a longer pause once there were QUICK_READS of them: a loop that prints line by line
#: took five times as long as the program alone, because the gateway read each line by itself.
#: Fewer, and reads that follow input or other output, are a conversation and not a loop; a pause
#: there would be a delay.
QUICK_READS = 16
QUICK_BYTES = 32 * 1024
QUICK_SECONDS = 0.010
QUICK_GATHER_SECONDS = 0.004

#: More than a pipe (64 KiB) or a terminal (about 68 KiB) can hold. Reading the rest of a program's
#: output stops here, because a background process may write for ever.
LEFTOVER_BYTES = 256 * 1024


@dataclass
class ProcessState:
    """What the process host has reported about one program.

    When the host dies, all events are set and nothing else.
    """

    started: trio.Event = field(default_factory=trio.Event)
    """Set when the program was started, or could not be."""
    ended: trio.Event = field(default_factory=trio.Event)
    pid: int = 0
    failure: tuple[int, str] | None = None
    """Errno and text, if it could not be started."""
    exit_code: int | None = None
    signals: deque[tuple[int, trio.Event]] = field(default_factory=deque)
    """Signals that the host was asked for and has not sent yet."""

    def note_signal(self) -> None:
        """The host has sent the first of these signals."""
        _, sent = self.signals.popleft()
        sent.set()

    def end(self) -> None:
        """The program has ended, and gets no signals any more."""
        self.ended.set()
        while self.signals:
            self.note_signal()


class Process:
    """A running program. Made by `KernelHost.open_process`.

    Attributes:
        control: the gateway's end of the program's descriptor 3, if it has one.
    """

    def __init__(
        self,
        state: ProcessState,
        notify_host: Callable[[dict[str, object]], None],
        streams: ProgramStreams,
    ) -> None:
        self.control = streams.control
        self._state = state
        self._notify_host = notify_host
        self._stdin = streams.stdin
        self._terminal = streams.terminal
        self._sources = streams.sources
        # Held from a read until the sink has the output: so output keeps its order.
        self._turn = trio.Lock()
        self._quick_reads = 0
        self._last_read: tuple[OutputSource | None, float] = (None, 0.0)
        self._input_watch = InputWatch(streams.stdin, state.pid, self.drain)

    @property
    def pid(self) -> int:
        """Its process id, also that of its session and process group."""
        return self._state.pid

    @property
    def exit_code(self) -> int | None:
        """0-255, or 128 + n after signal n; None while it runs."""
        return self._state.exit_code

    def interrupt(self) -> None:
        """Send SIGINT to its process group, as Ctrl-C at a terminal does."""
        self._signal(signal.SIGINT)

    async def wait_signalled(self) -> None:
        """Wait until it has got all signals so far, or has ended."""
        if self._state.signals:
            _, sent = self._state.signals[-1]
            await sent.wait()
        else:
            await trio.lowlevel.checkpoint()

    def kill(self) -> None:
        """Send SIGKILL to it, to all processes below it and to its session."""
        self._notify_host({"op": "kill"})

    async def wait(self) -> int:
        """Wait until it has ended. Its output is not read: see `run`.

        Returns:
            The exit code.

        Raises:
            GatewayError: the process host has died.
        """
        await self._state.ended.wait()
        if self._state.exit_code is None:
            raise GatewayError("the kernel's process host has died")
        return self._state.exit_code

    async def write_stdin(self, data: bytes | None) -> None:
        """Write to its standard input, whether or not it waits for input; None for end of file.

        Returns when the input is in the buffer of its terminal or pipe.
        """
        self._quick_reads = 0
        await self._stdin.write(data)

    def write_stdin_nowait(self, data: bytes) -> int:
        """Write as much to its standard input as there is room for; returns how many bytes."""
        self._quick_reads = 0
        return self._stdin.write_nowait(data)

    def resize(self, rows: int, columns: int) -> None:
        """Set its terminal's size in characters; it gets SIGWINCH if the size is new. Does nothing
        to a program without a terminal."""
        if self._terminal is None or not self._terminal.resize(rows, columns):
            return
        if self._terminal is not self._stdin:
            # It is not the controlling terminal, and so Linux has told nobody.
            self._signal(signal.SIGWINCH)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group, unless it has ended.

        One that is not sent yet is not sent again: it would have the same effect. (A flood of
        them makes handlers in Python call themselves until the stack is full.)
        """
        state = self._state
        if not state.ended.is_set() and all(number != waiting for waiting, _ in state.signals):
            self._notify_host({"op": "signal", "signal": int(number)})
            state.signals.append((number, trio.Event()))  # only if the host was told

    async def run(self, sink: Sink, ask: Ask | None) -> int:
        """Deliver its output and answer its requests for input until it ends.

        Args:
            sink: gets the output; it has got all of it when this returns.
            ask: called when the program waits for input; None if input comes another way. It is
                cancelled when the program ends first.

        Returns:
            The exit code.

        Raises:
            GatewayError: the process host has died. Errors of `sink` and `ask` are raised as they
                are.

        Cancellation: the program goes on (the end of `open_process` kills it); output may be lost.
        """
        async with self.streaming(sink, ask):
            return await self.wait()

    @asynccontextmanager
    async def streaming(self, sink: Sink, ask: Ask | None) -> AsyncIterator[None]:
        """Like `run`, for the time of the block.

        All that was written before the end of the block is delivered, unless the block failed.
        """
        with one_error():
            async with trio.open_nursery() as nursery:
                for source in self._sources:
                    nursery.start_soon(self._pump, source, sink)
                if ask is not None:
                    nursery.start_soon(self._input_watch.run, sink, ask)
                yield
                # While we hold the lock, no pump is between its read and its sink, where a
                # cancellation would lose output.
                async with self._turn:
                    await self._deliver(sink)
                    nursery.cancel_scope.cancel()

    async def drain(self, sink: Sink) -> None:
        """Deliver everything that was written so far."""
        async with self._turn:
            await self._deliver(sink)

    async def _deliver(self, sink: Sink) -> None:
        for source in self._sources:
            size = 0
            while size < LEFTOVER_BYTES and (data := source.read()):
                await sink(source.name, data)
                size += len(data)
        await trio.lowlevel.checkpoint()

    async def _pump(self, source: OutputSource, sink: Sink) -> None:
        while True:
            if source.burst:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(source.fd)
            if self._turn.locked():
                await self._turn.acquire()
            else:
                self._turn.acquire_nowait()  # saves a step of the event loop
            try:
                other, _ = self._last_read
                if other not in (None, source) and self._quick_reads >= QUICK_READS:
                    # What has gathered there was there before.
                    await self._pass_on(other, sink)
                size = await self._pass_on(source, sink)
            finally:
                self._turn.release()
            if size is None:
                return
            if self._quick_reads >= QUICK_READS:
                await trio.sleep(QUICK_GATHER_SECONDS)
            elif BURST_BYTES < size < GATHERED_BYTES:
                await trio.sleep(GATHER_SECONDS)

    async def _pass_on(self, source: OutputSource, sink: Sink) -> int | None:
        """Deliver what one read returns, and return its size; None at end of file."""
        data = source.read()
        if data:
            self._input_watch.note_output()
            self._note_read(source, len(data))
            await sink(source.name, data)
        return None if data is None else len(data)

    def _note_read(self, source: OutputSource, size: int) -> None:
        """Count the short reads that have followed each other."""
        before, at = self._last_read
        now = trio.current_time()
        follows = source is before and now - at < QUICK_SECONDS and size < QUICK_BYTES
        self._quick_reads = self._quick_reads + 1 if follows else 0
        self._last_read = (source, now)
