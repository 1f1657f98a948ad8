"""Compressed bodies and parts of bodies."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.content_coding import PIECE_BYTES, ContentDecoder, decode_content
from backendai_trio.wire.download_parts import PartsDecoder, decode_archives
from backendai_trio.wire.http import Response

from .strategies import quick


def bare_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


ENCODERS = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    " GZIP ": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": bare_deflate,
}


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Data in pieces of these sizes, over and over."""
    pieces, at, number = [], 0, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        pieces.append(data[at : at + size])
        at, number = at + size, number + 1
    return pieces


def decoded(decoder: ContentDecoder, pieces: Sequence[bytes]) -> bytes:
    content = b"".join(out for piece in pieces for out in decoder.feed(piece))
    decoder.finish()
    return content


@given(st.sampled_from(sorted(ENCODERS)), st.binary(), st.lists(st.integers(1, 40), min_size=1))
@quick
def test_there_and_back(coding: str, data: bytes, sizes: list[int]) -> None:
    coded = ENCODERS[coding](data)
    assert decoded(ContentDecoder(coding, "body"), cut(coded, sizes)) == data
    assert decode_content(coded, coding, "body", max_bytes=len(data)) == data


@pytest.mark.parametrize("coding", ["gzip", "deflate", "Deflate"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_sizes_around_that_of_a_piece(coding: str, pieces: int) -> None:
    """What zlib holds back when a piece is full is content as well."""
    for more in range(-2, 600, 3):
        data = b"a" * (pieces * PIECE_BYTES + more)
        coded = ENCODERS[coding](data)
        assert decode_content(coded, coding, "body", max_bytes=len(data)) == data, more


@given(st.binary(), st.binary())
@quick
def test_members_of_gzip(first: bytes, second: bytes) -> None:
    coded = gzip.compress(first) + gzip.compress(second)
    assert decoded(ContentDecoder("gzip", "body"), [coded]) == first + second


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "bzip2", "compress", "nonsense"])
def test_unknown_codings_are_refused(coding: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"does not know") as caught:
        ContentDecoder(coding, "GET /x")
    assert repr(coding) in str(caught.value) and "GET /x" in str(caught.value)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "Deflate"])
def test_what_was_cut_short_is_refused(coding: str) -> None:
    coded = ENCODERS[coding](b"content " * 100)
    for end in range(1, len(coded)):
        with pytest.raises(RemoteProtocolError, match="cut short"):
            decoded(ContentDecoder(coding, "body"), [coded[:end]])


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_in_another_coding_is_refused(coding: str) -> None:
    for body in (bz2.compress(b"content"), b"\xff" * 40):
        with pytest.raises(RemoteProtocolError, match=f"not {coding}"):
            decoded(ContentDecoder(coding, "body"), [body])


def test_what_follows_the_end_is_refused() -> None:
    for coding in ("gzip", "deflate"):
        coded = ENCODERS[coding](b"content") + b"behind"
        with pytest.raises(RemoteProtocolError):
            decoded(ContentDecoder(coding, "body"), [coded])


def test_an_empty_body_is_whole() -> None:
    assert decoded(ContentDecoder("gzip", "body"), []) == b""


def test_what_expands_is_bounded() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    assert max(map(len, ContentDecoder("gzip", "body").feed(bomb))) <= PIECE_BYTES
    with pytest.raises(RemoteProtocolError, match="exceeds 1,000 bytes"):
        decode_content(bomb, "gzip", "body", max_bytes=1000)
    with pytest.raises(RemoteProtocolError, match="exceeds 1,000 bytes"):
        decode_content(bytes(1001), "", "body", max_bytes=1000)


# --- parts ---------------------------------------------------------------------------------------


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A body of parts, each with a line of header."""
    body = b"".join(
        b"--b\r\n%bContent-Type: x/y\r\n\r\n%b\r\n" % (line.encode(), data) for line, data in parts
    )
    return body + b"--b--\r\n"


TYPE = 'multipart/mixed; boundary="b"'
_contents = st.lists(st.tuples(st.sampled_from(["", "gzip", "deflate"]), st.binary()), max_size=4)


@given(_contents, st.lists(st.integers(1, 40), min_size=1))
@quick
def test_each_part_has_a_coding_of_its_own(
    parts: list[tuple[str, bytes]], sizes: list[int]
) -> None:
    parts = [(coding, data) for coding, data in parts if b"\r\n--b" not in ENCODERS[coding](data)]
    body = multipart(
        *(
            (f"Content-Encoding: {coding}\r\n" if coding else "", ENCODERS[coding](data))
            for coding, data in parts
        )
    )
    decoder = PartsDecoder(TYPE)
    found = [b""] * len(parts)
    for piece in cut(body, sizes):
        for number, data in decoder.feed(piece):
            found[number] += data
    assert decoder.finish() == len(parts)
    assert found == [data for _, data in parts]
    reply = Response(200, "multipart/mixed", body, {"content-type": TYPE})
    assert decode_archives(reply, max_bytes=10_000) == found


@pytest.mark.parametrize(
    ("line", "data"),
    [
        ("content-encoding: br\r\n", b"content"),
        ("Content-Transfer-Encoding: base64\r\n", b"Y29udGVudA=="),
        ("Content-Encoding: gzip\r\n", b"content"),
        ("Content-Encoding: gzip\r\n", gzip.compress(b"content", mtime=0)[:-3]),
    ],
)
def test_parts_that_are_not_understood_are_refused(line: str, data: bytes) -> None:
    decoder = PartsDecoder(TYPE)
    with pytest.raises(RemoteProtocolError):
        list(decoder.feed(multipart((line, data))))
        decoder.finish()


def test_archives_are_bounded() -> None:
    body = multipart(("Content-Encoding: gzip\r\n", gzip.compress(bytes(1_000_000))))
    reply = Response(200, "multipart/mixed", body, {"content-type": TYPE})
    with pytest.raises(RemoteProtocolError, match="exceeds 999,999"):
        decode_archives(reply, max_bytes=999_999)
