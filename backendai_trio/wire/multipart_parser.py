"""The parser of multipart bodies: python-multipart's, behind the preamble.

RFC 2046, section 5.1.1: lines before the first delimiter are skipped, and blanks may follow a
delimiter. python-multipart skips some preambles, refuses others when the body arrives in other
pieces, and takes no blanks. A first delimiter that is malformed is refused: skipped as a part of
the preamble, it would take the part behind it along.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["PartsParser"]

_NO_LOG = logging.Logger("multipart", logging.CRITICAL)
"""What the parser warns of, it raises as well."""
_LINE_END = re.compile(rb"[ \t]{0,80}(\r\n)")
_BEGUN_LINE_END = re.compile(rb"[ \t]{0,80}\r?\Z")


class PartsParser:
    """Parses a multipart body, alike in whatever pieces it arrives.

    Args:
        boundary: from the Content-Type header.
        callbacks: called with what was parsed.
    """

    def __init__(self, boundary: bytes, callbacks: MultipartCallbacks) -> None:
        self._parser = MultipartParser(boundary, callbacks)
        self._parser.logger = _NO_LOG
        self._dashes = b"--" + boundary
        # The first delimiter stands at the beginning of a line, and so of the body.
        self._preamble: bytes | None = b"\r\n"
        self._has_text = False
        """Whether the preamble has, as far as it was skipped."""

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
        before, found, behind = self._preamble.partition(self._dashes)
        if not found:
            # Kept: as much as may be the first delimiter's beginning, with the line end before it.
            kept = self._preamble[-len(self._dashes) - 1 :]
            self._has_text = self._has_text or _is_text(self._preamble.removesuffix(kept))
            self._preamble = kept
            return
        # A body without parts has no text in front: it may be a part that would be lost.
        may_end = not (self._has_text or _is_text(before))
        if before.endswith(b"\r\n"):
            if (line_end := _LINE_END.match(behind)) is not None:
                self._begin(behind[line_end.start(1) :])
                return
            if may_end and behind.startswith(b"--"):
                self._begin(behind)
                return
            if _BEGUN_LINE_END.match(behind) or (may_end and behind == b"-"):
                return
        raise MultipartParseError("The first delimiter is not a line of its own")

    def _begin(self, behind: bytes) -> None:
        """Parse from the first delimiter on."""
        self._preamble = None
        self._parser.write(self._dashes + behind)


def _is_text(data: bytes) -> bool:
    """Whether there is more than line ends."""
    return bool(data.strip(b"\r\n"))
