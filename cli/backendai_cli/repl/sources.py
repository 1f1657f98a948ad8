"""Sources of code for `repl`: a line editor, a terminal that cannot have one, or a pipe."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import click
import trio

from backendai_trio import BackendError, TrioKernel
from backendai_trio.config import state_folder

from ..console import Status
from ..standard_input import Stdin
from .source_code import PythonSplitter, WholeInput, is_finished

__all__ = ["DumbTerminal", "Keyboard", "PipedInput", "Source"]

_COMPLETE_SECONDS = 3.0
"""After this time, Tab finds nothing."""
_CTRL_D = b"\x04"
_PROMPTS = {"python": ">>> "}


class Source(Protocol):
    """Provides code, and answers to what the code asks."""

    async def read_code(self) -> str | None:
        """The next code to run; None at the end."""

    async def read_answer(self) -> bytes:
        """A line of input for the code that runs; ``b""`` at the end of input."""


class Keyboard:
    """A person at a terminal, with a line editor."""

    def __init__(self, language: str, stdin: Stdin, kernel: TrioKernel, status: Status) -> None:
        # It takes long to load; `Repl` has loaded it in a thread by now.
        from .line_editor import LineEditor, file_history, memory_history

        path = state_folder() / "repl" / language
        try:
            history = file_history(path)
        except OSError as exc:
            status.warn(f"History is not kept: {path} cannot be written ({exc.strerror}).")
            history = memory_history()
        self._editor = LineEditor(language, _prompt_of(language), history, _completer(kernel))
        self._stdin = stdin

    async def read_code(self) -> str | None:
        return await self._editor.read(self._stdin.take_kept(_CTRL_D))

    async def read_answer(self) -> bytes:
        return await self._stdin.read()


class _Lines:
    """Lines of standard input."""

    def __init__(self, stdin: Stdin) -> None:
        self._stdin = stdin
        self._buffer = b""

    async def read(self) -> bytes:
        """A line with its newline, which the last one may lack; ``b""`` at the end."""
        while b"\n" not in self._buffer:
            data = await self._stdin.read()
            if not data:
                line, self._buffer = self._buffer, b""
                return line
            self._buffer += data
        line, newline, self._buffer = self._buffer.partition(b"\n")
        return line + newline


class DumbTerminal:
    """A person at a terminal without escape sequences, such as a shell in Emacs: no line editor."""

    def __init__(self, language: str, stdin: Stdin) -> None:
        self._language = language
        self._lines = _Lines(stdin)

    async def read_code(self) -> str | None:
        code: list[str] = []
        prompt = _prompt_of(self._language)
        while True:
            click.echo(prompt, nl=False)
            line = (await self._lines.read()).decode("utf-8", "surrogateescape")
            if not line:
                click.echo()
                return "\n".join(code) or None
            code.append(line.rstrip("\r\n"))
            if is_finished(self._language, "\n".join(code)):
                return "\n".join(code)
            prompt = "." * (len(prompt) - 1) + " "

    async def read_answer(self) -> bytes:
        return await self._lines.read()


class PipedInput:
    """A pipe or a file: code, and the answers to what it asks, in the order they are read in."""

    def __init__(self, language: str, stdin: Stdin) -> None:
        self._lines = _Lines(stdin)
        self._splitter = PythonSplitter() if language == "python" else WholeInput()
        self._statements: deque[str] = deque()

    async def read_code(self) -> str | None:
        while not self._statements:
            if not (line := await self._lines.read()):
                return self._splitter.end()
            self._statements.extend(self._splitter.feed(line.decode("utf-8", "surrogateescape")))
        return self._statements.popleft()

    async def read_answer(self) -> bytes:
        return await self._lines.read()


def _prompt_of(language: str) -> str:
    return _PROMPTS.get(language, f"{language}> ")


def _completer(kernel: TrioKernel) -> Callable[[str, str], Awaitable[list[str]]]:
    """A function that asks the kernel for completions of the code before and after the cursor."""

    async def complete(before: str, after: str) -> list[str]:
        line = before.rpartition("\n")[2]
        with trio.move_on_after(_COMPLETE_SECONDS):
            try:
                return await kernel.complete(
                    before, row=before.count("\n"), col=len(line), line=line, post=after
                )
            except BackendError:
                pass  # if the kernel is gone, the next code to run reports it
        return []

    return complete
