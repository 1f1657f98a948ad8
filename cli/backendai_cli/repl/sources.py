"""Sources of code for `repl`: a person at a terminal, or a pipe."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from backendai_trio import BackendError, TrioKernel
from backendai_trio.config import state_folder

from ..console import Status
from ..keyboard import Stdin
from .source_code import PythonSplitter, WholeInput

__all__ = ["Keyboard", "PipedInput", "Source"]

_COMPLETE_SECONDS = 3.0
"""After this time, Tab finds nothing."""
_PROMPTS = {"python": ">>> "}


class Source(Protocol):
    """Provides code, and answers to what the code asks."""

    async def read_code(self) -> str | None:
        """The next code to run; None at the end."""

    async def read_answer(self) -> bytes:
        """A line of input for the code that runs; ``b""`` at the end of input."""


class Keyboard:
    """A person at a terminal, with a line editor."""

    def __init__(self, language: str, kernel: TrioKernel, status: Status) -> None:
        # It takes long to load; `Repl` has loaded it in a thread by now.
        from .line_editor import LineEditor, file_history, memory_history

        path = state_folder() / "repl" / language
        try:
            history = file_history(path)
        except OSError as exc:
            status.warn(f"History is not kept: {path} cannot be written ({exc.strerror}).")
            history = memory_history()
        prompt = _PROMPTS.get(language, f"{language}> ")
        self._editor = LineEditor(language, prompt, history, _completer(kernel))
        self._stdin = Stdin()

    async def read_code(self) -> str | None:
        return await self._editor.read()

    async def read_answer(self) -> bytes:
        return await self._stdin.read()


class PipedInput:
    """A pipe or a file: code, and the answers to what it asks, in the order they are read in."""

    def __init__(self, language: str) -> None:
        self._stdin = Stdin()
        self._splitter = PythonSplitter() if language == "python" else WholeInput()
        self._statements: deque[str] = deque()
        self._buffer = b""

    async def read_code(self) -> str | None:
        while not self._statements:
            if not (line := await self._read_line()):
                return self._splitter.end()
            self._statements.extend(self._splitter.feed(line.decode("utf-8", "surrogateescape")))
        return self._statements.popleft()

    async def read_answer(self) -> bytes:
        return await self._read_line()

    async def _read_line(self) -> bytes:
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
