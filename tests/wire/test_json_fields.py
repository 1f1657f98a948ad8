"""Typed look-ups in JSON that a stranger wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.json_fields import Fields, decode_json, encode_json

from .strategies import console_text, quick

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def fields(**values: object) -> Fields:
    return Fields(values, "thing")


def refused(look_up: Callable[[], object]) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        look_up()
    return str(caught.value)


# --- JSON ----------------------------------------------------------------------------------------


@given(_json)
@quick
def test_json_round_trip(value: Any) -> None:
    body = encode_json(value)
    assert body.isascii()
    # Written out again instead of compared: NaN is not equal to itself.
    assert encode_json(decode_json(body, "thing")) == body


@given(console_text)
@quick
@example("\udc80\udcff")
@example("\udcf0\udc9f\udc98")
def test_undecodable_bytes_of_a_program_survive(text: str) -> None:
    assert decode_json(encode_json(text), "thing") == text
    assert decode_json(encode_json([text, {"x": text}]), "thing") == [text, {"x": text}]


@given(st.binary())
@settings(deadline=None, max_examples=80)
@example(b"")
@example(b"\xff")
@example(b"\xef\xbb\xbf{}")
@example(b"\x00" * 5)
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"9" * 5_000)
@example(b"<html>502 Bad Gateway</html>")
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        decode_json(body, "thing")
    except RemoteProtocolError as exc:
        assert str(exc).startswith("thing: ")
        assert len(str(exc)) < 400


@given(_json | st.lists(st.none()))
@quick
def test_only_an_object_has_fields(value: object) -> None:
    if isinstance(value, dict):
        assert Fields(value, "thing").everything() is value
        assert Fields.parse(encode_json(value), "thing").everything().keys() == value.keys()
    else:
        text = refused(lambda: Fields(value, "thing"))
        assert text == f"thing: expected an object, got {type(value).__name__}"


# --- look-ups ------------------------------------------------------------------------------------


def test_missing_and_null_are_the_same() -> None:
    for empty in (fields(), fields(a=None)):
        assert empty.raw("a") is None
        assert empty.text("a", default="d") == "d"
        assert empty.text("a", default="") == ""
        assert empty.integer("a", default=0) == 0
        assert empty.flag("a", default=False) is False
        assert empty.items("a") == []
        assert empty.texts("a") == ()
        assert empty.mapping("a") == {}
        assert empty.nested("a").everything() == {}
        for look_up in (empty.text, empty.integer, empty.flag):
            assert refused(partial(look_up, "a")).endswith("got nothing")


def test_names_stand_in_order_of_preference() -> None:
    assert fields(new="n", old="o").text("new", "old") == "n"
    assert fields(new=None, old="o").text("new", "old") == "o"
    assert fields(old="o").text("new", "old") == "o"
    # Empty is there all the same.
    assert fields(new="", old="o").text("new", "old") == ""
    assert fields(new=False, old=True).flag("new", "old") is False
    assert fields(new=0, old=1).integer("new", "old") == 0
    # A wrong value is not made good by an older name.
    assert "new must be str, got int" in refused(lambda: fields(new=1, old="o").text("new", "old"))


@pytest.mark.parametrize("value", [0, -1, 2**70, 5.0, -0.0])
def test_integer(value: float) -> None:
    found = fields(a=value).integer("a")
    assert found == value
    assert type(found) is int


@pytest.mark.parametrize("value", [True, False, 1.5, float("inf"), float("nan"), "1", [], {}])
def test_no_integer(value: object) -> None:
    text = refused(lambda: fields(a=value).integer("a", default=0))
    assert text == f"thing: a must be int, got {type(value).__name__}"


@pytest.mark.parametrize("value", [0, 1, "true", [], {}, 0.0])
def test_no_flag(value: object) -> None:
    assert "a must be bool" in refused(lambda: fields(a=value).flag("a", default=True))


@pytest.mark.parametrize("value", [1, True, ["x"], {"x": "y"}, 1.5])
def test_no_text(value: object) -> None:
    assert "a must be str" in refused(lambda: fields(a=value).text("a", default=""))


def test_mapping_writes_numbers_out_and_drops_nulls() -> None:
    found = fields(a={"s": "x", "i": 1, "f": 1.5, "n": None, "e": ""}).mapping("a")
    assert found == {"s": "x", "i": "1", "f": "1.5", "e": ""}
    for wrong in (fields(a={"a": []}), fields(a={"a": {}}), fields(a={"a": "x", "b": [1]})):
        assert "a must hold plain values only" in refused(partial(wrong.mapping, "a"))
    assert "a must be dict, got list" in refused(lambda: fields(a=[]).mapping("a"))


def test_texts() -> None:
    assert fields(a=["x", ""]).texts("a") == ("x", "")
    for wrong in (fields(a=[1]), fields(a=["x", None]), fields(a=[["x"]])):
        assert "a must be a list of strings" in refused(partial(wrong.texts, "a"))
    assert "a must be list, got str" in refused(lambda: fields(a="x").texts("a"))


def test_nested_says_where_it_stands() -> None:
    inner = fields(a={"b": 1}).nested("a")
    assert refused(lambda: inner.text("b")) == "thing, a: b must be str, got int"
    assert "a must be dict, got list" in refused(lambda: fields(a=[]).nested("a"))


@given(st.dictionaries(st.sampled_from(["a", "b"]), _json))
@settings(deadline=None, max_examples=80)
def test_any_object_gives_a_typed_value_or_is_refused(values: dict[str, Any]) -> None:
    thing = Fields(values, "thing")
    look_ups: list[tuple[Callable[[], object], type]] = [
        (lambda: thing.text("a", "b"), str),
        (lambda: thing.integer("a", "b"), int),
        (lambda: thing.flag("a", "b"), bool),
        (lambda: thing.items("a", "b"), list),
        (lambda: thing.nested("a", "b"), Fields),
        (lambda: thing.mapping("a", "b"), dict),
        (lambda: thing.texts("a", "b"), tuple),
    ]
    for look_up, kind in look_ups:
        try:
            assert type(look_up()) is kind
        except RemoteProtocolError:
            continue


def test_encoding_is_compact() -> None:
    assert encode_json({"a": [1, "ü"]}) == b'{"a":[1,"\\u00fc"]}'
    assert json.loads(encode_json({"a": [1, "ü"]})) == {"a": [1, "ü"]}
