"""What clients and servers have said to each other last, for the report of a failed test.

Only of clients in the test's own process; commands are processes of their own. Headers are left
out, and so are tokens, keys and passwords in paths and bodies.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import pytest

from backendai_trio.transport.http1 import HTTP11Connection
from backendai_trio.transport.requests import OutgoingRequest
from backendai_trio.transport.response_parser import ResponseParser
from backendai_trio.transport.websocket import WebSocket

__all__ = ["Recorder", "recording"]

_KEPT = 60
"""Requests, responses, pieces of bodies and WebSocket messages that are kept."""
_SHOWN_BYTES = 300
_NAME = r"[\w-]*(?:password|secret|token|otp)[\w-]*"
_SECRETS = re.compile(
    rf'("{_NAME}"\s*:\s*")(?:[^"\\]|\\.)*|((?:\?|&){_NAME}=)[^&\s]*|(/tus/upload/)[^/?\s]*', re.I
)
_TOKENS_OF_SESSIONS = ("clientsessiontoken",)


class Recorder:
    """The last exchanges, a line each: what was sent with ``>``, what was received with ``<``."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._numbers: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._begin = time.monotonic()

    @property
    def text(self) -> str:
        """All that is kept."""
        return "\n".join(self._lines)

    def note(self, connection: object, sign: str, what: str, content: str | bytes = b"") -> None:
        """Keep a line.

        Args:
            connection: that it belongs to.
            sign: ``>``, ``<`` or ``!``.
            what: the head.
            content: a body or a message, or the beginning of one.
        """
        number = self._numbers.setdefault(connection, len(self._numbers) + 1)
        elapsed = time.monotonic() - self._begin
        line = f"{elapsed:8.3f} #{number} {sign} {without_secrets(what)}"
        if content:
            line += f" {_shown(content)}"
        self._lines.append(line)

    def request(self, connection: object, request: OutgoingRequest) -> None:
        """Keep a request."""
        content = request.content if isinstance(request.content, bytes) else "(a stream)"
        self.note(connection, ">", f"{request.method} {request.target}", content)

    def response(self, connection: object, response: ResponseParser, had: int, status: int) -> None:
        """Keep what has come of a response.

        Args:
            connection: that it came on.
            response: the response.
            had: how many pieces of its body had come before.
            status: what it was before, 0 if its head had not come.
        """
        body = b"".join(list(response.pieces)[had:])
        if response.status and not status:
            self.note(connection, "<", str(response.status), body)
        elif body:
            self.note(connection, "<", f"... {len(body)} bytes", body)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record the exchanges of all clients of this process, for a block."""
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        _record_http(recorder, patch)
        _record_messages(recorder, patch)
        yield recorder


def _record_http(recorder: Recorder, patch: pytest.MonkeyPatch) -> None:
    exchange, start = HTTP11Connection.exchange, HTTP11Connection.start
    receive_more = HTTP11Connection.receive_more

    async def noted_exchange(
        connection: HTTP11Connection, request: OutgoingRequest
    ) -> ResponseParser:
        recorder.request(connection, request)
        return await exchange(connection, request)

    async def noted_start(connection: HTTP11Connection, request: OutgoingRequest) -> ResponseParser:
        recorder.request(connection, request)
        return await start(connection, request)

    async def noted_receive(connection: HTTP11Connection, response: ResponseParser) -> None:
        had, status = len(response.pieces), response.status
        try:
            await receive_more(connection, response)
        except Exception as exc:
            recorder.note(connection, "!", repr(exc))
            raise
        recorder.response(connection, response, had, status)

    patch.setattr(HTTP11Connection, "exchange", noted_exchange)
    patch.setattr(HTTP11Connection, "start", noted_start)
    patch.setattr(HTTP11Connection, "receive_more", noted_receive)


def _record_messages(recorder: Recorder, patch: pytest.MonkeyPatch) -> None:
    get_message, send_message = WebSocket.get_message, WebSocket.send_message

    async def noted_get(socket: WebSocket) -> str | bytes:
        try:
            message = await get_message(socket)
        except Exception as exc:
            recorder.note(socket, "!", repr(exc))
            raise
        recorder.note(socket, "<", "message", message)
        return message

    async def noted_send(socket: WebSocket, message: str | bytes) -> None:
        recorder.note(socket, ">", "message", message)
        await send_message(socket, message)

    patch.setattr(WebSocket, "get_message", noted_get)
    patch.setattr(WebSocket, "send_message", noted_send)


def without_secrets(text: str) -> str:
    """A text with ``***`` for what lets somebody in."""

    def hidden(found: re.Match[str]) -> str:
        name = found[1] or found[2] or found[3]
        if any(word in name.lower() for word in _TOKENS_OF_SESSIONS):
            return found[0]
        return f"{name}***"

    return _SECRETS.sub(hidden, text)


def _shown(content: str | bytes) -> str:
    text = content if isinstance(content, str) else content.decode("utf-8", "backslashreplace")
    text = without_secrets(text)
    cut = text[:_SHOWN_BYTES].encode("unicode_escape").decode("ascii")
    return cut if len(text) <= _SHOWN_BYTES else f"{cut}... ({len(content)} in all)"
