"""The sweeps of `run`: many cases, a few kernels at a time, and their output line by line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
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
    Html,
    KernelSpec,
    Log,
    Media,
    Stderr,
    Stdout,
    TrioKernel,
    open_client,
    open_sweep,
)
from backendai_trio.files import Upload
from backendai_trio.kernels import CaseResult, TimedOut

from .. import exit_codes
from ..console import Status, count, printable, uses_color, write_bytes
from ..errors import message_of
from ..server import journal_for
from ..tables import statistics_lines
from ..termination import EndedBySignal, cancel_on_signals, run_async
from .code_arguments import set_arguments
from .manager_pictures import open_pictures
from .manager_programs import command_of_program, guarded_code
from .media import MediaPresenter
from .media_options import MediaOptions
from .output import as_bytes
from .program import append_arguments
from .sweep_results import Outcome, ResultsFile, read_successes

__all__ = ["SweepRequest", "run_sweep"]

_LABEL_WIDTH = 32
"""A longer label is replaced by the number of its case, so that the output has room."""
_LINE_CHARACTERS = 65536
"""A longer line is split, so that memory stays flat."""
_COLORS = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")
_STREAMS: Mapping[type, str] = {Stdout: "stdout", Stderr: "stderr"}


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """The sweep that a command line asks for."""

    spec: KernelSpec
    code: str | None
    uploads: list[Upload]
    options: BatchOptions
    """Of the program; the commands are those of the cases."""
    arguments: tuple[str, ...]
    """Arguments of the code, in query mode."""
    cases: Sequence[Case]
    """At least one."""
    max_parallel: int
    fail_fast: bool
    results: Path | None
    resume: Path | None
    stats: bool
    media: MediaOptions


class _Name(NamedTuple):
    """How a case is called in the output."""

    short: str
    """In front of each line of output; padded to one width for all cases."""
    full: str
    """In status lines."""
    color: str


class _Line(NamedTuple):
    """A line of output of a case."""

    stream: str
    name: _Name
    text: str


def run_sweep(request: SweepRequest, config: Config, status: Status) -> int:
    """Run a sweep; returns the exit code of the command. Blocks: files may be pipes.

    Raises:
        click.ClickException: the results cannot be read or written; no kernel was created then.
    """
    succeeded = read_successes(request.resume, request.cases) if request.resume else set()
    todo = [case for case in request.cases if frozenset(case.values.items()) not in succeeded]
    if len(todo) < len(request.cases):
        before = len(request.cases) - len(todo)
        status.info(f"{before} of {count(len(request.cases), 'case')} succeeded before.")
    path = request.results or request.resume
    with ResultsFile.opened(path, resumed=path == request.resume) as results:
        return run_async(_run_cases, _Sweep(request, todo, results, status), config, status)


async def _run_cases(sweep: _Sweep, config: Config, status: Status) -> int:
    try:
        async with cancel_on_signals():
            return await sweep.run(config)
    except EndedBySignal:
        status.clear()
        sweep.report_summary()
        raise


class _Sweep:
    """A sweep in progress."""

    def __init__(
        self, request: SweepRequest, todo: list[Case], results: ResultsFile | None, status: Status
    ) -> None:
        self._request = request
        self._todo = todo
        self._results = results
        self._status = status
        self._names = _names(request.cases)
        self._media = MediaPresenter(request.media.undrawn(), status)
        self._ended = 0
        self._failed: list[str] = []
        self._send, self._receive = trio.open_memory_channel[_Line](0)

    async def run(self, config: Config) -> int:
        """Run the cases; returns the exit code of the command."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                open_client(config, journal=journal_for(config))
            )
            self._status.info(
                f"{count(len(self._todo), 'case')}, at most {self._request.max_parallel} at a time."
            )
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(self._write_lines)
            async with (
                self._send,
                open_sweep(
                    client,
                    self._request.spec,
                    self._todo,
                    self._run_case,
                    max_parallel=min(self._request.max_parallel, len(self._todo) or 1),
                ) as results,
            ):
                async for result in results:
                    self._add_result(result)
                    if self._failed and self._request.fail_fast:
                        break
        self._status.clear()
        self.report_summary()
        return exit_codes.CASE_FAILED if self._failed else 0

    def report_summary(self) -> None:
        """Show how many cases succeeded, failed, and did not end."""
        succeeded = self._ended - len(self._failed)
        missing = len(self._todo) - self._ended
        text = f"{succeeded} of {count(len(self._todo), 'case')} succeeded"
        if self._failed:
            text += f", {len(self._failed)} failed"
        if missing:
            text += f", {missing} did not run to the end"
        if self._failed or missing:
            path = self._request.results or self._request.resume
            self._status.fail(f"{text}{f'; run these with --resume {path}' if path else ''}.")
        else:
            self._status.done(f"{text}.")

    def _add_result(self, result: CaseResult[Outcome]) -> None:
        error = result.error
        if isinstance(error, AuthError) or (isinstance(error, ApiError) and error.is_unknown_image):
            raise error  # all other cases would fail in the same way
        if error is not None:
            problem = _message_of(error)
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
        if self._request.stats:
            for line in statistics_lines(result.statistics):
                Status().info(f"{label}: {line}")
        self._status.wait(f"{self._ended} of {len(self._todo)} cases ended...")

    async def _run_case(self, kernel: TrioKernel, case: Case) -> Outcome:
        """Run one case, with its output; it has no standard input."""
        request = self._request
        runtime = request.spec.runtime
        name = self._names[case.label]
        if request.uploads:
            await kernel.upload(request.uploads)
        if request.code is not None:
            await set_arguments(kernel, runtime, request.arguments)
        options = replace(request.options, build=case.build, exec=case.exec)
        options = append_arguments(options)
        if request.uploads and not kernel.client.hello.features:
            options = command_of_program(options, runtime)
        label = f"{name.full}: "
        async with open_pictures(
            kernel, options, request, runtime, keeps_kernel=False, status=self._status, label=label
        ) as pictures:
            outcome = await self._execute(kernel, pictures.options, name)
            await pictures.show(partial(self._media.present, label=label))
        return outcome

    async def _execute(self, kernel: TrioKernel, options: BatchOptions, name: _Name) -> Outcome:
        """Run the program or the code of a case; see `_run_case`."""
        source = self._request.code
        outcome = Outcome()
        lines = {stream: _LineSplitter() for stream in _STREAMS.values()}
        async with kernel.execute(
            guarded_code(source or "", self._request.spec.runtime, kernel.client),
            mode="batch" if source is None else "query",
            options=options,
        ) as run:
            try:
                await run.close_stdin()
                async for event in run:
                    match event:
                        case Stdout(text) | Stderr(text):
                            stream = _STREAMS[type(event)]
                            outcome.add_output(stream, text)
                            for line in lines[stream].feed(text):
                                await self._send.send(_Line(stream, name, line))
                        case BuildFinished(code) if code:
                            self._status.fail(f"{name.full}: build failed (exit code {code}).")
                        case Media() | Html():
                            await self._media.present(event, f"{name.full}: ")
                        case Log(text):
                            self._status.info(f"{name.full}: {text}")
                        case Finished(code):
                            outcome.exit_code = code
                        case TimedOut():
                            outcome.timed_out = True
            except trio.Cancelled:
                run.abandon()  # the end of its kernel ends it
                raise
        for stream, splitter in lines.items():
            if rest := splitter.rest():
                await self._send.send(_Line(stream, name, rest + "\n"))
        return outcome

    async def _write_lines(self) -> None:
        """Write all output, in one task: lines stay whole. A slow reader slows the cases."""
        streams = {name: getattr(sys, name) for name in _STREAMS.values()}
        colored = {name: uses_color(stream) for name, stream in streams.items()}
        async for stream, name, text in self._receive:
            prefix = f"\x1b[{name.color}m{name.short} |\x1b[0m " if colored[stream] else None
            data = (prefix or f"{name.short} | ").encode("utf-8", "replace") + as_bytes(text)
            self._status.clear()
            # In a thread: a reader that does not read must not keep Ctrl-C from being handled.
            await trio.to_thread.run_sync(
                write_bytes, streams[stream], data, abandon_on_cancel=True
            )


class _LineSplitter:
    """Splits text, which comes in chunks of any size, into lines."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """Lines that this text completes, each with its newline."""
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > _LINE_CHARACTERS:
            lines.append(self._rest)
            self._rest = ""
        return [f"{line}\n" for line in lines]

    def rest(self) -> str:
        """The beginning of a line that has no end yet."""
        return self._rest


def _names(cases: Sequence[Case]) -> dict[str, _Name]:
    """The names of the cases in the output, by label."""
    plain = [printable(case.label) for case in cases]
    short, full = plain, plain
    if max(map(len, plain)) > _LABEL_WIDTH:
        short = [f"#{number}" for number in range(1, len(cases) + 1)]
        full = [f"{number} ({label})" for number, label in zip(short, plain, strict=True)]
    width = max(map(len, short))
    return {
        case.label: _Name(short[i].ljust(width), full[i], _COLORS[i % len(_COLORS)])
        for i, case in enumerate(cases)
    }


def _message_of(error: BackendError | ExceptionGroup[Exception]) -> str:
    errors = error.exceptions if isinstance(error, ExceptionGroup) else [error]
    return "; ".join(map(message_of, errors))
