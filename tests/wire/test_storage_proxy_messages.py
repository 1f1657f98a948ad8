"""Messages of storage proxies: tus, ranges, and names in headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_multipart.multipart import parse_options_header

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.storage_proxy import (
    ContentRange,
    PatchHead,
    TusState,
    attachment,
    parse_range,
)

from .strategies import thorough

sizes = st.integers(0, 1 << 50)

# -- tus ------------------------------------------------------------------------------------------


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@thorough
@given(sizes, st.none() | st.binary(min_size=32, max_size=32))
def test_head_of_a_piece(offset: int, digest: bytes | None) -> None:
    head = PatchHead(offset, digest)
    assert PatchHead.decode(lowered(head.encode())) == head


@thorough
@given(sizes, st.none() | sizes)
def test_state_of_an_upload(offset: int, length: int | None) -> None:
    state = TusState(offset, length)
    assert TusState.decode(lowered(state.encode())) == state


header_text = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=30)


@thorough
@given(
    st.dictionaries(
        st.sampled_from(["upload-offset", "upload-length", "upload-checksum"]),
        header_text | st.integers().map(str) | header_text.map("sha256 {}".format),
    )
)
def test_headers_of_strangers(headers: dict[str, str]) -> None:
    for decode in (PatchHead.decode, TusState.decode):
        try:
            decode(headers)
        except RemoteProtocolError:
            pass


# -- ranges ---------------------------------------------------------------------------------------


@thorough
@given(sizes, sizes, sizes)
def test_content_range(start: int, length: int, more: int) -> None:
    part = ContentRange(start, start + length + 1, start + length + 1 + more)
    assert ContentRange.decode(part.encode()) == part


@thorough
@given(header_text)
def test_content_range_of_a_stranger(value: str) -> None:
    try:
        part = ContentRange.decode(value)
    except RemoteProtocolError:
        return
    assert 0 <= part.start < part.end <= part.size


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-", (0, 10)),
        ("bytes=4-", (4, 10)),
        ("bytes=4-5", (4, 6)),
        ("bytes=4-99", (4, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("lines=1-2", None),
        ("bytes=-", None),
    ],
)
def test_range(header: str | None, expected: tuple[int, int] | None) -> None:
    part = parse_range(header, 10)
    assert (part and (part.start, part.end)) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_range_behind_the_end(header: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_range(header, 10)


@thorough
@given(header_text, st.integers(0, 100))
def test_range_of_a_stranger(header: str, size: int) -> None:
    try:
        part = parse_range(header, size)
    except RemoteProtocolError:
        return
    assert part is None or 0 <= part.start < part.end <= size


@thorough
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_no_name_ends_a_header(name: str) -> None:
    header = attachment(name)
    assert header.isascii() and header.isprintable()
    kind, options = parse_options_header(header)
    assert kind == b"attachment"
    assert set(options) <= {b"filename", b"filename*"}


@pytest.mark.parametrize(
    "name", ['a"b', "a\r\nSet-Cookie: x", "a; filename=b", "ü", "a\\b", "x" * 300]
)
def test_hostile_names_in_a_header(name: str) -> None:
    header = attachment(name)
    assert "\r" not in header and "\n" not in header and header.count('"') == 2
