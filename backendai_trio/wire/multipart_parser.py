"""The parser of multipart bodies: python-multipart's, behind the preamble.

RFC 2046, section 5.1.1: lines before the first delimiter are skipped. python-multipart skips some
of them, and refuses others when the body arrives in other pieces. A delimiter with blanks behind
it, which nobody sends, is none here.
"""

from __future__ import annotations

import re
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
        self._delimiter = re.compile(b"\r\n--" + re.escape(boundary) + b"(?=\r\n|--)")
        self._longest = len(boundary) + 6  # with both line ends
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
        delimiter = self._delimiter.search(self._preamble)
        if delimiter is None:
            self._preamble = self._preamble[-self._longest :]
            return
        rest, self._preamble = self._preamble[delimiter.start() + 2 :], None
        self._parser.write(rest)
