"""Pictures within the text of a terminal: which protocol a terminal speaks, and its bytes.

The protocols: https://sw.kovidgoyal.net/kitty/graphics-protocol/ (kitty's, here with PNG only and
without answers) and https://iterm2.com/documentation-images.html (iTerm2's). Terminals that speak
these are known by their environment. The bytes of sixel pictures are made by `sixel`, and its
terminals are asked, by `device_attributes`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Literal, TypeAlias

__all__ = ["FileProtocol", "Protocol", "can_draw", "drawn", "protocol_of"]

FileProtocol: TypeAlias = Literal["kitty", "iterm2"]
"""Protocols that send the file of a picture as it is."""
Protocol: TypeAlias = FileProtocol | Literal["sixel"]

_MULTIPLEXERS = ("TMUX", "STY", "ZELLIJ")
"""Variables of programs that keep a screen of text, and pass on no pictures."""
_BY_TERM: Mapping[str, FileProtocol] = {"xterm-kitty": "kitty", "xterm-ghostty": "kitty"}
_BY_PROGRAM: Mapping[str, FileProtocol] = {
    "ghostty": "kitty",
    "iTerm.app": "iterm2",
    "WezTerm": "iterm2",
    "mintty": "iterm2",
}
_TYPES: Mapping[Protocol, frozenset[str]] = {
    "kitty": frozenset({"image/png"}),
    "iterm2": frozenset({"image/png", "image/jpeg", "image/gif"}),
    "sixel": frozenset({"image/png", "image/jpeg", "image/gif"}),
}
_SIGNATURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
}
_KITTY_CHUNK = 4096


def protocol_of(environ: Mapping[str, str]) -> FileProtocol | None:
    """The protocol of the terminal of a process; None if its environment does not tell of one.

    Args:
        environ: the environment of the process.
    """
    term = environ.get("TERM", "")
    if term.startswith(("screen", "tmux")) or any(environ.get(name) for name in _MULTIPLEXERS):
        return None
    if term in _BY_TERM:
        return _BY_TERM[term]
    if term in ("", "dumb", "unknown"):
        return None
    program = environ.get("TERM_PROGRAM", "")
    if program in _BY_PROGRAM:
        return _BY_PROGRAM[program]
    # It comes along over SSH, which passes on LC_*.
    return "iterm2" if environ.get("LC_TERMINAL") == "iTerm2" else None


def can_draw(protocol: Protocol, mime_type: str, content: bytes) -> bool:
    """Whether terminals draw such a picture, and the file is one by its first bytes.

    Args:
        protocol: the terminal's.
        mime_type: of the picture, in lower case and without parameters.
        content: the picture's file.
    """
    return mime_type in _TYPES[protocol] and content.startswith(_SIGNATURES[mime_type])


def drawn(protocol: FileProtocol, mime_type: str, content: bytes) -> bytes | None:
    """What a terminal is sent to draw a picture where its cursor is.

    Args:
        protocol: the terminal's.
        mime_type: of the picture, in lower case and without parameters.
        content: the picture's file.

    Returns:
        The bytes; None if the terminal cannot draw such pictures, or the file is no such picture.
    """
    if not can_draw(protocol, mime_type, content):
        return None
    data = base64.b64encode(content)
    return _kitty(data) if protocol == "kitty" else _iterm2(data, len(content))


def _kitty(data: bytes) -> bytes:
    """PNG (``f=100``), sent and shown (``a=T``); the terminal answers nothing (``q=2``)."""
    chunks = [data[at : at + _KITTY_CHUNK] for at in range(0, len(data), _KITTY_CHUNK)]
    parts = []
    for number, chunk in enumerate(chunks, start=1):
        first = b"a=T,f=100," if number == 1 else b""
        more = b"0" if number == len(chunks) else b"1"
        parts.append(b"\x1b_G" + first + b"q=2,m=" + more + b";" + chunk + b"\x1b\\")
    return b"".join(parts)


def _iterm2(data: bytes, size: int) -> bytes:
    return b"\x1b]1337;File=inline=1;size=%d:%b\x07" % (size, data)
