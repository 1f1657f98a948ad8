"""Requests on their way out: what is sent, and how its head is written."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from ..config.settings import Endpoint
from .exceptions import MalformedRequest

__all__ = ["OutgoingRequest", "encode_head"]

# RFC 9110: a method and a field name are tokens (docs/protocol.md, section 5.6.2), a field value is
# visible characters, spaces and tabs (5.5). So nothing that is put into a head begins a line of its
# own.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 (not a secret)
_HEAD = re.compile(rf"{_TOKEN} [!-~]+ HTTP/1\.1\r\n(?:{_TOKEN}: [\t -~\x80-\xff]*\r\n)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request as the pool sends it."""

    endpoint: Endpoint
    """Which server; its base path is part of `target` already."""
    method: str
    target: str = field(repr=False)
    """Path and query."""
    headers: Mapping[str, str] = field(repr=False)
    """All but the one that says where the body ends."""
    content: bytes | AsyncIterator[bytes] = field(default=b"", repr=False)
    """The body, whole or as a stream."""
    content_length: int | None = 0
    """Size of the body in bytes; None sends it chunked."""
    head_seconds: float = 60.0
    """Limit for the head of the response to come; infinite for none."""
    body_seconds: float = 60.0
    """Limit for each wait on more of its body; infinite for none."""

    def encode_head(self) -> bytes:
        """The request line, the headers and the empty line.

        Raises:
            MalformedRequest: a header, the method or the target cannot be sent.
        """
        length = self.content_length
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        return encode_head(self.method, self.target, self.headers, framing)


def encode_head(method: str, target: str, headers: Mapping[str, str], *more: str) -> bytes:
    """The head of a request as HTTP/1.1 has it.

    Args:
        method: a token, usually in capitals.
        target: what stands behind it on the request line.
        headers: names and values; characters from U+0080 to U+00FF are sent as one byte each.
        more: further header lines.

    Raises:
        MalformedRequest: one of them cannot be sent. The message shows no values: they may be
            secrets.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join([*lines, *more, ""])
    if _HEAD.fullmatch(text) is None or text.count("\n") != len(lines) + len(more):
        raise MalformedRequest("a header, the method or the path holds a character that HTTP bars")
    return f"{text}\r\n".encode("latin-1")
