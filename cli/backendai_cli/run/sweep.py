"""The sweeps of `run`: many cases, a few kernels at a time, and their output side by side."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import trio

from backendai_trio import (
    ApiError,
    AuthError,
    BackendError,
    BatchOptions,
    BuildFinished,
    Case,
    Config,
    Finished,
    KernelSpec,
    Log,
    Stderr,
    Stdout,
    TrioKernel,
    open_client,
    open_sweep,
)
from backendai_trio.files import Upload
from backendai_trio.kernels import CaseResult, TimedOut

from .. import exit_codes
from ..console import Status, uses_color, write_bytes
from ..server import journal_for
from ..tables import statistics_lines
from .output import as_bytes
from .sweep_results import Outcome, ResultsFile, read_successes

__all__ = ["SweepJob", "run_sweep"]

_LABEL_WIDTH = 32
"""A longer label is shown by its number instead, so that the output keeps some room."""
_LINE_CHARACTERS = 65536
"""A line that is longer is shown in pieces: memory stays flat."""
_COLORS = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")
_STREAMS: Mapping[type, str] = {Stdout: "stdout", Stderr: "stderr"}


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """What the command line asked for."""

    spec: KernelSpec
    code: str | None
    uploads: list[Upload]
    cases: Sequence[Case]
    """At least one."""
    max_parallel: int
    fail_fast: bool
    results: Path | None
    resume: Path | None
    stats: bool


class _Name(NamedTuple):
    """What the user sees of a case."""

    short: str
    """Stands in front of its output; all are of one width."""
    full: str
    color: str


class _Line(NamedTuple):
    """Some output of a case."""

    stream: str
    name: _Name
    text: str


async def run_sweep(job: SweepJob, config: Config, status: Status) -> int:
    """Do it; returns the exit code.

    Raises:
        click.ClickException: the results cannot be read or written; no kernel was created then.
    """
    done = read_successes(job.resume, job.cases) if job.resume is not None else set()
    todo = [case for case in job.cases if frozenset(case.values.items()) not in done]
    if len(todo) < len(job.cases):
        status.info(
            f"{len(job.cases) - len(todo)} of {len(job.cases)} cases have succeeded before."
        )
    path = job.results or job.resume
    with ResultsFile.opened(path, resumed=path == job.resume) as results:
        sweep = _Sweep(job, todo, results, status)
        try:
            async with exit_codes.ending_on_signals():
                return await sweep.run(config)
        except exit_codes.Ended:
            status.clear()
            sweep.tell_rest()
            raise


class _Sweep:
    """A sweep that runs."""

    def __init__(
        self, job: SweepJob, todo: list[Case], results: ResultsFile | None, status: Status
    ) -> None:
        self._job = job
        self._todo = todo
        self._results = results
        self._status = status
        self._names = _names(job.cases)
        self._ended = 0
        self._failed: list[str] = []
        self._send, self._receive = trio.open_memory_channel[_Line](0)

    async def run(self, config: Config) -> int:
        """Run the cases; returns 0, or 1 if one has failed."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                open_client(config, journal=journal_for(config))
            )
            self._status.info(
                f"{len(self._todo)} cases, at most {self._job.max_parallel} at a time."
            )
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(self._write)
            async with (
                self._send,
                open_sweep(
                    client,
                    self._job.spec,
                    self._todo,
                    self._work,
                    max_parallel=min(self._job.max_parallel, len(self._todo) or 1),
                ) as results,
            ):
                async for result in results:
                    self._take(result)
                    if self._failed and self._job.fail_fast:
                        break
        self._status.clear()
        self.tell_rest()
        return exit_codes.CASE_FAILED if self._failed else 0

    def tell_rest(self) -> None:
        """How many cases have succeeded, have failed, and have not been run to their end."""
        succeeded = self._ended - len(self._failed)
        missing = len(self._todo) - self._ended
        text = f"{succeeded} of {len(self._todo)} cases succeeded"
        if self._failed:
            text += f", {len(self._failed)} failed"
        if missing:
            text += f", {missing} were not run to their end"
        if self._failed or missing:
            path = self._job.results or self._job.resume
            self._status.fail(f"{text}{f'; run them again with --resume {path}' if path else ''}.")
        else:
            self._status.done(f"{text}.")

    def _take(self, result: CaseResult[Outcome]) -> None:
        error = result.error
        if isinstance(error, AuthError) or (
            isinstance(error, ApiError) and error.kind == "image-not-found"
        ):
            raise error  # as it is with this case, it is with all of them
        if error is not None:
            problem = _one_line(error)
        else:
            assert result.value is not None
            problem = result.value.problem
        self._ended += 1
        if self._results is not None:
            self._results.add(result, problem)
        label = self._names[result.case.label].full
        if problem:
            self._failed.append(label)
            self._status.fail(f"{label}: {problem}")
        else:
            self._status.done(f"{label}: finished in {result.seconds:.1f} s.")
        if self._job.stats:
            for line in statistics_lines(result.statistics):
                Status().info(f"{label}: {line}")
        self._status.wait(f"{self._ended} of {len(self._todo)} cases have ended...")

    async def _work(self, kernel: TrioKernel, case: Case) -> Outcome:
        """Run one case and carry its output; it has no standard input."""
        job = self._job
        outcome = Outcome()
        lines = {name: _Lines() for name in _STREAMS.values()}
        name = self._names[case.label]
        if job.uploads:
            await kernel.upload(job.uploads)
        async with kernel.execute(
            job.code or "",
            mode="batch" if job.code is None else "query",
            options=BatchOptions(build=case.build, exec=case.exec),
        ) as run:
            try:
                await run.close_stdin()
                async for event in run:
                    match event:
                        case Stdout(text) | Stderr(text):
                            stream = _STREAMS[type(event)]
                            outcome.printed(stream, text)
                            for line in lines[stream].feed(text):
                                await self._send.send(_Line(stream, name, line))
                        case BuildFinished(code) if code:
                            self._status.fail(f"{name.full}: build failed (exit code {code}).")
                        case Log(text):
                            self._status.info(f"{name.full}: {text}")
                        case Finished(code):
                            outcome.exit_code = code
                        case TimedOut():
                            outcome.timed_out = True
            except trio.Cancelled:
                run.abandon()  # its kernel ends now, and that ends everything in it
                raise
        for stream, kept in lines.items():
            if rest := kept.rest():
                await self._send.send(_Line(stream, name, rest + "\n"))
        return outcome

    async def _write(self) -> None:
        """The one task that writes, so that lines stay whole. A slow reader slows the cases."""
        streams = {name: getattr(sys, name) for name in _STREAMS.values()}
        colored = {name: uses_color(stream) for name, stream in streams.items()}
        async for stream, name, text in self._receive:
            prefix = f"\x1b[{name.color}m{name.short} |\x1b[0m " if colored[stream] else None
            data = (prefix or f"{name.short} | ").encode("utf-8", "replace") + as_bytes(text)
            self._status.clear()
            # In a thread: a reader that does not read must not make us deaf to Ctrl-C.
            await trio.to_thread.run_sync(
                write_bytes, streams[stream], data, abandon_on_cancel=True
            )


class _Lines:
    """Text that comes in any pieces, cut into lines."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """The lines that are complete with this, each with its end."""
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > _LINE_CHARACTERS:
            lines.append(self._rest)
            self._rest = ""
        return [f"{line}\n" for line in lines]

    def rest(self) -> str:
        """What has no end yet."""
        return self._rest


def _names(cases: Sequence[Case]) -> dict[str, _Name]:
    """What the user sees of each case, by its label."""
    plain = ["".join(c if c.isprintable() else "?" for c in case.label) for case in cases]
    short, full = plain, plain
    if max(map(len, plain)) > _LABEL_WIDTH:
        short = [f"#{number}" for number in range(1, len(cases) + 1)]
        full = [f"{number} ({label})" for number, label in zip(short, plain, strict=True)]
    width = max(map(len, short))
    return {
        case.label: _Name(short[i].ljust(width), full[i], _COLORS[i % len(_COLORS)])
        for i, case in enumerate(cases)
    }


def _one_line(error: BackendError | ExceptionGroup[Exception]) -> str:
    errors = error.exceptions if isinstance(error, ExceptionGroup) else [error]
    return "; ".join(" ".join(str(one).split()) for one in errors)
