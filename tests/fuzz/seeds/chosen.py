"""The form of a seed."""

from __future__ import annotations

from ..choices import TAIL_BYTES

Seeds = dict[str, bytes]
"""Content by name."""


def chosen(message: bytes | str, *choices: int) -> bytes:
    """A seed whose harness makes these choices.

    Args:
        message: the message.
        choices: in order; those that are not given are the first.
    """
    raw = message if isinstance(message, bytes) else message.encode()
    return raw + bytes(choices).ljust(TAIL_BYTES, b"\0")
