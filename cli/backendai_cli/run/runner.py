"""One call of `run`: a kernel, a run in it, and the user at its standard streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import trio

from backendai_trio import (
    BatchOptions,
    Client,
    Config,
    Execution,
    Finished,
    InputRequest,
    TrioKernel,
    find_kernel,
    open_client,
)
from backendai_trio.files import Upload
from backendai_trio.kernels import one_error

from .. import exit_codes
from ..console import Status, Stdin, TerminalMode
from ..server import journal_for
from .kernel import Wanted, hold_kernel
from .output import Output
from .signals import Interrupts
from .terminal import follow_size, raw_terminal, tell_outages

__all__ = ["Job", "Runner"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the command line asked for."""

    kernel: Wanted | str
    """The kernel to create or to join; a token for one that must be there, and stays."""
    code: str | None
    uploads: list[Upload]
    options: BatchOptions
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
        self._output = Output(status)
        keep = isinstance(job.kernel, str) or job.kernel.keep
        self._interrupts = Interrupts(status, keep=keep)

    async def run(self) -> int:
        """Do it; returns the exit code."""
        code = exit_codes.FAILED
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._interrupts.watch, nursery)
                code = await self._run()
                nursery.cancel_scope.cancel()
        number = self._interrupts.number
        return 128 + number if number is not None else code

    async def _run(self) -> int:
        job = self._job
        async with (
            open_client(self._config, journal=journal_for(self._config)) as client,
            self._open_kernel(client) as kernel,
        ):
            if job.uploads:
                self._status.wait("Uploading source files...")
                await kernel.upload(job.uploads)
                self._status.done("Uploading done.")
                self._status.wait("Building your code...")
            return await self._execute(kernel)

    @asynccontextmanager
    async def _open_kernel(self, client: Client) -> AsyncIterator[TrioKernel]:
        wanted = self._job.kernel
        if isinstance(wanted, str):
            yield await find_kernel(client, wanted)
            return
        async with hold_kernel(client, wanted, self._status) as kernel:
            yield kernel

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
                nursery.start_soon(self._type, run)
                nursery.start_soon(tell_outages, run.connection, self._status)
                if job.window is not None:
                    nursery.start_soon(follow_size, run)
                with self._interrupts.of(run):
                    async for event in run:
                        if isinstance(event, InputRequest):
                            self._ask(event.is_password)
                        else:
                            await self._output.show(event)
                nursery.cancel_scope.cancel()
        if not isinstance(run.outcome, Finished):
            return exit_codes.TIMED_OUT
        if run.outcome.exit_code is not None:
            return run.outcome.exit_code
        # Managers do not tell in query mode; an interrupted run is none that succeeded.
        return exit_codes.INTERRUPTED if self._interrupts.interrupted else 0

    def _ask(self, is_password: bool) -> None:
        self._status.clear()
        if is_password:
            self._mode.hide()
        self._asked.set()

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
