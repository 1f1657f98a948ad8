"""Headers of archives: the same as those of the standard library."""

from __future__ import annotations

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.tar_headers import BLOCK, MAX_NUMBER, Header

plain = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=100)
numbers = st.integers(0, MAX_NUMBER)
headers = st.builds(
    Header,
    plain.filter(lambda name: not name.endswith("/")),
    st.sampled_from([b"0", b"1", b"2", b"x", b"L"]),
    numbers,
    st.integers(0, 0o7777),
    numbers,
    plain,
)


def by_tarfile(header: Header) -> tarfile.TarInfo:
    info = tarfile.TarInfo(header.name)
    info.type, info.size, info.mode = header.kind, header.size, header.mode
    info.mtime, info.linkname = header.modified, header.target
    return info


@given(headers)
def test_both_ways(header: Header) -> None:
    block = header.encode()
    assert len(block) == BLOCK
    assert Header.decode(block) == header
    assert block == by_tarfile(header).tobuf(tarfile.USTAR_FORMAT)


@given(
    st.text(min_size=1, max_size=30).filter(lambda name: "\0" not in name and name.strip("/")),
    st.integers(0, 2**60),
    st.integers(0, 2**37),
)
def test_gnu_headers_of_other_programs(name: str, size: int, modified: int) -> None:
    header = Header(name.rstrip("/"), b"0", size, 0o600, modified)
    info = by_tarfile(header)
    block = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")[-BLOCK:]
    assert Header.decode(block)[2:] == header[2:]


def test_prefixes_of_other_programs() -> None:
    name = "/".join(["d" * 60, "e" * 60, "f" * 50])
    block = tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT)
    assert Header.decode(block).name == name


@pytest.mark.parametrize("size", [b"\xff" * 12, b"0000000008x\0", b"\xfe" * 12])
def test_impossible_sizes(size: bytes) -> None:
    block = bytearray(Header("x", b"0").encode())
    block[124:136] = size
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 32)
    with pytest.raises(RemoteProtocolError):
        Header.decode(bytes(block))


@pytest.mark.parametrize(
    "modified", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"\x80\0\0\0" + b"\xff" * 8]
)
def test_impossible_times(modified: bytes) -> None:
    """Such a time counts as unknown: no system could set it."""
    block = bytearray(Header("x", b"0").encode())
    block[136:148] = modified
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 32)
    assert Header.decode(bytes(block)).modified == 0


@given(st.binary(min_size=BLOCK, max_size=BLOCK))
def test_arbitrary_blocks(block: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Header.decode(block)


@given(headers, st.integers(0, BLOCK - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(header: Header, place: int, change: int) -> None:
    block = bytearray(header.encode())
    block[place] ^= change
    try:
        assert Header.decode(bytes(block)) == header  # blank space of a number
    except RemoteProtocolError:
        pass
