"""Requests and answers on their way through a network with faults, as the bytes that they are.

h11 says where they end; the bytes pass as they came. Requests must not be pipelined.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import h11
import trio

__all__ = ["READ_BYTES", "Answer", "Incoming", "encode_answer", "with_length"]

READ_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 256 * 1024
_LENGTH = re.compile(rb"(?i)(\r\ncontent-length:\s*)(\d+)")


class Incoming:
    """A request that is being received.

    Args:
        stream: the connection it comes over.
        early: bytes of it that have been received already.

    Attributes:
        head: its head, once that has come.
        complete: whether all of it has come.
        behind: what came behind it, and is not a part of it.
    """

    def __init__(self, stream: trio.abc.ReceiveStream, early: bytes) -> None:
        self.head: h11.Request | None = None
        self.complete = False
        self.behind = b""
        self._stream = stream
        self._early = early
        self._untaken = b""
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)

    @property
    def line(self) -> str:
        """Method and target, e.g. ``GET /v6/session?x=1``; empty before the head has come."""
        if self.head is None:
            return ""
        return f"{self.head.method.decode()} {self.head.target.decode()}"

    @property
    def is_last(self) -> bool:
        """Whether the client wants the connection to end with the answer; its head has come."""
        assert self.head is not None
        return any(
            name == b"connection" and b"close" in bytes(value).lower()
            for name, value in self.head.headers
        )

    def take(self) -> bytes:
        """What has come of it and was not taken yet."""
        taken, self._untaken = self._untaken, b""
        return taken

    async def receive(self, max_bytes: int) -> bool:
        """Receive more of it.

        Returns:
            Whether there is more; False when the connection has ended.

        Raises:
            trio.BrokenResourceError: the connection is broken.
            h11.RemoteProtocolError: what comes is not HTTP.

        Cancellation: loses nothing.
        """
        if self._early:
            await trio.lowlevel.checkpoint()
            data, self._early = self._early, b""
        else:
            data = bytes(await self._stream.receive_some(max_bytes))
        self._untaken += data
        self._parser.receive_data(data)
        while not self.complete and data:
            event = self._parser.next_event()
            if isinstance(event, h11.Request):
                self.head = event
            elif isinstance(event, h11.EndOfMessage):
                self.complete = True
            elif not isinstance(event, h11.Data):
                break
        return bool(data)

    async def receive_behind(self) -> bytes:
        """Receive what comes behind it; ``b""`` when the connection has ended.

        Raises:
            trio.BrokenResourceError: the connection is broken.

        Cancellation: loses nothing.
        """
        data = bytes(await self._stream.receive_some(READ_BYTES))
        self.behind += data
        return data


class Answer:
    """An answer that is being received.

    Args:
        request: what it answers.

    Attributes:
        start: its bytes up to those that came with the end of its head.
        head: the bytes of its head, once that has come.
        headers: the same, by lower-case names.
        body: its body without the chunks' framing, as far as it has come.
        status: its status; 0 before the head has come.
        complete: whether all of it has come. An answer that upgrades the connection is complete
            with its head.
    """

    def __init__(self, request: h11.Request) -> None:
        self.head = b""
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.status = 0
        self.complete = False
        self.start = b""
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        upgrades = [
            (bytes(name), bytes(value))
            for name, value in request.headers.raw_items()
            if name.lower() in (b"connection", b"upgrade")
        ]
        self._parser.send(
            h11.Request(method=request.method, target="/", headers=[(b"Host", b"x"), *upgrades])
        )
        self._parser.send(h11.EndOfMessage())

    @property
    def upgraded(self) -> bool:
        """Whether another protocol follows it."""
        return self.status == 101

    @property
    def keeps_connection(self) -> bool:
        """Whether another request may follow over the same connection."""
        return self.complete and self._parser.their_state is h11.DONE

    def feed(self, data: bytes) -> None:
        """Take bytes of it; ``b""`` for the end of the connection.

        Raises:
            h11.RemoteProtocolError: it is not HTTP, or the connection ended before it did.
        """
        if not self.status:
            self.start += data
        self._parser.receive_data(data)
        while not self.complete:
            event = self._parser.next_event()
            match event:
                case h11.Response() | h11.InformationalResponse(status_code=101):
                    self.status = event.status_code
                    self.headers = {
                        name.decode(): value.decode("latin-1") for name, value in event.headers
                    }
                    self.head = self.start[: self.start.index(b"\r\n\r\n") + 4]
                    self.complete = self.upgraded
                case h11.Data():
                    self.body += event.data
                case h11.EndOfMessage():
                    self.complete = True
                case h11.InformationalResponse():
                    pass
                case _:
                    return


def encode_answer(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes of an answer.

    Args:
        status: its status.
        headers: all but those of its framing, which are left out.
        body: its body.
    """
    kept = {
        name: value
        for name, value in headers.items()
        if name.lower() not in ("content-length", "transfer-encoding")
    }
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in kept.items())]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def with_length(head: bytes, change: Callable[[int], int]) -> bytes:
    """An answer's head with another Content-Length; the same if it has none.

    Args:
        head: the head.
        change: the length that is announced instead of a real one.
    """
    return _LENGTH.sub(lambda found: b"%b%d" % (found[1], max(change(int(found[2])), 0)), head)
