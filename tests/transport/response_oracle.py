"""Our reading of an HTTP response beside that of h11, an independent parser."""

from __future__ import annotations

from dataclasses import dataclass, field

import h11

from backendai_trio.transport.exceptions import Disconnected, MalformedResponse
from backendai_trio.transport.limits import Limits
from backendai_trio.transport.response_parser import ResponseParser

__all__ = ["LIMITS", "Reading", "check_beside_h11", "of_h11", "ours"]

LIMITS = Limits()


@dataclass
class Reading:
    """What a parser made of a response."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    reusable: bool = False


def ours(
    pieces: list[bytes], method: str = "GET", *, closed: bool = False, limits: Limits = LIMITS
) -> Reading | None:
    """Our reading; None if it is not complete.

    Raises:
        MalformedResponse, Disconnected: as the parser does.
    """
    parser = ResponseParser(method, limits)
    for piece in pieces:
        if piece:
            parser.feed(piece)
    if closed:
        parser.feed(b"")
    if not parser.complete:
        return None
    return Reading(parser.status, parser.headers, b"".join(parser.pieces), parser.reusable)


def of_h11(data: bytes, method: str, *, closed: bool) -> Reading | None:
    """The oracle's reading; None if it is not complete.

    Raises:
        h11.RemoteProtocolError: it refuses.
    """
    state = h11.Connection(h11.CLIENT, max_incomplete_event_size=LIMITS.max_head_bytes)
    request = h11.Request(method=method, target="/", headers=[("Host", "h")])
    state.send(request)
    state.send(h11.EndOfMessage())
    if data:
        state.receive_data(data)
    if closed:
        state.receive_data(b"")
    reading = Reading()
    while True:
        event = state.next_event()
        if event is h11.NEED_DATA:
            return None
        if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("it switched protocols, or ended before a response")
        if isinstance(event, h11.Response):
            reading.status = event.status_code
            reading.headers = [(n.decode(), v.decode("latin-1")) for n, v in event.headers]
        elif isinstance(event, h11.Data):
            reading.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            if state.their_state is h11.MUST_CLOSE or state.trailing_data[0] or closed:
                return reading
            reading.reusable = state.our_state is h11.DONE and state.their_state is h11.DONE
            return reading


def check_beside_h11(pieces: list[bytes], method: str, *, closed: bool) -> None:
    """We refuse more than h11 does, and never read another response than it does.

    Args:
        pieces: what comes over the connection.
        method: of the request.
        closed: whether the connection then ends.
    """
    try:
        reading = ours(pieces, method, closed=closed)
    except (MalformedResponse, Disconnected):
        return
    try:
        expected = of_h11(b"".join(pieces), method, closed=closed)
    except h11.RemoteProtocolError as exc:
        # What is wrong behind a response comes too late to change it.
        assert reading is None, exc
        return
    if reading is None:
        assert expected is None
        return
    assert expected is not None
    assert (reading.status, reading.body) == (expected.status, expected.body)
    assert [name for name, _ in reading.headers] == [name for name, _ in expected.headers]
    if reading.reusable:
        assert expected.reusable
