"""Archives: what goes in comes out, and nothing hostile passes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.archives import (
    END,
    ArchiveDecoder,
    Entry,
    encode_entry,
    encode_seal,
    entry_length,
    padding,
)
from backendai_trio.wire.multipart import check_name


def is_name(text: str) -> bool:
    try:
        return check_name(text) == text
    except LocalProtocolError:
        return False


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=150).filter(is_name)
files = st.tuples(names, st.binary(max_size=2000), st.booleans())


def packed(items: list[tuple[str, bytes, bool]]) -> bytes:
    data = b""
    for name, content, executable in items:
        data += encode_entry(Entry(name, "file", len(content), executable, 17))
        data += content + padding(len(content))
    data += END
    return data + encode_seal(hashlib.sha256(data).hexdigest())


def unpacked(data: bytes, step: int, *, sealed: bool = False) -> list[tuple[Entry, bytes]]:
    decoder = ArchiveDecoder()
    found: list[tuple[Entry, bytes]] = []
    for start in range(0, len(data), step):
        for item in decoder.feed(data[start : start + step]):
            if isinstance(item, Entry):
                found.append((item, b""))
            else:
                entry, before = found.pop()
                found.append((entry, before + bytes(item)))
    decoder.finish(sealed=sealed)
    return found


@given(st.lists(files, max_size=5), st.integers(1, 3000))
def test_round_trip(items: list[tuple[str, bytes, bool]], step: int) -> None:
    data = packed(items)
    found = unpacked(data, step, sealed=True)
    assert [(entry.name, content, entry.executable) for entry, content in found] == items
    assert len(data) == sum(entry_length(entry) for entry, _ in found) + len(END) + 512


@given(st.lists(files, max_size=3))
def test_other_programs_read_it(items: list[tuple[str, bytes, bool]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(items))) as tar:
        assert [member.name for member in tar] == [name for name, _, _ in items]


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_arbitrary_bytes(data: bytes, step: int) -> None:
    try:
        unpacked(data, step)
    except RemoteProtocolError:
        pass


@given(files, st.data())
def test_one_changed_byte_is_noticed(item: tuple[str, bytes, bool], draw: st.DataObject) -> None:
    data = bytearray(packed([item]))
    place = draw.draw(st.integers(0, len(data) - 512 - 1))
    data[place] ^= 1
    with pytest.raises(RemoteProtocolError):
        unpacked(bytes(data), 4096, sealed=True)


@given(files, st.integers(0, 2500))
def test_half_an_archive(item: tuple[str, bytes, bool], left: int) -> None:
    data = packed([item])
    with pytest.raises(RemoteProtocolError):
        unpacked(data[: min(left, len(data) - 1)], 512, sealed=True)


def by_tarfile(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info


HOSTILE = [
    "../evil",
    "/etc/evil",
    "a/../../evil",
    "a\\..\\evil",
    "x" * 300,
    "a\nb",
    "a\r",
]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str, form: int) -> None:
    with pytest.raises(RemoteProtocolError):
        unpacked(by_tarfile(member(name), form=form), 512)


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_devices_pipes_and_sparse_files(kind: bytes) -> None:
    block = bytearray(member("x").tobuf(tarfile.GNU_FORMAT))
    block[156:157] = kind
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 32)
    with pytest.raises(RemoteProtocolError, match="refused"):
        unpacked(bytes(block) + END, 512)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_long_names_of_other_programs(form: int) -> None:
    name = "/".join(["d" * 200] * 3)
    (found,) = unpacked(by_tarfile(member(f"./{name}", size=700), form=form), 100)
    assert (found[0].name, found[1]) == (name, bytes(700))


def test_header_that_would_fill_the_memory() -> None:
    bomb = member("x", tarfile.XHDTYPE, 10 * 1024**3).tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(RemoteProtocolError, match="too large"):
        unpacked(bomb, 512)


def test_compressed_archives_are_refused() -> None:
    """A decompression bomb needs somebody who decompresses."""
    with pytest.raises(RemoteProtocolError, match="not a tar archive"):
        unpacked(gzip.compress(bytes(10_000_000)), 512)
