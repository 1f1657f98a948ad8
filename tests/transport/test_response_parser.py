"""Responses, at every boundary at which a connection may cut them, beside h11's reading of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.transport.exceptions import Disconnected, MalformedResponse
from backendai_trio.transport.limits import Limits
from backendai_trio.transport.response_parser import ResponseParser

from .response_oracle import check_beside_h11, of_h11, ours


def every_cut(data: bytes) -> list[list[bytes]]:
    """The data whole, in two pieces in every way, and byte by byte."""
    cuts = [[data[:at], data[at:]] for at in range(1, len(data))]
    return [[data], *cuts, [data[at : at + 1] for at in range(len(data))]]


OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HI = b"2\r\nhi\r\n0\r\n"

# Name: method, bytes, whether the connection then ends; status, body, whether it may be reused.
GOOD: dict[str, tuple[str, bytes, bool, int, bytes, bool]] = {
    "length": ("GET", OK + TWO + b"\r\nhi", False, 200, b"hi", True),
    "length 0": ("GET", OK + b"Content-Length: 0\r\n\r\n", False, 200, b"", True),
    "length, closed": ("GET", OK + TWO + b"\r\nhi", True, 200, b"hi", False),
    "chunks": ("GET", OK + CHUNKED + b"\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", False, 200, b"hi", True),
    "chunk extension": (
        "GET", OK + CHUNKED + b'\r\n2;a="b"\r\nhi\r\n0\r\n\r\n', False, 200, b"hi", True,
    ),
    "sizes in both cases": (
        "GET", OK + CHUNKED + b"\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", False,
        200, b"0123456789" * 2, True,
    ),
    "trailers": (
        "GET", OK + CHUNKED + b'ETag: "a"\r\n\r\n' + HI + b'ETag: "b"\r\nX: y\r\n\r\n', False,
        200, b"hi", True,
    ),
    "until the end": ("GET", OK + b"\r\nuntil the end", True, 200, b"until the end", False),
    "nothing until the end": ("GET", OK + b"\r\n", True, 200, b"", False),
    "HEAD": ("HEAD", OK + TWO + b"\r\n", False, 200, b"", True),
    "HEAD of a refusal": (
        "HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: 20\r\n\r\n", False, 404, b"", True,
    ),
    "HEAD, chunked": ("HEAD", OK + CHUNKED + b"\r\n", False, 200, b"", True),
    "HEAD without a length": ("HEAD", OK + b"\r\n", False, 200, b"", True),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b"", True),
    "204 with a length": ("GET", b"HTTP/1.1 204 None\r\n" + TWO + b"\r\n", False, 204, b"", True),
    "304 with a length": ("GET", b"HTTP/1.1 304 Same\r\n" + TWO + b"\r\n", False, 304, b"", True),
    "100": ("GET", b"HTTP/1.1 100 Go\r\n\r\n" + OK + TWO + b"\r\nhi", False, 200, b"hi", True),
    "103, twice": (
        "GET", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 2 + OK + TWO + b"\r\nhi", False,
        200, b"hi", True,
    ),
    "close": ("GET", OK + b"Connection: close\r\n" + TWO + b"\r\nhi", False, 200, b"hi", False),
    "close among others": (
        "GET", OK + b"Connection: x, Close\r\n" + TWO + b"\r\nhi", False, 200, b"hi", False,
    ),
    "1.0": ("GET", b"HTTP/1.0 200 OK\r\n" + TWO + b"\r\nhi", False, 200, b"hi", False),
    "no reason": ("GET", b"HTTP/1.1 200 \r\n" + TWO + b"\r\nhi", False, 200, b"hi", True),
    "obs-text": ("GET", OK + b"X: \xe9\r\n" + TWO + b"\r\nhi", False, 200, b"hi", True),
    # What stands behind a response is no part of it, and ends its connection.
    "a second response": (
        "GET", OK + TWO + b"\r\nhiHTTP/1.1 404 No\r\nX-Evil: 1\r\nContent-Length: 3\r\n\r\nbad",
        False, 200, b"hi", False,
    ),
    "garbage behind": ("GET", OK + TWO + b"\r\nhinobody has asked", False, 200, b"hi", False),
    "garbage behind chunks": ("GET", OK + CHUNKED + b"\r\n" + HI + b"\r\nmore", False,
                              200, b"hi", False),
    "a body behind HEAD": ("HEAD", OK + TWO + b"\r\nhi", False, 200, b"", False),
    "a body behind 204": ("GET", b"HTTP/1.1 204 No\r\n" + TWO + b"\r\nhi", False, 204, b"", False),
    "a body behind 304": ("GET", b"HTTP/1.1 304 No\r\n" + TWO + b"\r\nhi", False, 304, b"", False),
    "a response behind close": (
        "GET", OK + b"Connection: close\r\n" + TWO + b"\r\nhi" + OK + b"\r\n", False,
        200, b"hi", False,
    ),
}  # fmt: skip

BAD: dict[str, bytes] = {
    "another protocol": b"SSH-2.0-OpenSSH\r\n",
    "another protocol, a long line": b"220 mail.example ESMTP ready to serve you\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "101": b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "101 without a word": b"HTTP/1.1 101 Switching\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 Low\r\n\r\n",
    "lengths that differ": OK + TWO + b"Content-Length: 3\r\n\r\nhix",
    "lengths in one that differ": OK + b"Content-Length: 2, 3\r\n\r\nhix",
    "length below 0": OK + b"Content-Length: -2\r\n\r\nhi",
    "length with a sign": OK + b"Content-Length: +2\r\n\r\nhi",
    "length that is none": OK + b"Content-Length: two\r\n\r\nhi",
    "length that is huge": OK + b"Content-Length: 99999999999999999999999\r\n\r\nhi",
    "length with many zeros": OK + b"Content-Length: " + b"0" * 20 + b"2\r\n\r\nhi",
    "length and chunks": OK + TWO + CHUNKED + b"\r\n" + HI + b"\r\n",
    "chunks and length": OK + CHUNKED + TWO + b"\r\n" + HI + b"\r\n",
    "gzip": OK + b"Transfer-Encoding: gzip\r\n\r\nhi",
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + HI + b"\r\n",
    "chunked twice": OK + CHUNKED * 2 + b"\r\n" + HI + b"\r\n",
    "fold": OK + b"X: a\r\n b\r\n" + TWO + b"\r\nhi",
    "NUL": OK + b"X: a\0b\r\n" + TWO + b"\r\nhi",
    "line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi\r\n\r\n",
    "a line feed": OK + b"X: y\n" + TWO + b"\r\nhi",
    "a carriage return": OK + b"X: a\rb\r\n" + TWO + b"\r\nhi",
    "a control character in the reason": b"HTTP/1.1 200 O\x0cK\r\n" + TWO + b"\r\nhi",
    "a control character in a value": OK + b"X: a\x0bb\r\n" + TWO + b"\r\nhi",
    "space before the colon": OK + b"Content-Length : 2\r\n\r\nhi",
    "no colon": OK + b"Content-Length\r\n\r\nhi",
    "no name": OK + b": 2\r\n\r\nhi",
    "chunk size that is none": OK + CHUNKED + b"\r\nxyz\r\nhi\r\n0\r\n\r\n",
    "chunk size below 0": OK + CHUNKED + b"\r\n-2\r\nhi\r\n0\r\n\r\n",
    "chunk size that is huge": OK + CHUNKED + b"\r\nfffffffffffffffff\r\nhi",
    "trailer that frames": OK + CHUNKED + b"\r\n" + HI + b"Transfer-Encoding: identity\r\n\r\n",
    "trailer that tells a length": OK + CHUNKED + b"\r\n" + HI + b"content-length: 2\r\n\r\n",
    "chunk longer than its size": OK + CHUNKED + b"\r\n2\r\nhiX\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_responses(name: str) -> None:
    method, data, closed, status, body, reusable = GOOD[name]
    for pieces in every_cut(data):
        reading = ours(pieces, method, closed=closed)
        assert reading is not None, pieces
        assert (reading.status, reading.body) == (status, body), pieces
        assert reading.reusable == reusable, pieces
        assert dict(reading.headers).get("etag") in (None, '"a"')
        assert not {"link", "x-evil"} & set(dict(reading.headers))


@pytest.mark.parametrize("name", GOOD)
def test_h11_reads_them_alike(name: str) -> None:
    method, data, closed, status, body, reusable = GOOD[name]
    reading = of_h11(data, method, closed=closed)
    assert reading is not None
    assert (reading.status, reading.body, reading.reusable) == (status, body, reusable)


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    for pieces in every_cut(BAD[name]):
        with pytest.raises(MalformedResponse):
            ours(pieces)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        OK + b"Content-Length: 9\r\n\r\nhi",
        OK + CHUNKED + b"\r\n9\r\nhi",
        OK + CHUNKED + b"\r\n2\r\nhi\r\n",
        OK + CHUNKED + b"\r\n2\r\nhi\r\n0\r\n",
    ],
)
def test_responses_that_are_cut_off(data: bytes) -> None:
    for pieces in every_cut(data):
        assert ours(pieces) is None
        with pytest.raises(Disconnected) as caught:
            ours(pieces, closed=True)
        assert caught.value.answered == bool(data)


def test_limits_of_the_head() -> None:
    limits = Limits(max_head_bytes=1000)
    head = OK + TWO + b"X: " + b"x" * 950 + b"\r\n\r\n"
    assert ours([head, b"hi"], limits=limits) is not None
    early = b"HTTP/1.1 103 Hints\r\n\r\n"
    for data in (OK + b"X: " + b"x" * 2000, head.replace(b"xx", b"xxx"), early * 100, early + head):
        for size in (1, 7, len(data)):
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
            with pytest.raises(MalformedResponse, match="1,000 bytes"):
                ours(pieces, limits=limits)


@pytest.mark.parametrize("filler", [b"X: " + b"y" * 100 + b"\r\n", b"X: y" + b"y" * 100])
def test_limits_of_trailers(filler: bytes) -> None:
    limits = Limits(max_head_bytes=1000)
    parser = ResponseParser("GET", limits)
    parser.feed(OK + CHUNKED + b"\r\n" + HI + b"X: y\r\n")
    with pytest.raises(MalformedResponse):
        for _ in range(20):
            parser.feed(filler)


def test_limits_of_chunk_extensions() -> None:
    parser = ResponseParser("GET", Limits(max_head_bytes=1000))
    parser.feed(OK + CHUNKED + b"\r\n2;")
    with pytest.raises(MalformedResponse):
        for _ in range(20):
            parser.feed(b"x" * 100)
    # Small chunks are no such thing, however many there are.
    parser = ResponseParser("GET", Limits(max_head_bytes=1000))
    parser.feed(OK + CHUNKED + b"\r\n")
    for _ in range(1000):
        parser.feed(b"1\r\nx\r\n")
    assert len(parser.pieces) == 1000


def test_a_successful_connect_has_no_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + TWO + b"\r\n"
    reading = ours([answer], "CONNECT")
    assert reading is not None
    assert (reading.status, reading.body) == (200, b"")
    refusal = ours([b"HTTP/1.1 403 No\r\n" + TWO + b"\r\nno"], "CONNECT")
    assert refusal is not None
    assert (refusal.status, refusal.body) == (403, b"no")


# --- beside h11 ----------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 404 No\r\n",
        b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 304 No\r\n", b"HTTP/1.1 100 Go on\r\n",
        b"HTTP/1.1 103 Hints\r\n", b"HTTP/1.1 101 Switch\r\n", b"HTTP/1.1 200\r\n",
        b"http/1.1 200 OK\r\n", b"HTTP/1.1  200 OK\r\n", b"HTTP/1.1 200 OK\n",
        TWO, b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"content-length:2\r\n",
        b"Content-Length: 2, 2\r\n", b"Content-Length: 02\r\n", b"Content-Length: 2 \r\n",
        b"Content-Length: \r\n", b"Content-Length: 0x2\r\n",
        CHUNKED, b"Transfer-Encoding: CHUNKED\r\n", b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n", b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding:\r\n", b"Transfer-Encoding:\tchunked\r\n",
        b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: upgrade\r\n",
        b"Upgrade: h2c\r\n", b"X: y\r\n", b"X:\r\n", b" folded\r\n", b"X : y\r\n", b"X\r\n",
        b"\r\n", b"\n", b"\r", b"hi", b"h", b"2\r\nhi\r\n", b"2 \r\nhi\r\n", b"02\r\nhi\r\n",
        b"2;x=y\r\nhi\r\n", b"2\nhi\n", b"0\r\n", b"0\r\n\r\n", b"00\r\n\r\n", b"0;x\r\n\r\n",
        b"g\r\n", b"\0", b"\xff", b":", b" ", b"\t",
    ]
)  # fmt: skip
MESSAGES = st.lists(LINES, max_size=12).map(b"".join)
STARTED = st.builds(
    lambda head, more: OK + head + b"\r\n" + more,
    st.lists(st.sampled_from([TWO, CHUNKED, b"Connection: close\r\n", b"X: y\r\n", b""])).map(
        b"".join
    ),
    MESSAGES,
)


@settings(max_examples=600, deadline=None)
@given(
    data=st.one_of(MESSAGES, STARTED),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    closed=st.booleans(),
    cuts=st.lists(st.integers(0, 120), max_size=6),
)
@example(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi", "GET", True, [])
@example(OK + CHUNKED + b"\r\n" + HI + b"\r\n", "GET", False, [40])
@example(OK + b"Content-Length: 2\r\n\r\nhi\n", "GET", False, [])
@example(OK + CHUNKED + b"\r\n" + HI + b"\r\n\r\n", "GET", False, [])
def test_same_reading_as_h11_or_a_refusal(
    data: bytes, method: str, closed: bool, cuts: list[int]
) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    check_beside_h11(pieces, method, closed=closed)
