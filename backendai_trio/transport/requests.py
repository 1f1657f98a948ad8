"""Requests and replies, in the terms that direct connections and those through proxies share.

`connections.py` is the one, `proxies.py` the other. The errors of both are httpcore2's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Protocol, Self

import httpcore2

from ..config.settings import Endpoint

__all__ = ["Exchanges", "Head", "Received", "Sent", "framing"]

# What a head may look like; beside that, nothing that was put into it may begin a line of its own.
_HEAD = re.compile(r"[A-Z]+ [!-~]+ HTTP/1\.1\r\n(?:[A-Za-z-]+: [^\r\n\0]*\r\n)*")


def framing(size: int | None) -> tuple[str, str]:
    """The header that says where a body ends.

    Args:
        size: of the body, in bytes; None when it goes in chunks.
    """
    return ("Transfer-Encoding", "chunked") if size is None else ("Content-Length", str(size))


class Head:
    """What stands before a request's body, but for the size of that; may be sent many times.

    Attributes:
        method: in capitals.
        target: path and query.
        fields: the headers.
    """

    __slots__ = ("_encoded", "fields", "method", "target")

    def __init__(self, method: str, target: str, fields: Mapping[str, str]) -> None:
        self.method = method
        self.target = target
        self.fields = fields
        self._encoded = b""

    def encode(self, size: int | None) -> bytes:
        """The head as HTTP/1.1 has it, with its empty line.

        Args:
            size: of the body, in bytes; None when it goes in chunks.

        Raises:
            httpcore2.LocalProtocolError: a header or the target cannot be sent.
        """
        if not self._encoded:
            lines = [f"{self.method} {self.target} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in self.fields.items()]
            text = "\r\n".join([*lines, ""])
            if not _HEAD.fullmatch(text) or text.count("\n") != len(lines):
                raise httpcore2.LocalProtocolError("a header or the path cannot be sent")
            self._encoded = text.encode()
        return self._encoded + "{}: {}\r\n\r\n".format(*framing(size)).encode()


class Sent:
    """A request to send.

    Attributes:
        endpoint: whom to.
        head: what goes first.
        content: the body, whole or as a stream.
        size: of the body, in bytes; None when it goes in chunks.
        connect_seconds: limit for opening a connection, if there is none yet.
        write_seconds: limit for sending each piece of a stream.
        read_seconds: limit for each wait on the reply; infinite for none.
    """

    __slots__ = (
        "connect_seconds", "content", "endpoint", "head", "read_seconds", "size", "write_seconds",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        head: Head,
        content: bytes | AsyncIterator[bytes],
        size: int | None,
        *,
        connect_seconds: float,
        write_seconds: float,
        read_seconds: float,
    ) -> None:
        self.endpoint = endpoint
        self.head = head
        self.content = content
        self.size = size
        self.connect_seconds = connect_seconds
        self.write_seconds = write_seconds
        self.read_seconds = read_seconds


class Received(Protocol):
    """A reply: its head, and its body piece by piece.

    Attributes:
        status: HTTP status.
        headers: in the order they came, names in lower case.
    """

    status: int
    headers: list[tuple[str, str]]

    def __aiter__(self) -> Self:
        """The pieces of the body."""

    async def __anext__(self) -> bytes:
        """The next piece, which may be empty."""

    async def aclose(self) -> None:
        """Give the connection back, to be used again if the whole reply was received."""


class Exchanges(Protocol):
    """A pool of connections."""

    async def exchange(self, sent: Sent) -> Received:
        """Send a request and receive the head of its reply.

        Raises:
            httpcore2.ConnectError, httpcore2.NetworkError, httpcore2.TimeoutException: as they say.
            httpcore2.LocalProtocolError: the request cannot be put on the wire.
            httpcore2.RemoteProtocolError: the answer is not HTTP.
        """
