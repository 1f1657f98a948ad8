"""Content codings: bodies, and parts of bodies, that are compressed (RFC 9110, section 8.4).

Source: docs/protocol.md, sections 7.2 and 7.4.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ..errors import RemoteProtocolError

__all__ = ["ContentDecoder", "decode_content"]

PIECE_BYTES = 256 * 1024
"""Longest piece that a decoder gives at a time, however much a few bytes expand to."""
_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_DEFLATE = -zlib.MAX_WBITS
_ALIASES = {"": "identity", "x-gzip": "gzip"}


class ContentDecoder:
    """Decodes a body: feed it bytes as they arrive, and take out the content.

    Args:
        coding: the value of a ``Content-Encoding`` header; ``""`` if there is none.
        what: the message, for the texts of errors.

    Raises:
        RemoteProtocolError: the coding is none of ``gzip``, ``deflate`` and ``identity``.
    """

    def __init__(self, coding: str, what: str) -> None:
        name = coding.strip().lower()
        self._coding = _ALIASES.get(name, name)
        self._what = what
        if self._coding not in ("gzip", "deflate", "identity"):
            raise RemoteProtocolError(
                f"{what}: the content is in the coding {coding!r}, which this client does not know"
            )
        self._inflater: zlib._Decompress | None = None
        self._ended = False

    @property
    def is_identity(self) -> bool:
        """Whether the content is the body as it stands."""
        return self._coding == "identity"

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes in, and yield the content they hold, in pieces of limited size.

        Raises:
            RemoteProtocolError: they are not in the coding.
        """
        if self.is_identity:
            if data:
                yield data
            return
        full = False
        while data or full:
            if self._inflater is None:
                self._begin(data)
            assert self._inflater is not None
            try:
                piece = self._inflater.decompress(data, PIECE_BYTES)
            except zlib.error as exc:
                raise self._malformed(str(exc)) from exc
            data = self._inflater.unconsumed_tail
            # A piece that is full may have left some of the content in zlib's own state.
            full = len(piece) == PIECE_BYTES
            if piece:
                yield piece
            if self._inflater.eof:
                full = False
                # A gzip body may consist of several members.
                data, self._inflater, self._ended = self._inflater.unused_data, None, True

    def finish(self) -> None:
        """Check that the content is whole; that of an empty body is.

        Raises:
            RemoteProtocolError: it was cut short.
        """
        if self._inflater is not None:
            raise self._malformed("it was cut short")

    def _begin(self, data: bytes) -> None:
        if self._coding == "gzip":
            form = _GZIP
        elif self._ended:
            raise self._malformed("more follows behind its end")
        else:
            # HTTP means the form of zlib; many servers send the bare one, as aiohttp in parts.
            form = _ZLIB if data[0] & 0x0F == zlib.DEFLATED and data[0] >> 4 <= 7 else _DEFLATE
        self._inflater = zlib.decompressobj(form)

    def _malformed(self, why: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"{self._what}: the content is not {self._coding}: {why}")


def decode_content(body: bytes, coding: str, what: str, *, max_bytes: int) -> bytes:
    """The content of a body that is there whole.

    Args:
        body: as it was received.
        coding: the value of its ``Content-Encoding`` header; ``""`` if there is none.
        what: the message, for the texts of errors.
        max_bytes: the longest content that is taken.

    Raises:
        RemoteProtocolError: it is malformed, in an unknown coding, or longer.
    """
    decoder = ContentDecoder(coding, what)
    if decoder.is_identity and len(body) <= max_bytes:
        return body
    content = bytearray()
    for piece in decoder.feed(body):
        content += piece
        if len(content) > max_bytes:
            raise RemoteProtocolError(f"{what}: the answer exceeds {max_bytes:,} bytes")
    decoder.finish()
    return bytes(content)
