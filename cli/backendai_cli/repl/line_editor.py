"""The line editor of `repl`: several lines, completion, history.

The editor is prompt_toolkit's. It has an event loop of its own, so it runs in a thread. It changes
the modes of the terminal only while code is entered, and not while code runs.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from pathlib import Path

import trio
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, completion_is_selected, has_completions
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle

from backendai_trio.config import make_private_file

from ..console import uses_color
from .source_code import indentation, is_finished, lexer_of

__all__ = ["Ask", "LineEditor", "file_history", "memory_history"]

Ask = Callable[[str, str], Awaitable[list[str]]]
"""Returns completions, given the text before the cursor and the text after it."""

_INDENT = 4


class _Aborted(Exception):
    """The read was cancelled."""


class LineEditor:
    """Reads code from a person."""

    def __init__(self, language: str, prompt: str, history: History, ask: Ask) -> None:
        """
        Args:
            language: language of the code, as `language_of` names it.
            prompt: the prompt of the first line.
            history: code that was entered before.
            ask: asks for completions.
        """
        self._language = language
        self._ask = ask
        self._aborted = False
        color = uses_color(sys.stdout)
        lexer = lexer_of(language)
        output = create_output(sys.stdout)
        if isinstance(output, Vt100_Output):
            # It would ask the terminal for the position of the cursor. The answer comes on standard
            # input; on a slow line, after the editor has ended and a program reads there.
            output.enable_cpr = False
        self._session: PromptSession[str] = PromptSession(
            prompt,
            prompt_continuation=lambda width, *_: "." * (width - 1) + " ",
            multiline=True,
            history=history,
            lexer=PygmentsLexer(type(lexer)) if color and lexer is not None else None,
            completer=_Completer(self._candidates),
            complete_in_thread=True,
            complete_while_typing=False,
            complete_style=CompleteStyle.MULTI_COLUMN,
            include_default_pygments_style=color,
            key_bindings=self._bindings(),
            output=output,
        )

    async def read(self, typed: bytes = b"") -> str | None:
        """Read code; None after Ctrl-D. Ctrl-C clears what was entered.

        Args:
            typed: keys that have been read from the terminal already.

        Cancellation: the modes of the terminal are restored, and what was entered is lost.
        """
        self._aborted = False
        if typed:
            self._type_ahead(typed)
        code: str | None = None
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._abort_when_cancelled)
            code = await trio.to_thread.run_sync(self._prompt)
            self._nursery.cancel_scope.cancel()
        return code

    def _type_ahead(self, typed: bytes) -> None:
        keys: list[KeyPress] = []
        parser = Vt100Parser(keys.append)
        parser.feed_and_flush(typed.decode("utf-8", "surrogateescape"))
        store_typeahead(self._session.app.input, keys)

    def _prompt(self) -> str | None:
        """Read code, in the thread."""
        while True:
            try:
                return self._session.prompt(
                    pre_run=self._abort_if_asked, set_exception_handler=False, handle_sigint=False
                )
            except KeyboardInterrupt:
                continue
            except (EOFError, _Aborted):
                return None

    async def _abort_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            # In this order: the editor's loop checks the flag even if it begins later.
            self._aborted = True
            if (loop := self._session.app.loop) is not None:
                try:
                    loop.call_soon_threadsafe(self._abort_if_asked)
                except RuntimeError:
                    pass  # the loop has ended, as it usually has

    def _abort_if_asked(self) -> None:
        """End the editor if the read was cancelled, in the editor's loop."""
        app = self._session.app
        if self._aborted and app.is_running and not app.is_done:
            app.exit(exception=_Aborted())

    # -- completion -------------------------------------------------------------------------------

    def _candidates(self, before: str, after: str) -> list[str]:
        """Find completions, in a thread of the editor: have Trio ask."""
        found: Future[list[str]] = Future()
        try:
            trio.from_thread.run_sync(
                self._nursery.start_soon, self._find, before, after, found, trio_token=self._token
            )
        except (RuntimeError, trio.RunFinishedError):
            return []  # the read has ended
        return found.result()

    async def _find(self, before: str, after: str, found: Future[list[str]]) -> None:
        candidates: list[str] = []
        try:
            candidates = await self._ask(before, after)
        finally:
            found.set_result(candidates)

    # -- keys -------------------------------------------------------------------------------------

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()

        @Condition
        def indents() -> bool:
            line = self._session.default_buffer.document.current_line_before_cursor
            return not line.strip()

        @keys.add("enter", filter=~completion_is_selected)
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            before = event.current_buffer.document.text_before_cursor
            at_end = not buffer.document.text_after_cursor.strip()
            if at_end and is_finished(self._language, before):
                buffer.validate_and_handle()
            else:
                buffer.insert_text("\n" + indentation(self._language, before))

        @keys.add("enter", filter=completion_is_selected)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.complete_state = None

        @Condition
        def at_new_line() -> bool:
            document = self._session.default_buffer.document
            line = document.text_before_cursor.rpartition("\n")
            return bool(line[1]) and not (line[2] + document.text_after_cursor).strip()

        @keys.add("c-d", filter=at_new_line)
        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()  # even if it seems incomplete

        @keys.add("tab", filter=indents & ~has_completions)
        def _(event: KeyPressEvent) -> None:
            column = event.current_buffer.document.cursor_position_col
            event.current_buffer.insert_text(" " * (_INDENT - column % _INDENT))

        @keys.add("backspace", filter=indents & ~has_completions)
        def _(event: KeyPressEvent) -> None:
            column = event.current_buffer.document.cursor_position_col
            event.current_buffer.delete_before_cursor((column - 1) % _INDENT + 1 if column else 1)

        return keys


class _Completer(Completer):
    """Replaces the part of a dotted name that was entered by candidates, which are whole names."""

    def __init__(self, ask: Callable[[str, str], list[str]]) -> None:
        self._ask = ask

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        before = document.text_before_cursor
        name = _name_at_end(before)
        for candidate in self._ask(before, document.text_after_cursor):
            for typed in (name, name.rpartition(".")[2]):
                if candidate.startswith(typed):
                    short = candidate.rpartition(".")[2]
                    yield Completion(candidate, start_position=-len(typed), display=short)
                    break


def file_history(path: Path) -> History:
    """A history in a file that only its owner can read, since code may hold secrets.

    Raises:
        OSError: the file cannot be written, or its file system lets others read it.
    """
    make_private_file(path)
    return FileHistory(str(path))


def memory_history() -> History:
    """A history that ends with the process."""
    return InMemoryHistory()


def _name_at_end(text: str) -> str:
    """The dotted name that the text ends with."""
    start = len(text)
    while start and (text[start - 1].isalnum() or text[start - 1] in "._"):
        start -= 1
    return text[start:]
