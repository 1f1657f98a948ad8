"""Typed input on its way to a program: bytes in, lines or pieces out."""

from __future__ import annotations

__all__ = ["LineBuffer"]


class LineBuffer:
    """Input that was typed and not taken yet."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ended = False

    def __len__(self) -> int:
        return len(self._data)

    @property
    def closed(self) -> bool:
        """Whether `end` was called."""
        return self._ended

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing, and nothing will come."""
        return self._ended and not self._data

    @property
    def has_line(self) -> bool:
        """Whether `line` has something to say: a whole line, or the end of input."""
        return self._ended or b"\n" in self._data

    def put(self, data: bytes) -> None:
        """Append; after `end`, nothing is taken any more."""
        if not self._ended:
            self._data += data

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True

    def line(self) -> bytes | None:
        """The next line with its newline, which the last one may lack; None at the end of input.

        Only to be called when `has_line`.
        """
        return self.some(self._data.find(b"\n") + 1 or len(self._data))

    def some(self, limit: int) -> bytes | None:
        """At most `limit` bytes of what is there; None when there is nothing."""
        data = bytes(self._data[:limit])
        del self._data[:limit]
        return data or None
