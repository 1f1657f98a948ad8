"""HTTP/1.1 responses, byte by byte. Pure: it is fed what a connection receives.

The parser is that of Node.js (llhttp, by way of httptools): a small response in 2 us. What llhttp
cannot know, or would let pass, is decided here: where a head ends, which responses have no body,
and that nothing behind a response is part of it. Source: RFC 9112, sections 6 and 7.
"""

from __future__ import annotations

import re
from collections import deque

import httptools

from .exceptions import Disconnected, MalformedResponse
from .limits import Limits

__all__ = ["ResponseParser"]

_START = b"HTTP/1."
_BODILESS = frozenset({204, 304})
# llhttp takes any number of zeros at the beginning, and other parsers do not.
_MAX_LENGTH_DIGITS = 20
# Any of them but the tab and the ends of lines (RFC 9110, section 5.5).
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# They would say how to read what is behind them already (RFC 9110, section 6.5.1).
_NO_TRAILERS = frozenset({b"content-length", b"transfer-encoding"})
# A last chunk or trailer, and the empty line; nothing behind it.
_CHUNKED_END = re.compile(rb"[^\r\n]\r\n\r\n")


class ResponseParser:
    """One response, final and with a body unless HTTP says that it has none.

    Informational responses (1xx) before it are skipped. ``101 Switching Protocols`` is refused:
    requests that ask for another protocol do not come here.

    Args:
        method: of the request. ``HEAD`` has no body in its response, nor has ``CONNECT`` if it
            succeeds.
        limits: what the head and the framing may hold.

    Attributes:
        status: HTTP status; 0 until the head is complete.
        headers: in the order they came, names in lower case. Trailers are left out.
        pieces: what has come of the body and was not taken yet.
        head_complete: status and headers are there.
        complete: the whole response is there.
        reusable: the connection may carry another request; only if `complete`.
        failure: what is wrong behind the pieces that have come; None for nothing.
    """

    def __init__(self, method: str, limits: Limits) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.pieces: deque[bytes] = deque()
        self.head_complete = False
        self.complete = False
        self.reusable = False
        self.failure: Exception | None = None
        self._method = method
        self._max_head_bytes = limits.max_head_bytes
        self._head = b""
        self._head_bytes = 0
        self._framing_bytes = 0
        self._keeps_alive = False
        self._ends_with_connection = False
        self._in_body = False
        self._ended_in_head = False
        self._began = False
        self._chunked = False
        self._framed_late = False
        self._tail = b""
        self._parser: httptools.HttpResponseParser

    def feed(self, data: bytes) -> None:
        """Take what came next; ``b""`` says that the server has closed the connection.

        Raises:
            MalformedResponse: it is not HTTP, exceeds a limit, or cannot be read in one way only.
            Disconnected: the connection ended before the response.
        """
        if not data:
            self._feed_end()
            return
        self._began = True
        if not self.head_complete:
            data = self._feed_head(data)
        elif self.complete:
            self.reusable = False  # nobody has asked for more
        if data and not self.complete:
            self._feed_body(data)

    def forbid_reuse(self) -> None:
        """The request was not sent whole, so another one may not follow it."""
        self.reusable = self._keeps_alive = False

    def _feed_end(self) -> None:
        self.reusable = False
        if self.complete:
            return
        if not self.head_complete or not self._ends_with_connection:
            raise Disconnected(answered=self._began)
        self.complete = True

    # -- the head ---------------------------------------------------------------------------------

    def _feed_head(self, data: bytes) -> bytes:
        """Take what belongs to the head; returns the part of a body behind it."""
        seen = max(0, len(self._head) - 3)
        data = self._head + data
        while not self.head_complete:
            if data[: len(_START)] != _START[: len(data)]:
                raise MalformedResponse("its answer does not begin as HTTP/1 does")
            end = data.find(b"\r\n\r\n", seen) + 4
            if self._head_bytes + (len(data) if end < 4 else end) > self._max_head_bytes:
                raise MalformedResponse(f"the head exceeds {self._max_head_bytes:,} bytes")
            if end < 4:
                if data.count(b"\n") != data.count(b"\r\n"):
                    raise MalformedResponse("a line of the head ends in half a line break")
                self._head = data
                return b""
            self._head_bytes += end
            self._parse_head(data[:end])
            data, seen = data[end:], 0
        self._head = b""
        if self.complete and data:
            self.reusable = False
            return b""
        return data

    def _parse_head(self, head: bytes) -> None:
        if not head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n"):
            raise MalformedResponse("a line of the head ends in half a line break")
        if _CONTROL.search(head):
            raise MalformedResponse("its head has a control character in it")
        self._parser = httptools.HttpResponseParser(self)
        self.headers = []
        self._ended_in_head = False
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # told by its status
        except httptools.HttpParserError as exc:
            raise MalformedResponse(str(exc)) from exc
        self.status = self._parser.get_status_code()
        if self.status < 100 or self.status == 101:
            status, self.status = self.status, 0
            raise MalformedResponse(f"it answered with HTTP status {status}, unasked")
        if self.status < 200:
            self.status = 0
            return
        self.head_complete = self._in_body = True
        self._decide_framing()

    def _decide_framing(self) -> None:
        """Where the body ends, and whether the connection may be used again."""
        version = self._parser.get_http_version()
        codings: list[str] = []
        tokens: set[str] = set()
        sized = False
        for name, value in self.headers:
            if name == "transfer-encoding":
                codings.append(value.lower())
            elif name == "connection":
                tokens.update(token.strip().lower() for token in value.split(","))
            elif name == "content-length":
                sized = True
                if len(value) > _MAX_LENGTH_DIGITS:
                    raise MalformedResponse("the length of its answer is no number")
        if version == "1.0":
            self._keeps_alive = "keep-alive" in tokens and not codings
        else:
            self._keeps_alive = "close" not in tokens
        if codings and (codings != ["chunked"] or sized):
            raise MalformedResponse(
                "the length of its answer is ambiguous (Content-Length beside Transfer-Encoding)"
                if sized
                else "it answers in a transfer coding other than chunked"
            )
        self._chunked = bool(codings)
        if self._has_no_body():
            self.complete, self.reusable = True, self._keeps_alive
            return
        self._ends_with_connection = not codings and not sized
        if self._ended_in_head and sized:  # Content-Length: 0
            self.complete, self.reusable = True, self._keeps_alive

    def _has_no_body(self) -> bool:
        return (
            self._method == "HEAD"
            or self.status in _BODILESS
            or (self._method == "CONNECT" and self.status < 300)
        )

    # -- the body ---------------------------------------------------------------------------------

    def _feed_body(self, data: bytes) -> None:
        before = len(self.pieces)
        self._tail = (self._tail + data)[-5:]
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            if not self.complete:
                raise MalformedResponse(str(exc)) from exc
            self.reusable = False  # it choked on what came behind the response
        if self._framed_late:
            raise MalformedResponse("a trailer of its answer says how the answer is framed")
        if self.complete and self._line_breaks_follow(data, before):
            self.reusable = False
        if len(self.pieces) > before:
            self._framing_bytes = 0
        elif not self.complete:
            # Only what a chunk begins with, or trailers; llhttp would take any number of them.
            self._framing_bytes += len(data)
            if self._framing_bytes > self._max_head_bytes:
                raise MalformedResponse(
                    f"{self._max_head_bytes:,} bytes of its answer hold nothing of the body"
                )

    def _line_breaks_follow(self, data: bytes, before: int) -> bool:
        """Whether line breaks came behind the response, which llhttp passes over in silence."""
        if self._chunked:
            return not _CHUNKED_END.fullmatch(self._tail)
        return len(data) > sum(len(piece) for piece in list(self.pieces)[before:])

    # -- what httptools calls ---------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Behind the response: something that nobody has asked for."""
        if self._in_body:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; in the body, a trailer."""
        if not self._in_body:
            self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        elif not self.complete and name.lower() in _NO_TRAILERS:
            self._framed_late = True

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        if not self.complete:
            self.pieces.append(piece)

    def on_message_complete(self) -> None:
        """The end of the response."""
        if not self._in_body:
            self._ended_in_head = True
        elif not self.complete:
            self.complete, self.reusable = True, self._keeps_alive
