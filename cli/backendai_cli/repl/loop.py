"""The loop of `repl`: read a piece of code, run it in the kernel, show what it does."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Protocol

import click
import trio

from backendai_trio import (
    BackendError,
    Config,
    Execution,
    Finished,
    InputRequest,
    NotFound,
    TrioKernel,
    open_client,
)
from backendai_trio.config import state_folder
from backendai_trio.kernels import TimedOut, one_error

from .. import exit_codes
from ..console import Status, Stdin, TerminalMode
from ..run.kernel import Wanted, hold_kernel
from ..run.output import Output
from ..run.signals import Interrupts
from ..run.terminal import tell_outages
from ..server import journal_for
from .source_code import PROGRAMS, PythonPieces, WholeText, language_of

__all__ = ["ReadEval"]

_COMPLETE_SECONDS = 3.0
"""After that, Tab finds nothing."""
_STATEFUL = frozenset({"python", "lua"})
"""What keeps its variables from one piece to the next, on our own gateway."""
_LEAVE = re.compile(r"\s*(?:(?:os\.|sys\.)?exit|quit)(?:\((\d{0,3})\))?;?\s*")
"""Said to the kernel this ends nothing: its interpreter goes on."""
_PROMPTS = {"python": ">>> "}


class Source(Protocol):
    """Where code and answers come from."""

    async def piece(self) -> str | None:
        """The next piece of code; None at the end."""

    async def answer(self, is_password: bool) -> bytes:
        """What the code that runs has asked for; ``b""`` at the end of input."""


class ReadEval:
    """One call of `repl`."""

    def __init__(self, wanted: Wanted, config: Config, status: Status) -> None:
        self._wanted = wanted
        self._config = config
        self._status = status
        self._language = language_of(wanted.spec.runtime)
        self._by_hand = sys.stdin.isatty() and sys.stdout.isatty()
        self._output = Output(status)
        self._interrupts = Interrupts(status, keep=wanted.keep)

    async def run(self) -> int:
        """Do it; returns the exit code."""
        code = exit_codes.FAILED
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._interrupts.watch, nursery)
                if self._by_hand:
                    # It takes as long to load as a kernel to start.
                    nursery.start_soon(trio.to_thread.run_sync, _load_editor)
                code = await self._run()
                nursery.cancel_scope.cancel()
        number = self._interrupts.number
        return 128 + number if number is not None else code

    async def _run(self) -> int:
        async with (
            open_client(self._config, journal=journal_for(self._config)) as client,
            hold_kernel(client, self._wanted, self._status) as kernel,
        ):
            if not self._by_hand:
                return await self._run_all(kernel, _Lines(self._language))
            ends = "leaves" if self._wanted.keep else "leaves, and ends the kernel"
            self._status.info(f"Tab completes, Ctrl-C interrupts or clears, Ctrl-D {ends}.")
            if client.hello.features and self._language not in _STATEFUL:
                ends = " An empty line ends it." if self._language in PROGRAMS else ""
                self._status.info(
                    f"Each piece of {self._language} is a program of its own: variables do not "
                    f"stay, files do.{ends}"
                )
            self._interrupts.at_prompt = True
            return await self._converse(kernel, _Keyboard(self._language, kernel, self._status))

    async def _run_all(self, kernel: TrioKernel, source: Source) -> int:
        """Run pieces to the end or the first that fails; returns its exit code."""
        while (piece := await source.piece()) is not None:
            if (leave := _LEAVE.fullmatch(piece)) is not None:
                return _exit_code(leave)
            if code := await self._evaluate(kernel, source, piece):
                return code
        return 0

    async def _converse(self, kernel: TrioKernel, source: Source) -> int:
        """Run pieces as a person gives them; what fails is shown, and they can go on."""
        while (piece := await source.piece()) is not None:
            if not piece.strip():
                continue
            if (leave := _LEAVE.fullmatch(piece)) is not None:
                return _exit_code(leave)
            try:
                code = await self._evaluate(kernel, source, piece)
            except NotFound:
                raise  # the kernel has gone
            except BackendError as exc:
                exit_codes.explain(exc)
                continue
            if self._output.mid_line:
                click.echo()
                self._output.mid_line = False
            if code == exit_codes.TIMED_OUT:
                return code  # which has ended the kernel as well
            if code and self._language not in _STATEFUL:
                self._status.info(f"Exit code {code}.")
        return 0

    async def _evaluate(self, kernel: TrioKernel, source: Source, piece: str) -> int:
        """Run a piece; returns its exit code."""
        questions = _Questions(source, self._output)
        with one_error():
            async with (
                kernel.execute(piece, show_value=True) as run,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(questions.answer, run)
                nursery.start_soon(tell_outages, run.connection, self._status)
                with self._interrupts.of(run):
                    async for event in run:
                        if isinstance(event, InputRequest):
                            questions.asked(event)
                        else:
                            await self._output.show(event)
                nursery.cancel_scope.cancel()
        match run.outcome:
            case Finished(int(code)):
                return code
            case TimedOut():
                return exit_codes.TIMED_OUT
        # Managers do not tell in query mode.
        return exit_codes.INTERRUPTED if self._interrupts.interrupted else 0


def _exit_code(leave: re.Match[str]) -> int:
    return int(leave[1] or 0) & 0xFF


def _load_editor() -> None:
    import_module(f"{__package__}.line_editor")


class _Questions:
    """Has what a run asks answered, while its output goes on."""

    def __init__(self, source: Source, output: Output) -> None:
        self._source = source
        self._output = output
        self._send, self._receive = trio.open_memory_channel[InputRequest](1)

    def asked(self, question: InputRequest) -> None:
        """A question has come; one that is repeated is the same."""
        try:
            self._send.send_nowait(question)
        except trio.WouldBlock:
            pass

    async def answer(self, run: Execution) -> None:
        async for question in self._receive:
            if line := await self._source.answer(question.is_password):
                self._output.mid_line = False  # the terminal has gone to the next one
                await run.send_stdin(line)
            else:
                await run.close_stdin()


class _Keyboard:
    """A person at a terminal."""

    def __init__(self, language: str, kernel: TrioKernel, status: Status) -> None:
        from .line_editor import LineEditor, file_history, no_history

        path = state_folder() / "repl" / language
        try:
            history = file_history(path)
        except OSError as exc:
            status.info(f"Pieces are not kept: {path} cannot be written ({exc.strerror}).")
            history = no_history()
        prompt = _PROMPTS.get(language, f"{language}> ")
        self._editor = LineEditor(language, prompt, history, _completer(kernel))
        self._stdin = Stdin()

    async def piece(self) -> str | None:
        return await self._editor.read()

    async def answer(self, is_password: bool) -> bytes:
        with TerminalMode() as mode:
            if is_password:
                mode.hide()
            return await self._stdin.read()


class _Lines:
    """A pipe or a file: code, and answers to what it asks, in the order in which they are read."""

    def __init__(self, language: str) -> None:
        self._stdin = Stdin()
        self._pieces = PythonPieces() if language == "python" else WholeText()
        self._ready: deque[str] = deque()
        self._buffer = b""

    async def piece(self) -> str | None:
        while not self._ready:
            if not (line := await self._line()):
                return self._pieces.end()
            self._ready.extend(self._pieces.feed(line.decode("utf-8", "surrogateescape")))
        return self._ready.popleft()

    async def answer(self, is_password: bool) -> bytes:
        return await self._line()

    async def _line(self) -> bytes:
        """A line with its newline, which the last one may lack; ``b""`` at the end."""
        while b"\n" not in self._buffer:
            data = await self._stdin.read()
            if not data:
                line, self._buffer = self._buffer, b""
                return line
            self._buffer += data
        line, newline, self._buffer = self._buffer.partition(b"\n")
        return line + newline


def _completer(kernel: TrioKernel) -> Callable[[str, str], Awaitable[list[str]]]:
    async def ask(before: str, after: str) -> list[str]:
        line = before.rpartition("\n")[2]
        with trio.move_on_after(_COMPLETE_SECONDS):
            try:
                return await kernel.complete(
                    before, row=before.count("\n"), col=len(line), line=line, post=after
                )
            except BackendError:
                pass  # the next piece will say what is wrong
        return []

    return ask
