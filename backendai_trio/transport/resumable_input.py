"""The input side of a resumable stream: what was typed, and what of it the server has."""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..wire.resumable import Input

__all__ = ["CHUNK_BYTES", "InputBuffer"]

CHUNK_BYTES = 32 * 1024
"""Limit for a message: one that is cut off is lost whole."""
_WINDOW_BYTES = 256 * 1024


class InputBuffer:
    """Typed bytes, kept until the server has confirmed them.

    Attributes:
        end: the position behind all that was typed.
        known: whether the server has told its position, on any connection.
    """

    def __init__(self) -> None:
        self.end = 0
        self.known = False
        self._unconfirmed = bytearray()
        self._requested = 0

    @property
    def full(self) -> bool:
        """Whether as much was typed as the server has asked for."""
        return self.end >= self._requested + _WINDOW_BYTES

    def append(self, data: bytes) -> Input:
        """Add typed bytes; the message that carries them."""
        message = Input(self.end, data)
        self._unconfirmed += data
        self.end += len(data)
        return message

    def confirm(self, position: int) -> bool:
        """Forget what the server has.

        Args:
            position: up to where that is.

        Returns:
            Whether it was more than before.

        Raises:
            RemoteProtocolError: the server cannot be at this position.
        """
        if not self.known:
            # A terminal may have had users before us: our count begins where theirs ended.
            self.known = True
            self.end += position
            self._requested = position
        start = self.end - len(self._unconfirmed)
        if not start <= position <= self.end:
            raise RemoteProtocolError(
                f"the server has input up to position {position}; "
                f"it was sent that from {start} to {self.end}"
            )
        del self._unconfirmed[: position - start]
        return position > start

    def request(self, position: int) -> None:
        """The server, being at this position, asks for more."""
        self._requested = position

    def chunk(self, position: int) -> Input | None:
        """The message that carries what was typed from a position on; None at the end.

        Args:
            position: of input that was not confirmed.
        """
        start = position - (self.end - len(self._unconfirmed))
        data = bytes(self._unconfirmed[start : start + CHUNK_BYTES])
        return Input(position, data) if data else None
