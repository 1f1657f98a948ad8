"""One call of `run`: a kernel, a run in it, and the user at its standard streams."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TextIO

import trio

from backendai_trio import (
    BatchOptions,
    BuildFinished,
    Client,
    Config,
    Event,
    Execution,
    Finished,
    Html,
    InputRequest,
    KernelSpec,
    Log,
    Media,
    Other,
    Statistics,
    Stderr,
    Stdout,
    TimedOut,
    TrioKernel,
    Upload,
    attach_kernel,
    find_kernel,
    new_token,
    one_error,
    open_client,
    open_kernel,
)

from . import exits
from .console import Status, Stdin, TerminalMode, write_bytes
from .screen import follow_size, raw_terminal, tell_outages
from .target import journal_for

__all__ = ["Job", "Runner", "as_bytes"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the command line asked for."""

    spec: KernelSpec | None
    """The kernel to create, or to join by its token; None for one that must be there."""
    token: str | None
    code: str | None
    uploads: list[Upload]
    options: BatchOptions
    keep: bool
    stats: bool
    window: tuple[int, int] | None
    """Size of the user's terminal if the program shall have it."""


class Runner:
    """One call of `run`: the job, and what signals may do to it."""

    def __init__(self, job: Job, config: Config, status: Status) -> None:
        self._job = job
        self._config = config
        self._status = status
        self._stdin = Stdin()
        self._mode = TerminalMode()
        self._asked = trio.Event()
        self._execution: Execution | None = None
        self._interrupted = False
        self._signal: int | None = None

    async def run(self) -> int:
        """Do it; returns the exit code."""
        code = exits.FAILED
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._watch_signals, nursery)
                code = await self._run()
                nursery.cancel_scope.cancel()
        return 128 + self._signal if self._signal is not None else code

    async def _run(self) -> int:
        job = self._job
        async with (
            open_client(self._config, journal=journal_for(self._config)) as client,
            self._open_kernel(client) as kernel,
        ):
            self._status.done(f"Kernel (ID: {kernel.kernel_id}) is ready.")
            if job.uploads:
                self._status.wait("Uploading source files...")
                await kernel.upload(job.uploads)
                self._status.done("Uploading done.")
                self._status.wait("Building your code...")
            return await self._execute(kernel)

    @asynccontextmanager
    async def _open_kernel(self, client: Client) -> AsyncIterator[TrioKernel]:
        """The kernel: joined or created, and ended afterwards or not, as the options say."""
        job, status = self._job, self._status
        token = job.token or new_token()
        if job.spec is None:
            yield await find_kernel(client, token)
            return
        status.info(f"Client session token: {token}")
        if job.token is None and not job.keep:
            status.wait("Creating a temporary kernel...")
            async with open_kernel(client, job.spec, token=token) as kernel:
                yield kernel
                status.wait("Cleaning up the temporary kernel...")
                await kernel.destroy()
                self._tell_end(kernel.statistics)
            return
        status.wait("Connecting to the kernel...")
        kernel = await attach_kernel(client, job.spec, token=token)
        try:
            yield kernel
        finally:
            if not job.keep:
                with trio.move_on_after(client.config.grace_seconds, shield=True):
                    self._tell_end(await kernel.destroy())

    def _tell_end(self, statistics: Statistics | None) -> None:
        self._status.done("Cleaned up the kernel.")
        if self._job.stats:
            from .tables import statistics_lines

            for line in statistics_lines(statistics):
                Status().info(line)  # asked for, so shown also when quiet

    async def _execute(self, kernel: TrioKernel) -> int:
        """Run the code and carry its output and questions; returns its exit code."""
        job = self._job
        mode: Literal["query", "batch"] = "query" if job.code is not None else "batch"
        keys = self._mode if job.window is None else raw_terminal(self._mode, self._status)
        with keys, one_error():
            async with (
                kernel.execute(
                    job.code or "", mode=mode, options=job.options, window=job.window
                ) as run,
                trio.open_nursery() as nursery,
            ):
                self._execution = run
                nursery.start_soon(self._type, run)
                nursery.start_soon(tell_outages, run.connection, self._status)
                if job.window is not None:
                    nursery.start_soon(follow_size, run)
                try:
                    async for event in run:
                        await self._show(event)
                finally:
                    self._execution = None
                nursery.cancel_scope.cancel()
        if not isinstance(run.outcome, Finished):
            self._status.fail("The server ended the run: it took too long.")
            return exits.TIMED_OUT
        if run.outcome.exit_code is not None:
            return run.outcome.exit_code
        # Managers do not tell in query mode; an interrupted run is none that succeeded.
        return exits.INTERRUPTED if self._interrupted else 0

    async def _show(self, event: Event) -> None:
        match event:
            case Stdout(text):
                await self._print(sys.stdout, text)
            case Stderr(text):
                await self._print(sys.stderr, text)
            case InputRequest(is_password):
                self._status.clear()
                if is_password:
                    self._mode.hide()
                self._asked.set()
            case BuildFinished(None | 0):
                self._status.done("Build finished.")
            case BuildFinished(code):
                self._status.fail(f"Build failed (exit code {code}).")
            case Log(text):
                self._status.info(text)
            case Media(kind, data):
                self._status.info(f"[{kind}, {len(data):,} characters]")
            case Html(text):
                self._status.info(f"[HTML, {len(text):,} characters]")
            case Other(kind, _):
                self._status.info(f"[output of kind {kind!r}]")
            case TimedOut() | Finished():
                self._status.clear()

    async def _print(self, stream: TextIO, text: str) -> None:
        self._status.clear()
        data = as_bytes(text)
        # In a thread: a reader that does not read (a pager, Ctrl-S) must not stop the event loop,
        # which would be deaf to Ctrl-C and, with a local gateway, stop that as well.
        await trio.to_thread.run_sync(write_bytes, stream, data, abandon_on_cancel=True)

    async def _type(self, run: Execution) -> None:
        """Carry standard input to the program.

        What a person types goes at once. A pipe or file is left alone until the program asks for
        input: in a shell's ``while read`` loop, it is the input of the loop.
        """
        if not self._stdin.is_terminal:
            await self._asked.wait()
        while data := await self._stdin.read():
            await run.send_stdin(data)
            if self._job.window is None:
                self._mode.restore()  # after a password
        await run.close_stdin()

    async def _watch_signals(
        self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Ctrl-C once interrupts the program, twice ends everything; so do the other signals."""
        with trio.open_signal_receiver(*exits.ending_signals()) as received:
            task_status.started()
            async for number in received:
                run = self._execution
                if number == signal.SIGINT and run is not None and not self._interrupted:
                    self._interrupted = True
                    self._status.info("Interrupting the program; Ctrl-C again ends the kernel.")
                    nursery.start_soon(run.interrupt)
                else:
                    self._signal = number
                    if run is not None and not self._job.keep:
                        run.abandon()  # its kernel ends now, and that ends everything in it
                    nursery.cancel_scope.cancel()


def as_bytes(text: str) -> bytes:
    """The bytes a program wrote; those that are no UTF-8 arrive as lone surrogates (PEP 383)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other surrogates, which no server should send
        return text.encode("utf-8", "replace")
