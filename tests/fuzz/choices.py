"""How a harness reads its input: a message, and behind it a few bytes that choose what is done.

So a file of the corpus is a message that can be read. An input without such bytes is a message for
which the first choice is made each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

__all__ = ["TAIL_BYTES", "Choices", "pieces"]

T = TypeVar("T")
TAIL_BYTES = 16
"""How many bytes behind the message choose, unless a harness says otherwise."""


class Choices:
    """The input of one execution.

    Args:
        data: what the fuzzer has made.
        tail: how many bytes at its end are choices; None if all of them are.
    """

    def __init__(self, data: bytes, tail: int | None = TAIL_BYTES) -> None:
        edge = 0 if tail is None else len(data) - tail
        edge = edge if edge >= 0 else len(data)
        self._message = data[:edge]
        self._numbers = data[edge:]
        self._next = 0

    def byte(self) -> int:
        """A number from 0 to 255; 0 when all choices are made."""
        self._next += 1
        return self._numbers[self._next - 1] if self.left >= 0 else 0

    def below(self, limit: int) -> int:
        """A number from 0 up to a limit (not included), which is at most 65,536."""
        number = self.byte()
        if limit > 256:
            number += self.byte() << 8
        return number % limit

    def flag(self) -> bool:
        """False or true."""
        return self.byte() % 2 == 1

    def pick(self, values: Sequence[T]) -> T:
        """One of some values."""
        return values[self.below(len(values))]

    def cuts(self) -> list[int]:
        """Where `pieces` cuts, at most three times."""
        return [self.below(65_536) for _ in range(self.byte() % 4)]

    def rest(self) -> bytes:
        """The message."""
        return self._message

    @property
    def left(self) -> int:
        """How many choices are left; negative when more were made than there are."""
        return len(self._numbers) - self._next


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """A message as it arrives: cut in pieces, none of them empty.

    Args:
        data: the message.
        cuts: numbers of any size.
    """
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]
