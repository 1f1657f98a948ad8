"""Names of uploaded files: none can end a header, leave the work folder, or change on its way."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from python_multipart.multipart import MultipartParser, parse_options_header

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.multipart import (
    check_name,
    check_names,
    encode_part_head,
    multipart_type,
    parse_name,
    part_end,
)

from .strategies import quick

BOUNDARY = "x0123456789abcdef"


class Part(NamedTuple):
    headers: dict[bytes, bytes]
    data: bytes

    @property
    def disposition(self) -> dict[bytes, bytes]:
        value, options = parse_options_header(self.headers[b"content-disposition"])
        assert value == b"form-data"
        return options

    @property
    def filename(self) -> bytes:
        return self.disposition[b"filename"]


class Reader:
    """A form's parts, read by the parser that the gateway uses."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._data = b""

    def read(self, form: bytes, step: int) -> list[Part]:
        parser = MultipartParser(
            BOUNDARY,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_part_data": self._on_data,
                "on_part_end": self._end,
                "on_end": self._on_end,
            },
        )
        for start in range(0, len(form), step):
            parser.write(form[start : start + step])
        parser.finalize()
        assert self.ended
        return self.parts

    def _begin(self) -> None:
        self._headers, self._data = {}, b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _end(self) -> None:
        self.parts.append(Part(self._headers, self._data))

    def _on_end(self) -> None:
        self.ended = True


def form_of(*files: tuple[str, bytes]) -> bytes:
    form = b""
    for index, (name, data) in enumerate(files):
        form += encode_part_head(name, BOUNDARY) + data
        form += part_end(BOUNDARY, last=index == len(files) - 1)
    return form


_unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_PIECES = [
    '"',
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "--",
    BOUNDARY,
    f"\r\n--{BOUNDARY}--\r\n",
    ";",
    "; name=other",
    'filename="y"',
    "filename*=UTF-8''y",
    "Content-Type: text/html",
    ":",
    "=",
    "%",
    "%22",
    "%0D%0A",
    "%2522",
    "\\",
    '\\"',
    "/",
    "..",
    ".",
    "~",
    " ",
    "\t",
    "\0",
    "\x0b",
    "\x0c",
    "\x85",
    "\u2028",
    "é",
    "한",
    "=?utf-8?q?x?=",
    "a",
]
_hostile = st.lists(st.sampled_from(_PIECES) | _unicode, max_size=8).map("".join)


def is_taken(name: str) -> bool:
    try:
        check_name(name)
    except LocalProtocolError:
        return False
    return True


# Few of those that have been put together from any pieces are taken.
_names = (
    st.lists(
        st.sampled_from([piece for piece in _PIECES if is_taken(f"a{piece}a")])
        | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30),
        min_size=1,
        max_size=8,
    )
    .map("".join)
    .filter(is_taken)
)


# --- on the wire ---------------------------------------------------------------------------------


@given(_hostile, st.binary(max_size=40), st.integers(1, 200))
@settings(deadline=None, max_examples=80)
@example('"\r\n\r\nevil', b"", 1)
@example(f'x"\r\n\r\n\r\n--{BOUNDARY}--\r\n', b"data", 7)
def test_no_name_can_end_its_header(name: str, data: bytes, step: int) -> None:
    """Also a name that `check_name` would have refused."""
    (part,) = Reader().read(form_of((name, data)), step)
    assert part.data == data
    assert set(part.headers) == {b"content-disposition", b"content-type"}
    assert part.headers[b"content-type"] == b"application/octet-stream"
    assert set(part.disposition) == {b"name", b"filename"}
    assert part.disposition[b"name"] == b"src"


@given(_names, st.binary(max_size=20))
@settings(deadline=None, max_examples=80)
@example('quote".txt', b"")
@example("semi;colon=1.txt", b"")
@example("한글/파일 이름.txt", b"\r\n--")
@example(" leading and trailing ", b"")
@example("100%.txt", b"")
@example("a%0D%0Ab", b"")
def test_name_arrives_as_it_was_checked(name: str, data: bytes) -> None:
    name = name.replace("%22", "")  # has a test of its own
    if not is_taken(name):
        return
    checked = check_name(name)
    (part,) = Reader().read(form_of((checked, data)), 64)
    assert parse_name(part.filename) == checked
    assert part.data == data


