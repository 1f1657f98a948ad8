"""Downloads of several files at once: the parts of a multipart body.

Source: docs/protocol.md, sections 5.3 (kernels) and 7.2 (virtual folders).
"""

from __future__ import annotations

from collections.abc import Iterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ..errors import RemoteProtocolError
from .content_coding import ContentDecoder
from .http import Response
from .multipart_parser import PartsParser

__all__ = ["PartsDecoder", "decode_archives"]

MAX_HEAD_BYTES = 16 * 1024
"""Longest head of a part."""


class PartsDecoder:
    """Reads a multipart body: feed it bytes as they arrive, and take out the content of the parts.

    A part may be compressed by itself, as its own ``Content-Encoding`` says.

    Args:
        content_type: the Content-Type header of the reply.

    Raises:
        RemoteProtocolError: this is not a multipart body.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not kind.startswith(b"multipart/") or not boundary:
            raise RemoteProtocolError(f"download: expected multipart, got {content_type!r}")
        self._ended = False
        self._name = self._value = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._parts: list[ContentDecoder] = []
        self._found: list[tuple[int, bytes]] = []
        self._parser = PartsParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._take_name,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_head,
                "on_part_data": lambda data, start, end: self._found.append(
                    (len(self._parts) - 1, bytes(data[start:end]))
                ),
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take bytes in, and yield numbers of parts, from 0, and pieces of their content.

        Raises:
            RemoteProtocolError: the body is malformed, or a part is in an unknown coding.
        """
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise RemoteProtocolError(f"download: {exc}") from None
        found, self._found = self._found, []
        for number, coded in found:
            for piece in self._parts[number].feed(coded):
                yield number, piece

    def finish(self) -> int:
        """Check that the body and each part is whole; returns the number of parts.

        Raises:
            RemoteProtocolError: it was cut short.
        """
        if not self._ended:
            raise RemoteProtocolError("download: it was cut short")
        for part in self._parts:
            part.finish()
        return len(self._parts)

    def _begin(self) -> None:
        self._headers = {}
        self._head_bytes = 0

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._name += bytes(data[start:end])

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += bytes(data[start:end])

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise RemoteProtocolError(
                f"download: the head of a part exceeds {MAX_HEAD_BYTES:,} bytes"
            )

    def _end_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name = self._value = b""

    def _end_head(self) -> None:
        transfer = self._headers.get("content-transfer-encoding", "binary").strip().lower()
        if transfer not in ("binary", "8bit", "7bit"):
            raise RemoteProtocolError(
                f"download: a part is in the transfer encoding {transfer!r}, which this client "
                "does not know"
            )
        self._parts.append(ContentDecoder(self._headers.get("content-encoding", ""), "download"))

    def _end(self) -> None:
        self._ended = True


def decode_archives(reply: Response, *, max_bytes: int) -> list[bytes]:
    """The archives in a manager's reply to a download, one for each path.

    Args:
        reply: the reply.
        max_bytes: how much they may hold together.

    Raises:
        RemoteProtocolError: it is not a multipart body, was cut short, or holds more.
    """
    decoder = PartsDecoder(reply.headers.get("content-type", ""))
    parts: dict[int, bytearray] = {}
    size = 0
    for number, piece in decoder.feed(reply.body):
        size += len(piece)
        if size > max_bytes:
            raise RemoteProtocolError(f"download: the answer exceeds {max_bytes:,} bytes")
        parts.setdefault(number, bytearray()).extend(piece)
    return [bytes(parts.get(number, b"")) for number in range(decoder.finish())]
