"""Media in the output of runs: the forms in which servers send them, and their bytes."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.media import decode_media, encode_media, is_json, is_text, plain_type
from backendai_trio.wire.run_events import Event, Html, Media, Other, event_of

PNG = b"\x89PNG\r\n\x1a\n\xff\xfe"
SVG = "<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'>\u00e9</svg>\n"

_binary_types = st.sampled_from(
    ["image/png", "image/jpeg", "application/pdf", "application/octet-stream", "odd", ""]
)
_text_types = st.sampled_from(
    ["image/svg+xml", "text/html", "text/plain; charset=utf-8", "application/json", "Text/X"]
)


@given(_binary_types | _text_types, st.binary())
def test_bytes_come_back(mime_type: str, content: bytes) -> None:
    assert decode_media(mime_type, encode_media(mime_type, content)) == content


@given(_text_types, st.text() | st.builds("data:{},{}".format, st.text(), st.text()))
def test_text_comes_back(mime_type: str, text: str) -> None:
    content = text.encode("utf-8", "replace")
    assert decode_media(mime_type, encode_media(mime_type, content)) == content


@given(
    _binary_types,
    st.binary(),
    st.integers(1, 80),
    st.sampled_from(["", "\n", "\r\n", " "]),
    st.booleans(),
    st.booleans(),
)
def test_base64_of_every_style(
    mime_type: str, content: bytes, width: int, end: str, url_safe: bool, padded: bool
) -> None:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    text = encode(content).decode()
    text = text if padded else text.rstrip("=")
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    data = end.join([*lines, ""])
    assert decode_media(mime_type, data) == content
    assert decode_media(mime_type, f"data:{plain_type(mime_type)};base64,{data}") == content


@given(_binary_types | _text_types, st.binary(), st.booleans())
def test_data_url_without_base64(mime_type: str, content: bytes, quotes_all: bool) -> None:
    quoted = quote_from_bytes(content, safe="" if quotes_all else "/+=<> ")
    assert decode_media(mime_type, f"data:{plain_type(mime_type)},{quoted}") == content


@given(st.text(), st.text())
def test_nothing_but_the_documented_error(mime_type: str, data: str) -> None:
    try:
        content = Media(mime_type, data).content()
    except RemoteProtocolError as exc:
        assert not is_text(mime_type)
        assert len(str(exc)) < 500
    else:
        assert isinstance(content, bytes)


@pytest.mark.parametrize(
    ("mime_type", "data", "content"),
    [
        # What the kernels of managers send for Matplotlib and IPython.
        ("image/png", f"data:image/png;base64,{base64.b64encode(PNG).decode()}\n", PNG),
        ("image/svg+xml", SVG, SVG.encode()),
        ("image/png", base64.encodebytes(PNG).decode(), PNG),
        ("image/svg+xml", base64.b64encode(SVG.encode()).decode(), SVG.encode()),
        ("image/svg+xml", f"DATA:image/svg+xml;charset=utf-8,{SVG}", SVG.encode()),
        ("image/png", "data:;base64,iVBORw%3D%3D", b"\x89PNG"),
        ("application/json", '{"a": "\u00e9"}', b'{"a": "\xc3\xa9"}'),
        ("text/plain", "AAAA", b"AAAA"),
        ("text/plain", "data: 5 of 6", b"data: 5 of 6"),
        ("text/html", "data:x;base64,???", b"data:x;base64,???"),
        ("text/plain", "\udcff", b"?"),
        ("image/png", "", b""),
    ],
)
def test_forms(mime_type: str, data: str, content: bytes) -> None:
    assert decode_media(mime_type, data) == content


@pytest.mark.parametrize("data", ["not base64!", "A", "data:image/png;base64,*", "data:", "\udcff"])
def test_malformed(data: str) -> None:
    with pytest.raises(RemoteProtocolError, match="'image/png'"):
        Media("image/png", data).content()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_that_is_sent_as_json(value: object) -> None:
    event = event_of("media", ["application/vnd.plotly.v1+json", value])
    assert isinstance(event, Media)
    if not isinstance(value, str):
        assert json.loads(event.content()) == value


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (["application/json", {"a": 1}], Media("application/json", '{"a": 1}')),
        (["application/json", "[1]"], Media("application/json", "[1]")),
        (["image/png", {"a": 1}], Other("media", ["image/png", {"a": 1}])),
        ([None, "x"], Other("media", [None, "x"])),
        ({"type": "image/png"}, Other("media", {"type": "image/png"})),
    ],
)
def test_event_of(payload: object, event: Event) -> None:
    assert event_of("media", payload) == event


def test_types() -> None:
    assert plain_type(" Image/PNG ; q=1") == "image/png"
    assert is_json("application/ld+json; x=y")
    assert not is_json("application/jsonx")
    assert is_text("image/svg+xml")
    assert not is_text("image/png")


def test_a_fragment_of_html_is_a_medium() -> None:
    """Its text is its content, whatever it begins with; bytes that were no text become a mark."""
    html = Html("data:,<b>\udcff")
    assert (html.plain_type, html.is_json, html.content()) == ("text/html", False, b"data:,<b>?")


@pytest.mark.parametrize(
    ("mime_type", "plain", "is_json"),
    [
        ("Image/PNG; q=1", "image/png", False),
        ("application/geo+JSON", "application/geo+json", True),
        ("text/json ; charset=utf-8", "text/json", True),
        ("", "", False),
    ],
)
def test_type_of_a_medium(mime_type: str, plain: str, is_json: bool) -> None:
    medium = Media(mime_type, "")
    assert (medium.plain_type, medium.is_json) == (plain, is_json)
