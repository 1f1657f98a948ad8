"""Reads what a terminal is sent to draw pictures, as terminals do."""

from __future__ import annotations

import base64
import re

__all__ = ["iterm2_pictures", "kitty_pictures", "without_pictures"]

_KITTY = re.compile(rb"\x1b_G([^;\x1b]*);([A-Za-z0-9+/=]*)\x1b\\")
_ITERM2 = re.compile(rb"\x1b\]1337;File=([^:\x07]*):([A-Za-z0-9+/=]*)\x07")
CHUNK_BYTES = 4096


def kitty_pictures(written: bytes) -> list[bytes]:
    """The files that were sent by kitty's protocol; refuses what kitty would not draw."""
    pictures = []
    data: list[bytes] | None = None
    for match in _KITTY.finditer(written):
        keys = dict(pair.split(b"=") for pair in match[1].split(b","))
        more = keys.pop(b"m", b"0")
        assert keys.pop(b"q") == b"2", "an answer of the terminal would be left in its input"
        if data is None:
            assert keys == {b"a": b"T", b"f": b"100"}
            data = []
        else:
            assert not keys, "only the first chunk has more than m and q"
        assert len(match[2]) <= CHUNK_BYTES
        assert more == b"0" or len(match[2]) % 4 == 0
        data.append(match[2])
        if more == b"0":
            pictures.append(base64.b64decode(b"".join(data), validate=True))
            data = None
    assert data is None, "the last picture is not complete"
    return pictures


def iterm2_pictures(written: bytes) -> list[bytes]:
    """The files that were sent by iTerm2's protocol."""
    pictures = []
    for match in _ITERM2.finditer(written):
        keys = dict(pair.split(b"=") for pair in match[1].split(b";"))
        content = base64.b64decode(match[2], validate=True)
        assert keys == {b"inline": b"1", b"size": str(len(content)).encode()}
        pictures.append(content)
    return pictures


def without_pictures(written: bytes) -> bytes:
    """The rest of what was written."""
    return _ITERM2.sub(b"", _KITTY.sub(b"", written))
