"""Services: the list of them, and the query of a connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.apps import (
    END_OF_STREAM,
    AppInfo,
    connection_query,
    decode_apps,
    encode_apps,
    is_end_of_stream,
    wants_half_close,
)

apps = st.builds(
    AppInfo,
    st.text(),
    st.text(),
    st.lists(st.integers(1, 65535)).map(tuple),
    st.text(),
    st.lists(st.text()).map(tuple),
    st.lists(st.text()).map(tuple),
    st.text(),
)


@given(st.lists(apps))
def test_round_trip(listed: list[AppInfo]) -> None:
    assert decode_apps(encode_apps(listed)) == listed


@given(st.binary())
def test_any_bytes(body: bytes) -> None:
    try:
        decode_apps(body)
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[1]", b'[{"protocol":"tcp"}]', b'[{"name":1}]', b'[{"name":"x","ports":["1"]}]',
     b'[{"name":"x","ports":[0]}]', b'[{"name":"x","ports":{}}]'],
)  # fmt: skip
def test_malformed(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_apps(body)


def test_what_managers_send() -> None:
    body = (
        b'[{"name":"jupyter","protocol":"http","ports":[8081],"allowed_arguments":{"--x":null},'
        b'"allowed_envs":["PASSWORD"]}]'
    )
    info = AppInfo("jupyter", "http", (8081,), "", ("--x",), ("PASSWORD",))
    assert decode_apps(body) == [info]
    assert decode_apps(b"[]") == []


def test_connection() -> None:
    assert connection_query("jupyter", half_close=False) == (("app", "jupyter"),)
    query = dict(connection_query("jupyter", half_close=True))
    assert query["app"] == "jupyter" and wants_half_close(query["halfClose"])
    assert not wants_half_close(None) and not wants_half_close("0")
    assert is_end_of_stream(END_OF_STREAM) and not is_end_of_stream("{}")
