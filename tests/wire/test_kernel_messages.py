"""Create, describe, destroy: what one side encodes, the other decodes, in every era."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.json_fields import encode_json
from backendai_trio.wire.kernels import (
    CreateReply,
    CreateRequest,
    KernelInfo,
    KernelSpec,
    Statistics,
    check_name,
)
from backendai_trio.wire.versions import (
    ERAS,
    SEED,
    SESSION_6,
    TRANSITION,
    Era,
    Hello,
    choose_era,
)

quick = settings(deadline=None, max_examples=50)

ALL = [*ERAS, choose_era(Hello("v4.20181215")), choose_era(Hello("v9.20250722"))]
_eras = st.sampled_from(ALL)
_tokens = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?", fullmatch=True)
_console = st.binary(max_size=10).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
_values = (st.text(max_size=10) | _console).filter(lambda text: "\0" not in text)
_variables = st.dictionaries(
    _values.filter(lambda name: name and "=" not in name), _values, max_size=3
)
_specs = st.builds(
    KernelSpec,
    runtime=st.text(),
    environ=_variables,
    mounts=st.lists(st.from_regex(r"[^:/]+", fullmatch=True), max_size=3).map(tuple),
    resources=st.dictionaries(st.text(), st.text(), max_size=2),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
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


@given(_tokens)
@quick
def test_what_does_not_parse_as_a_uuid_may_be_a_name(token: str) -> None:
    try:
        uuid.UUID(token)
    except ValueError:
        assert check_name(NEWEST, token) == token


# --- create --------------------------------------------------------------------------------------


@given(st.builds(CreateRequest, _tokens, _specs, st.booleans()), _eras)
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
            "name": _tokens | _json,
            "clientSessionToken": _tokens | _json,
            "image": st.text() | _json,
            "lang": _json,
            "reuseIfExists": _json,
            "config": st.fixed_dictionaries(
                {},
                optional={
                    "environ": _json,
                    "envs": _json,
                    "mounts": _json,
                    "resources": _json,
                },
            )
            | _json,
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


# --- reply to create -----------------------------------------------------------------------------


@given(st.builds(CreateReply, _tokens, st.text(), st.booleans(), st.text()), _eras)
@quick
def test_create_reply_round_trip(reply: CreateReply, era: Era) -> None:
    expected = reply
    if not era.names_session:  # the token is the id there
        expected = CreateReply(reply.token, reply.token, reply.created)
    assert CreateReply.decode(reply.encode(era), reply.token) == expected


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ({"kernelId": "t", "created": True}, CreateReply("t", "t", True)),
        ({"kernelId": "t", "created": False, "servicePorts": []}, CreateReply("t", "t", False)),
        ({"kernelId": "t"}, CreateReply("t", "t", True)),
        (
            {"sessionId": "u", "sessionName": "t", "status": "PENDING", "created": True},
            CreateReply("t", "u", True, "PENDING"),
        ),
        (
            {"sessionId": "u", "status": "RUNNING", "service_ports": [], "created": False},
            CreateReply("t", "u", False),
        ),
    ],
)
def test_forms_of_a_create_reply(body: object, reply: CreateReply) -> None:
    assert CreateReply.decode(encode_json(body), "t") == reply


@given(
    st.binary()
    | st.fixed_dictionaries(
        {},
        optional={
            "kernelId": _json,
            "sessionId": _json,
            "sessionName": _json,
            "status": _json,
            "created": _json,
        },
    ).map(encode_json)
)
@settings(deadline=None, max_examples=80)
def test_any_create_reply_is_read_or_refused(body: bytes) -> None:
    try:
        reply = CreateReply.decode(body, "t")
    except RemoteProtocolError:
        return
    assert isinstance(reply.kernel_id, str)
    assert isinstance(reply.created, bool)


# --- info ----------------------------------------------------------------------------------------


@given(
    st.builds(
        KernelInfo,
        runtime=st.text(),
        status=st.text(),
        age_ms=st.integers(0, 10**14),
        queries=_counts,
        memory_kib=_counts,
        cpu_ms=_counts,
    ),
    _eras,
)
@quick
def test_info_round_trip(info: KernelInfo, era: Era) -> None:
    if era.names_session:
        expected = replace(info, memory_kib=0, cpu_ms=0)
    else:
        expected = replace(info, status="RUNNING")
    assert KernelInfo.decode(info.encode(era)) == expected


@pytest.mark.parametrize(
    ("body", "info"),
    [
        (
            {"lang": "python", "age": 1234.5678, "memoryLimit": 1024, "cpuCreditUsed": 7},
            KernelInfo("python", age_ms=1234, memory_kib=1024, cpu_ms=7),
        ),
        (
            {"lang": "old", "image": "new", "status": "PULLING", "statusInfo": "None", "age": 5},
            KernelInfo("new", "PULLING", 5),
        ),
        ({"lang": "c", "age": None, "memoryLimit": None}, KernelInfo("c")),
        ({"lang": "c", "age": "old"}, KernelInfo("c")),
        ({"lang": "c", "age": float("nan")}, KernelInfo("c")),
        ({"lang": "c", "age": float("-inf")}, KernelInfo("c")),
        ({"lang": "c", "age": 10**400}, KernelInfo("c")),
    ],
)
def test_forms_of_info(body: object, info: KernelInfo) -> None:
    assert KernelInfo.decode(encode_json(body)) == info


@given(
    st.binary()
    | st.fixed_dictionaries(
        {},
        optional={
            "lang": st.just("c") | _json,
            "status": _json,
            "age": _json,
            "numQueriesExecuted": _json,
            "memoryLimit": _json,
            "cpuCreditUsed": _json,
        },
    ).map(encode_json)
)
@settings(deadline=None, max_examples=80)
def test_any_info_is_read_or_refused(body: bytes) -> None:
    try:
        info = KernelInfo.decode(body)
    except RemoteProtocolError:
        return
    assert all(
        type(value) is int for value in (info.age_ms, info.queries, info.memory_kib, info.cpu_ms)
    )


# --- destroy -------------------------------------------------------------------------------------

NAMES = [item.name for item in fields(Statistics)]


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, _counts)), _eras)
@quick
def test_statistics_round_trip(values: dict[str, int], era: Era) -> None:
    statistics = Statistics(**values)
    assert Statistics.decode(statistics.encode(era)) == statistics


def test_statistics_of_the_seed_era_are_plain_numbers() -> None:
    """The first client prints `int(value)` of whatever is there."""
    stats = json.loads(Statistics(cpu_used=5).encode(SEED))["stats"]
    assert list(stats) == NAMES
    assert all(type(value) is int for value in stats.values())


def metrics(**values: object) -> bytes:
    return encode_json(
        {
            "stats": {"version": 2, "status": "terminated"}
            | {
                name: {"current": value, "capacity": None, "pct": "0.0"}
                for name, value in values.items()
            }
        }
    )


@pytest.mark.parametrize(
    ("body", "statistics"),
    [
        (b"{}", None),
        (b'{"stats": null}', None),
        (b'{"stats": {}}', None),
        (b'{"stats": {"status": "terminated"}}', None),
        (b'{"stats": {"cpu_used": 5}}', Statistics(cpu_used=5)),
        (b'{"stats": {"cpu_used": 5.9}}', Statistics(cpu_used=5)),
        (metrics(cpu_used="5", mem="7"), Statistics(cpu_used=5)),
        (metrics(cpu_used="5", net_rx_bytes="x"), Statistics(cpu_used=5)),
        (metrics(cpu_used="5", net_rx_bytes=[]), Statistics(cpu_used=5)),
        (metrics(cpu_used="5", net_rx_bytes=float("inf")), Statistics(cpu_used=5)),
        (metrics(cpu_used="5", net_rx_bytes="9" * 5000), Statistics(cpu_used=5)),
    ],
)
def test_forms_of_statistics(body: bytes, statistics: Statistics | None) -> None:
    assert Statistics.decode(body) == statistics


@pytest.mark.parametrize("written", ["2380.133", "2380.0", "2.380133E+3"])
def test_metric_with_a_fraction(written: str) -> None:
    """Managers write decimals with up to three places; CPU time nearly always has them."""
    body = metrics(cpu_used=written, mem_max_bytes="1024")
    assert Statistics.decode(body) == Statistics(cpu_used=2380, mem_max_bytes=1024)


@given(
    st.binary()
    | st.fixed_dictionaries(
        {
            "stats": st.dictionaries(
                st.sampled_from(NAMES), st.fixed_dictionaries({"current": _json}) | _json
            )
            | _json
        }
    ).map(encode_json)
)
@settings(deadline=None, max_examples=80)
@example(metrics(cpu_used="nan", mem_max_bytes="inf", io_read_bytes="-1e999"))
def test_any_statistics_are_read_or_refused(body: bytes) -> None:
    try:
        statistics = Statistics.decode(body)
    except RemoteProtocolError:
        return
    if statistics is not None:
        assert all(type(getattr(statistics, name)) is int for name in NAMES)
