"""Create, describe, destroy: what one side encodes, the other decodes, in every era."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.json_fields import encode_json
from backendai_trio.wire.kernels import (
    CreateRequest,
    KernelSpec,
    check_name,
)
from backendai_trio.wire.versions import (
    SEED,
    SESSION_6,
    TRANSITION,
    Era,
    Hello,
    choose_era,
)

from .strategies import any_json, console_text, eras, quick, tokens

_values = (st.text(max_size=10) | console_text).filter(lambda text: "\0" not in text)
_variables = st.dictionaries(
    _values.filter(lambda name: name and "=" not in name), _values, max_size=3
)
_specs = st.builds(
    KernelSpec,
    runtime=st.text(min_size=1),
    environ=_variables,
    mounts=st.lists(st.from_regex(r"[^:/]+", fullmatch=True), max_size=3, unique=True).map(tuple),
    resources=st.dictionaries(st.text(), st.text(), max_size=2),
)
_counts = st.integers(0, 2**60)


# --- names ---------------------------------------------------------------------------------------

NEWEST = Hello("v9.20250722", "26.9.6")


@pytest.mark.parametrize("manager", ["26.4.4", "26.8.1", "26.9.6", "27.0"])
@given(st.uuids(), st.sampled_from([str, lambda key: key.hex, lambda key: key.hex.upper()]))
@quick
def test_a_name_that_reads_as_a_uuid_is_refused(
    manager: str, key: uuid.UUID, spell: Callable[[uuid.UUID], str]
) -> None:
    hello = Hello("v9.20250722", manager)
    with pytest.raises(LocalProtocolError, match=r"reads as a UUID.*use another token"):
        check_name(hello, spell(key))


@pytest.mark.parametrize("manager", ["", "18.12.0", "23.09.10", "26.4.3", "gateway 1"])
def test_older_servers_take_any_name(manager: str) -> None:
    token = uuid.uuid4().hex
    assert check_name(Hello("v6.20200815", manager), token) == token


@given(tokens)
@quick
def test_what_does_not_parse_as_a_uuid_may_be_a_name(token: str) -> None:
    try:
        uuid.UUID(token)
    except ValueError:
        assert check_name(NEWEST, token) == token


# --- create --------------------------------------------------------------------------------------


@given(st.builds(CreateRequest, tokens, _specs, st.booleans()), eras)
@settings(deadline=None, max_examples=80)
def test_create_request_round_trip(request: CreateRequest, era: Era) -> None:
    expected = request
    if era.prefix:  # seed servers know no resources
        expected = replace(expected, spec=replace(expected.spec, resources={}))
    if not era.names_session:  # and none before 20.03 can be told not to join
        expected = replace(expected, reuse=True)
    assert CreateRequest.decode(request.encode(era)) == expected


def test_create_request_on_the_wire() -> None:
    spec = KernelSpec(
        runtime="python:3.11", environ={"A": "1"}, mounts=("data",), resources={"cpu": "1"}
    )
    request = CreateRequest("my-token", spec, reuse=False)
    config = {"mounts": ["data"], "environ": {"A": "1"}}
    slots = {"resources": {"cpu": "1"}}
    # Managers from 19.03 to 23.03.4 fail without the key.
    plain = CreateRequest("my-token", KernelSpec(runtime="python"))
    for era in (TRANSITION, SESSION_6):
        assert json.loads(plain.encode(era))["config"] == {"resources": {}}
    assert json.loads(plain.encode(choose_era(Hello("v4.20181215"))))["config"] == {}
    assert json.loads(request.encode(SEED)) == {
        "lang": "python:3.11",
        "clientSessionToken": "my-token",
        "config": config,
    }
    assert json.loads(request.encode(TRANSITION)) == {
        "lang": "python:3.11",
        "clientSessionToken": "my-token",
        "config": config | slots,
    }
    assert json.loads(request.encode(SESSION_6)) == {
        "name": "my-token",
        "image": "python:3.11",
        "reuseIfExists": False,
        "config": config | slots,
    }
    # Managers refuse keys they do not know, so nothing is sent that was not asked for.
    bare = CreateRequest("t", KernelSpec(runtime="c"))
    assert json.loads(bare.encode(SESSION_6))["config"] == {"resources": {}}


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        # The first client: `envs`, and null for what is not given.
        (
            {
                "lang": "python3",
                "clientSessionToken": "mysession01",
                "config": {"mounts": None, "envs": None},
            },
            CreateRequest("mysession01", KernelSpec(runtime="python3")),
        ),
        (
            {"lang": "c", "clientSessionToken": "t", "config": {"envs": {"A": "1", "N": None}}},
            CreateRequest("t", KernelSpec(runtime="c", environ={"A": "1"})),
        ),
        (
            {"lang": "c", "clientSessionToken": "t", "config": {"environ": {"A": 1, "B": 1.5}}},
            CreateRequest("t", KernelSpec(runtime="c", environ={"A": "1", "B": "1.5"})),
        ),
        (
            {"lang": "c", "clientSessionToken": "t"},
            CreateRequest("t", KernelSpec(runtime="c")),
        ),
        (
            {"image": "c", "session_name": "t", "reuse": False, "type": "interactive"},
            CreateRequest("t", KernelSpec(runtime="c"), reuse=False),
        ),
        (
            {"image": "new", "lang": "old", "name": "n", "clientSessionToken": "o"},
            CreateRequest("n", KernelSpec(runtime="new")),
        ),
    ],
)
def test_forms_of_a_create_request(body: object, request_: CreateRequest) -> None:
    assert CreateRequest.decode(encode_json(body)) == request_


@pytest.mark.parametrize(
    "change",
    [
        {"clientSessionToken": None},
        {"clientSessionToken": 5},
        {"clientSessionToken": ""},
        {"clientSessionToken": "../x"},
        {"clientSessionToken": "a b"},
        {"clientSessionToken": "a\n"},
        {"clientSessionToken": "x" * 65},
        {"clientSessionToken": "ünicode"},
        {"lang": None},
        {"lang": ["c"]},
        {"config": []},
        {"config": {"environ": []}},
        {"config": {"environ": {"A": []}}},
        {"config": {"environ": {"": "x"}}},
        {"config": {"environ": {"A=B": "x"}}},
        {"config": {"environ": {"A\0": "x"}}},
        {"config": {"environ": {"A": "x\0y"}}},
        {"config": {"mounts": "data"}},
        {"config": {"mounts": [1]}},
        {"config": {"resources": {"cpu": {}}}},
        {"reuseIfExists": "no"},
    ],
    ids=repr,
)
def test_create_request_refused(change: dict[str, Any]) -> None:
    body = {"lang": "c", "clientSessionToken": "t", "config": {}} | change
    with pytest.raises(RemoteProtocolError):
        CreateRequest.decode(encode_json(body))


@pytest.mark.parametrize("token", ["a", "_", "a.b-c_d", "0", "x" * 64, "a.-b"])
def test_token_is_taken(token: str) -> None:
    assert CreateRequest(token, KernelSpec(runtime="c")).token == token


@pytest.mark.parametrize(
    "token", ["", "-", ".", "..", "-a", "a-", "a.", ".a", "a/b", "a b", "a\n", "x" * 65, "é", "٣"]
)
def test_token_is_refused(token: str) -> None:
    with pytest.raises(LocalProtocolError):
        CreateRequest(token, KernelSpec(runtime="c"))


@given(
    st.binary()
    | st.fixed_dictionaries(
        {},
        optional={
            "name": tokens | any_json,
            "clientSessionToken": tokens | any_json,
            "image": st.text() | any_json,
            "lang": any_json,
            "reuseIfExists": any_json,
            "config": st.fixed_dictionaries(
                {},
                optional={
                    "environ": any_json,
                    "envs": any_json,
                    "mounts": any_json,
                    "resources": any_json,
                },
            )
            | any_json,
        },
    ).map(encode_json)
)
@settings(deadline=None, max_examples=80)
@example(b"[" * 100_000)
def test_any_create_request_is_read_or_refused(body: bytes) -> None:
    try:
        request = CreateRequest.decode(body)
    except RemoteProtocolError:
        return
    assert 1 <= len(request.token) <= 64
    for name, value in request.spec.environ.items():
        assert name
        assert "=" not in name
        assert "\0" not in name + value
