"""Reads what a terminal is sent to draw pictures, as terminals do."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

__all__ = [
    "SixelPicture",
    "iterm2_pictures",
    "kitty_pictures",
    "sixel_pictures",
    "without_pictures",
]

_KITTY = re.compile(rb"\x1b_G([^;\x1b]*);([A-Za-z0-9+/=]*)\x1b\\")
_ITERM2 = re.compile(rb"\x1b\]1337;File=([^:\x07]*):([A-Za-z0-9+/=]*)\x07")
_SIXEL = re.compile(rb"\x1bP[0-9;]*q([^\x1b]*)\x1b\\")
_SIXEL_COMMAND = re.compile(rb'"([0-9;]+)|#([0-9;]+)|!([0-9]+)([?-~])|([?-~])|(\$)|(-)')
CHUNK_BYTES = 4096

Color = tuple[int, int, int]


@dataclass(frozen=True)
class SixelPicture:
    """A picture as a sixel terminal draws it.

    Attributes:
        size: width and height in pixels.
        pixels: color of each pixel that is drawn, in percent of red, green and blue.
    """

    size: tuple[int, int]
    pixels: dict[tuple[int, int], Color]


def sixel_pictures(written: bytes) -> list[SixelPicture]:
    """The pictures that were sent as sixels; refuses what is no such picture."""
    return [_sixel_picture(match[1]) for match in _SIXEL.finditer(written)]


def _sixel_picture(data: bytes) -> SixelPicture:
    colors: dict[int, Color] = {}
    pixels: dict[tuple[int, int], Color] = {}
    size = color = None
    at = x = top = 0
    while at < len(data):
        match = _SIXEL_COMMAND.match(data, at)
        assert match is not None, data[at : at + 20]
        at = match.end()
        attributes, register, count, repeated, single, begin, below = match.groups()
        if attributes:
            aspect_y, aspect_x, width, height = map(int, attributes.split(b";"))
            assert aspect_y == aspect_x and size is None
            size = (width, height)
        elif register:
            color, *definition = map(int, register.split(b";"))
            if definition:
                system, red, green, blue = definition
                assert system == 2 and max(red, green, blue) <= 100
                colors[color] = (red, green, blue)
        elif begin:
            x = 0
        elif below:
            x, top = 0, top + 6
        else:
            bits = (repeated or single)[0] - 0x3F
            assert color is not None
            rows = [top + row for row in range(6) if bits >> row & 1]
            end = x + int(count or 1)
            pixels |= {(column, row): colors[color] for column in range(x, end) for row in rows}
            x = end
    assert size is not None
    return SixelPicture(size, pixels)


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
    return _SIXEL.sub(b"", _ITERM2.sub(b"", _KITTY.sub(b"", written)))
