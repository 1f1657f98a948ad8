"""What the user's terminal says it can do: its answer to Primary Device Attributes (DA1).

https://vt100.net/docs/vt510-rm/DA1.html; 4 stands for sixel pictures. Only the terminal knows, and
whatever is between: tmux answers by itself.
"""

from __future__ import annotations

import sys

import trio

from ..console import is_dumb_terminal, write_bytes
from ..keyboard import TerminalMode
from ..standard_input import Stdin

__all__ = ["ANSWER_SECONDS", "DeviceAttributes"]

ANSWER_SECONDS = 0.2
"""How long a terminal may take to answer, which is as long as a round trip to the user."""
_QUESTION = b"\x1b[c"
_SIXEL = "4"


class DeviceAttributes:
    """The attributes of the user's terminal, which is asked once."""

    def __init__(
        self, stdin: Stdin, mode: TerminalMode, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        """
        Args:
            stdin: where the answer comes; the object that others read from meanwhile.
            mode: modes of that terminal. It is asked only in their block.
            answer_seconds: how long to wait for the answer.
        """
        self._stdin = stdin
        self._mode = mode
        self._answer_seconds = answer_seconds
        self._found: frozenset[str] | None = None

    async def has_sixel(self) -> bool:
        """Whether the terminal draws sixel pictures; False if it cannot be asked, or is silent.

        It can be asked if standard input and output are one terminal with escape sequences, and
        this process is in its foreground.
        """
        if self._found is None and self._can_ask():
            with self._mode.listening() as end_key:
                answer = await self._stdin.ask(_ask, self._answer_seconds, end=end_key)
            # The first number is the class of the terminal, where 4 means something else.
            self._found = frozenset((answer or b"").decode().split(";")[1:])
        await trio.lowlevel.checkpoint()
        return _SIXEL in (self._found or ())

    def _can_ask(self) -> bool:
        return (
            sys.platform != "win32"
            and self._stdin.is_terminal
            and sys.stdout.isatty()
            and self._stdin.is_same_as(sys.stdout.fileno())
            and not is_dumb_terminal()
            and self._mode.may_listen
        )


async def _ask() -> None:
    # In a thread: Ctrl-S may have stopped the terminal.
    await trio.to_thread.run_sync(write_bytes, sys.stdout, _QUESTION, abandon_on_cancel=True)
