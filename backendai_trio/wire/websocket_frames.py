"""WebSocket frames (RFC 6455, section 5), without extensions: how messages travel.

Both directions, by the side that sends: what a client sends is masked. Messages that come in pieces
are put together; pings, pongs and goodbyes come out between them.

Why not a library's: a key typed in a terminal goes through this twice, and wsproto took 20 us of
the client's 40 us for that (three times as much when the process has just woken up).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..errors import RemoteProtocolError

__all__ = [
    "BINARY",
    "CLOSE",
    "NO_CODE",
    "PING",
    "PONG",
    "TEXT",
    "Control",
    "FrameDecoder",
    "FrameError",
    "decode_close",
    "encode_close",
    "encode_websocket_frame",
]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUATION = 0
_FINAL, _RESERVED, _OPCODE = 0x80, 0x70, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_MAX_CONTROL = 125
_MAX_REASON = _MAX_CONTROL - 2
_TWO, _EIGHT = 126, 127  # lengths that say: the length is in the next two, or eight, bytes

NO_CODE = 1005
"""What a goodbye without a code counts as; never sent."""
_NORMAL, _WRONG, _NO_TEXT, _TOO_BIG = 1000, 1002, 1007, 1009
# Section 7.4: those that may be sent; 3000-4999 are for libraries and programs.
_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


class FrameError(RemoteProtocolError):
    """What came is no frame, or none that is allowed here.

    Attributes:
        code: to close the connection with.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Control:
    """A ping, a pong or a goodbye."""

    opcode: int
    payload: bytes


def encode_websocket_frame(opcode: int, payload: bytes, key: bytes = b"") -> bytes:
    """A whole message as one frame.

    Args:
        opcode: `TEXT` (then the payload is UTF-8), `BINARY`, `CLOSE`, `PING` or `PONG`.
        payload: at most 125 bytes of a control frame.
        key: four random bytes from a client, nothing from a server.
    """
    size = len(payload)
    masked = _MASKED if key else 0
    if size < _TWO:
        head = bytes((_FINAL | opcode, masked | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", _FINAL | opcode, masked | _TWO, size)
    else:
        head = struct.pack("!BBQ", _FINAL | opcode, masked | _EIGHT, size)
    return head + key + _mask(payload, key) if key else head + payload


def encode_close(code: int, reason: str) -> bytes:
    """The payload of a goodbye; a long reason is cut, between characters.

    `NO_CODE` makes an empty one. Other codes that must not be sent become 1000.
    """
    if code == NO_CODE:
        return b""
    if code not in _CODES:
        code = _NORMAL
    text = reason.encode()[:_MAX_REASON].decode(errors="ignore")
    return struct.pack("!H", code) + text.encode()


def decode_close(payload: bytes) -> tuple[int, str]:
    """The code and the reason of a goodbye.

    Raises:
        FrameError: it is malformed.
    """
    if not payload:
        return NO_CODE, ""
    if len(payload) < 2:
        raise FrameError(_WRONG, "a goodbye of one byte")
    (code,) = struct.unpack_from("!H", payload)
    if code not in _CODES:
        raise FrameError(_WRONG, f"a goodbye with the code {code}")
    return code, _text(payload[2:])


class FrameDecoder:
    """Makes messages of what comes from the other side.

    Args:
        masked: whether the other side is a client.
        limit: the largest message that is taken, in bytes.
    """

    def __init__(self, *, masked: bool, limit: int) -> None:
        self._masked = _MASKED if masked else 0
        self._limit = limit
        self._buffer = bytearray()
        self._kind = _CONTINUATION
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes | bytearray) -> None:
        """Take in what has come."""
        self._buffer += data

    def next(self) -> str | bytes | Control | None:
        """The next message or control frame; None if it is not all there yet.

        Raises:
            FrameError: what has come is malformed, or too big; there is nothing after that.
        """
        while (frame := self._frame()) is not None:
            final, opcode, payload = frame
            if opcode >= CLOSE:
                return Control(opcode, payload)
            if opcode == _CONTINUATION:
                if self._kind == _CONTINUATION:
                    raise FrameError(_WRONG, "the rest of a message that has not begun")
            elif self._kind != _CONTINUATION:
                raise FrameError(_WRONG, "a message within another")
            else:
                self._kind = opcode
            if self._parts or not final:
                self._parts.append(payload)
                self._size += len(payload)
            if final:
                if self._parts:
                    payload = b"".join(self._parts)
                kind, self._kind, self._parts, self._size = self._kind, _CONTINUATION, [], 0
                return payload if kind == BINARY else _text(payload)
        return None

    def _frame(self) -> tuple[int, int, bytes] | None:
        """Whether it is a message's last, its opcode and its payload."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        final, opcode, size, at = first & _FINAL, first & _OPCODE, second & _LENGTH, 2
        if first & _RESERVED or (BINARY < opcode < CLOSE) or opcode > PONG:
            raise FrameError(_WRONG, f"an unknown kind of frame ({first:#04x})")
        if second & _MASKED != self._masked:
            raise FrameError(_WRONG, "a frame is masked by the wrong side")
        if opcode >= CLOSE and not (final and size <= _MAX_CONTROL):
            raise FrameError(_WRONG, "a control frame is too long, or in pieces")
        if size == _TWO:
            at = 4
            size = int.from_bytes(buffer[2:4], "big")
        elif size == _EIGHT:
            at = 10
            size = int.from_bytes(buffer[2:10], "big")
        if len(buffer) < at:
            return None
        if self._size + size > self._limit:
            raise FrameError(_TOO_BIG, f"a message of more than {self._limit:,} bytes")
        if self._masked:
            at += 4
        if len(buffer) < at + size:
            return None
        payload = bytes(buffer[at : at + size])
        if self._masked:
            payload = _mask(payload, bytes(buffer[at - 4 : at]))
        del buffer[: at + size]
        return final, opcode, payload


def _mask(data: bytes, key: bytes) -> bytes:
    """Every byte exclusive-ored with the key's, in turn; the same takes it off again."""
    size = len(data)
    keys = (key * (size // 4 + 1))[:size]
    # One operation on two long numbers: a loop over bytes would take a thousand times as long.
    return (int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")).to_bytes(
        size, "little"
    )


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise FrameError(_NO_TEXT, "a text message is not UTF-8") from None
