"""Media as programs of kernels show them: a line with MIME type and size, and their bytes.

`backendai_display.py` in the kernel sends this to a socket, or keeps it in files. The module is
copied to kernels, and so has the same limit and the same form by itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["MAX_SHOWN_BYTES", "MAX_SHOWN_HEAD_BYTES", "ShownHead", "parse_shown_head"]

MAX_SHOWN_BYTES = 8 * 1024 * 1024
"""Largest medium: a WebSocket message of our client holds 16 MiB, and base64 takes a third more."""
MAX_SHOWN_HEAD_BYTES = 120
_HEAD = re.compile(rb"([\x21-\x7e]{1,100}) ([0-9]{1,10})\n")


class ShownHead(NamedTuple):
    """The line in front of a medium."""

    mime_type: str
    content_bytes: int
    """Of the medium."""
    head_bytes: int
    """Of the line."""


def parse_shown_head(data: bytes) -> ShownHead | None:
    """The head of a medium.

    Args:
        data: what begins with it.

    Returns:
        The head; None if it is malformed.
    """
    head = _HEAD.match(data)
    return None if head is None else ShownHead(head[1].decode("ascii"), int(head[2]), head.end())