def test_name_with_an_escaped_quote_of_its_own_arrives_as_it_is() -> None:
    """What escapes a quote must not be mistaken for one where the name itself holds it."""
    for name in ("a%22b", "%22", '%22"', "%2522", '"'):
        (part,) = Reader().read(form_of((check_name(name), b"")), 64)
        assert parse_name(part.filename) == name


@given(st.lists(st.tuples(_names, st.binary(max_size=20)), min_size=1, max_size=4))
@quick
def test_several_files(files: list[tuple[str, bytes]]) -> None:
    parts = Reader().read(form_of(*files), 50)
    assert [part.data for part in parts] == [data for _, data in files]
    assert len({part.disposition[b"name"] for part in parts}) == 1


def test_form_on_the_wire() -> None:
    assert multipart_type("b") == "multipart/form-data; boundary=b"
    assert encode_part_head("dir/a.txt", "b") + b"data" + part_end("b", last=True) == (
        b"--b\r\n"
        b'Content-Disposition: form-data; name="src"; filename="dir/a.txt"\r\n'
        b"Content-Type: application/octet-stream\r\n"
        b"\r\n"
        b"data\r\n"
        b"--b--\r\n"
    )
    assert part_end("b", last=False) == b"\r\n"


# --- what a name may be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "checked"),
    [
        ("a", "a"),
        ("a/b/c.txt", "a/b/c.txt"),
        ("./a", "a"),
        ("a//b/./c", "a/b/c"),
        ("...", "..."),
        ("..a/b..", "..a/b.."),
        (".hidden", ".hidden"),
        ("-rf", "-rf"),
        ("~", "~"),
        ("$HOME;`x`", "$HOME;`x`"),
        ("한글.txt", "한글.txt"),
        ("x" * 255, "x" * 255),
        ("/".join("x" * 128), "/".join("x" * 128)),
    ],
)
def test_name_is_taken(name: str, checked: str) -> None:
    assert check_name(name) == checked
    assert parse_name(name.encode()) == checked


HOSTILE = [
    "",
    ".",
    "./",
    "/",
    "//",
    "a/",
    "/etc/passwd",
    "//host/share",
    "..",
    "../x",
    "a/../b",
    "a/..",
    "a/../../b",
    "./../x",
    "..\\x",
    "a\\b",
    "\\\\host\\share",
    "C:\\x",
    "a\0b",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "a\x1b[2Jb",
    "a\x7fb",
    "x" * 256,
    "한" * 86,
    "a/" + "x" * 256 + "/b",
    "/".join("x" * 129),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        check_name(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1_500
    with pytest.raises(RemoteProtocolError):
        parse_name(name.encode())


@pytest.mark.parametrize("name", ["\udcff", "a\ud800b"])
def test_name_that_is_no_unicode_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        check_name(name)


@pytest.mark.parametrize("raw", [b"\xff", b"a\x80", b"\xed\xb3\xbf"])
def test_arriving_name_that_is_no_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_name(raw)


@given(_hostile | st.text(st.characters()))
@settings(deadline=None, max_examples=80)
def test_any_name_is_safe_or_refused(name: str) -> None:
    try:
        checked = check_name(name)
    except LocalProtocolError:
        return
    parts = checked.split("/")
    assert all(part not in ("", ".", "..") for part in parts)
    assert not any(character < " " for character in checked)
    assert check_name(checked) == checked


@given(st.binary() | _hostile.map(lambda name: name.encode()))
@settings(deadline=None, max_examples=80)
@example(b"%22")
@example(b"..%22/..")
def test_any_arriving_name_is_safe_or_refused(raw: bytes) -> None:
    try:
        name = parse_name(raw)
    except RemoteProtocolError:
        return
    assert check_name(name) == name


@pytest.mark.parametrize("single", ["a.txt", "", b"a.txt", PurePosixPath("a.txt"), 1])
def test_a_single_name_is_no_list(single: Any) -> None:
    """Its letters would be taken for names."""
    with pytest.raises(LocalProtocolError, match="is not a list; for a single one, give"):
        check_names(single)


def test_lists_of_names() -> None:
    assert check_names(iter(("a", "b"))) == ["a", "b"]
    assert check_names(()) == []
