"""What the standard streams of a program are: a terminal, or pipes.

Source: docs/protocol.md, section 13.4. Our own gateway's: other servers decide it themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

__all__ = ["CHOOSE_STDIO", "StdStream", "Stdio", "window_size_of"]

CHOOSE_STDIO = "choose-stdio"
"""Feature: a run may say which of its program's standard streams are a terminal."""

StdStream: TypeAlias = Literal["terminal", "pipe"]
_KINDS: Mapping[str, StdStream] = {kind: kind for kind in get_args(StdStream)}
_MAX_WINDOW = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdio:
    """The standard streams of a program, as its ``isatty()`` tells them.

    There is one terminal. It neither echoes nor edits what is typed, and passes on all bytes
    unchanged; a program can ask it for a password.
    """

    stdin: StdStream = "terminal"
    stdout: StdStream = "terminal"
    stderr: Literal["terminal", "pipe", "stdout"] = "pipe"
    """``"stdout"`` is the pipe of standard output, as after ``2>&1``. What goes there, or to the
    same terminal as standard output, is output of standard output, in the order of its writing."""
    size: tuple[int, int] | None = None
    """Rows and columns of the terminal; None for 24 and 80."""

    def as_json(self) -> dict[str, object]:
        """The ``stdio`` object of a run's options."""
        streams: dict[str, object] = {
            "stdin": self.stdin,
            "stdout": self.stdout,
            "stderr": self.stderr,
        }
        return streams if self.size is None else {**streams, "size": list(self.size)}

    @classmethod
    def from_json(cls, value: object) -> Stdio:
        """Read a ``stdio`` object. What is missing or unknown there is the default.

        Args:
            value: the JSON value.
        """
        if not isinstance(value, dict):
            return cls()
        default = cls()
        stderr = value.get("stderr")
        return cls(
            stdin=_kind(value, "stdin", default.stdin),
            stdout=_kind(value, "stdout", default.stdout),
            stderr="stdout" if stderr == "stdout" else _kind(value, "stderr", "pipe"),
            size=window_size_of(value.get("size")),
        )


def window_size_of(value: object) -> tuple[int, int] | None:
    """Rows and columns of a terminal, within the limits; None if the JSON value is no such pair."""
    if not (isinstance(value, list) and len(value) == 2):
        return None
    rows, columns = value
    if type(rows) is not int or type(columns) is not int:
        return None
    return min(max(rows, 1), _MAX_WINDOW), min(max(columns, 1), _MAX_WINDOW)


def _kind(value: Mapping[Any, Any], name: str, default: StdStream) -> StdStream:
    kind = value.get(name)
    return _KINDS.get(kind, default) if isinstance(kind, str) else default
