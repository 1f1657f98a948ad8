"""The parser of multipart bodies: python-multipart's, behind the preamble.

RFC 2046, section 5.1.1: lines before the first delimiter are skipped. python-multipart skips some
of them, and refuses others when the body arrives in other pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.multipart import MultipartParser

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["PartsParser"]


class PartsParser:
    """Parses a multipart body, alike in whatever pieces it arrives.

    Args:
        boundary: from the Content-Type header.
        callbacks: called with what was parsed.
    """

    def __init__(self, boundary: bytes, callbacks: MultipartCallbacks) -> None:
        self._parser = MultipartParser(boundary, callbacks)
        self._delimiter = b"\r\n--" + boundary
        # The first delimiter stands at the beginning of a line, and so of the body.
        self._preamble: bytes | None = b"\r\n"

    def write(self, data: bytes) -> None:
        """Parse further bytes.

        Args:
            data: as they arrive.

        Raises:
            FormParserError: the body is malformed.
        """
        if self._preamble is None:
            self._parser.write(data)
            return
        self._preamble += data
        start = self._preamble.find(self._delimiter)
        if start < 0:
            self._preamble = self._preamble[-len(self._delimiter) :]
            return
        rest, self._preamble = self._preamble[start + 2 :], None
        self._parser.write(rest)
