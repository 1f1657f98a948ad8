"""A program's standard input before it is read: bytes in, lines or chunks out."""

from __future__ import annotations

__all__ = ["LineBuffer"]


class LineBuffer:
    """Input that the program has not read yet."""

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
        """Whether it is empty and closed."""
        return self._ended and not self._data

    @property
    def has_line(self) -> bool:
        """Whether `line` would return a whole line, or the end of input."""
        return self._ended or b"\n" in self._data

    def put(self, data: bytes) -> None:
        """Append bytes; ignored after `end`."""
        if not self._ended:
            self._data += data

    def end(self) -> None:
        """Close it: no more input comes."""
        self._ended = True

    def line(self) -> bytes | None:
        """Take the next line with its newline; the last line may lack it. None at the end of input.

        Call it only when `has_line` is true.
        """
        return self.some(self._data.find(b"\n") + 1 or len(self._data))

    def some(self, limit: int) -> bytes | None:
        """Take at most `limit` bytes; None if it is empty."""
        data = bytes(self._data[:limit])
        del self._data[:limit]
        return data or None
