"""Multipart bodies are parsed alike in whatever pieces they arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_multipart.exceptions import FormParserError

from backendai_trio.wire.multipart_parser import PartsParser

PARTS = b"--b\r\nA: 1\r\n\r\nfirst\r\n--b\r\n\r\n--c\r\n--b--\r\n"
PREAMBLES = [
    b"",
    b"\r\n",
    b"\r\n\r\n",
    b"a line\r\n",
    b"\r\na - line\r\nb\r\n",
    b"--a\r\n",
    b"-\r\n--\r\n",
    b"\r\r\n",
]


def contents(pieces: list[bytes]) -> list[bytes] | None:
    """What the parts of a body hold; None if it is refused or has no end."""
    found: list[bytes] = []
    ended: list[bool] = []

    def take(data: bytes, start: int, end: int) -> None:
        found[-1] += data[start:end]

    parser = PartsParser(
        b"b",
        {
            "on_part_begin": lambda: found.append(b""),
            "on_part_data": take,
            "on_end": lambda: ended.append(True),
        },
    )
    try:
        for piece in pieces:
            parser.write(piece)
    except FormParserError:
        return None
    return found if ended else None


def cut(body: bytes, places: list[int]) -> list[bytes]:
    return [body[start:end] for start, end in pairwise(sorted({0, len(body), *places}))]


@pytest.mark.parametrize("preamble", PREAMBLES)
def test_preamble_is_skipped(preamble: bytes) -> None:
    body = preamble + PARTS
    assert contents([body]) == [b"first", b"--c"]
    assert contents([body[at : at + 1] for at in range(len(body))]) == [b"first", b"--c"]
    for place in range(len(body)):
        assert contents(cut(body, [place])) == [b"first", b"--c"]


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" \t" * 40])
def test_blanks_behind_the_first_delimiter(blanks: bytes) -> None:
    body = PARTS.replace(b"\r\n", blanks + b"\r\n", 1)
    for place in range(len(body)):
        assert contents(cut(body, [place])) == [b"first", b"--c"]


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"\r\n" * 9])
def test_body_without_parts(preamble: bytes) -> None:
    body = preamble + b"--b--\r\n"
    assert contents([body[at : at + 1] for at in range(len(body))]) == []
    for place in range(len(body)):
        assert contents(cut(body, [place])) == []


@pytest.mark.parametrize("body", [b"", b"\r\n", b"no delimiter", b"--", b"--b", b"--b "])
def test_without_a_delimiter_there_is_no_end(body: bytes) -> None:
    assert contents([body]) is None


MALFORMED = [
    b"--b\n",
    b"--b \n",
    b" --b\r\n",
    b"\n--b\r\n",
    b"x--b\r\n",
    b"--bx\r\n",
    b"--b\r-\r\n",
    b"--b" + b" " * 81 + b"\r\n",
    b"x\r\n--b--",
    b"a long line\r\n\r\n--b--",
]


@pytest.mark.parametrize("first", MALFORMED)
@pytest.mark.parametrize("others", [b"--b--\r\n", PARTS])
def test_part_behind_a_malformed_delimiter_is_not_lost(first: bytes, others: bytes) -> None:
    body = first + b"A: 1\r\n\r\nlost\r\n" + others
    assert contents([body]) is None
    for place in range(len(body)):
        assert contents(cut(body, [place])) is None


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--b", b"--b--", b"x", b": ", PARTS])),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_pieces_make_no_difference(words: list[bytes], places: list[int]) -> None:
    body = b"".join(words)
    inside = [place for place in places if place < len(body)]
    assert contents(cut(body, inside)) == contents([body])


def test_errors_are_raised_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    for body in (b"--b\r\nno header\r\n\r\n", b"--b\r\n: 1\r\n", b"--b\r\n\r\n--b-x"):
        assert contents([body]) is None
    assert caplog.text == ""
