"""Replies about kernels: to create, info and destroy."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.files import Listing
from backendai_trio.wire.json_fields import encode_json
from backendai_trio.wire.kernels import (
    CreateReply,
    KernelInfo,
    Statistics,
)
from backendai_trio.wire.versions import (
    SEED,
    Era,
)

from .strategies import any_json, eras, quick, tokens

_counts = st.integers(0, 2**60)

# --- reply to create -----------------------------------------------------------------------------


@given(st.builds(CreateReply, tokens, st.text(), st.booleans(), st.text()), eras)
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
            "kernelId": any_json,
            "sessionId": any_json,
            "sessionName": any_json,
            "status": any_json,
            "created": any_json,
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
        memory_used_kib=_counts,
        cpu_ms=_counts,
    ),
    eras,
)
@quick
def test_info_round_trip(info: KernelInfo, era: Era) -> None:
    # What the keys of the era do not hold.
    known = replace(info, memory_kib=0) if era.names_session else replace(info, status="RUNNING")
    assert KernelInfo.decode(info.encode(era)) == known


@pytest.mark.parametrize(
    ("status", "ended"),
    [("RUNNING", False), ("PENDING", False), ("terminated", True), ("TERMINATING", True),
     ("CANCELLED", True), ("ERROR", True)],
)  # fmt: skip
def test_kernels_that_have_ended(status: str, ended: bool) -> None:
    assert KernelInfo("python", status).has_ended is ended


@pytest.mark.parametrize(
    ("body", "info"),
    [
        (
            {"lang": "python", "age": 1234.5678, "memoryLimit": 1024, "cpuCreditUsed": 7},
            KernelInfo("python", age_ms=1234, memory_kib=1024, cpu_ms=7),
        ),
        ({"lang": "c", "memoryUsed": -1}, KernelInfo("c")),
        (
            {"lang": "c", "memoryUsed": 5, "cpuCreditUsed": 3},
            KernelInfo("c", memory_used_kib=5, cpu_ms=3),
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
            "lang": st.just("c") | any_json,
            "status": any_json,
            "age": any_json,
            "numQueriesExecuted": any_json,
            "memoryLimit": any_json,
            "cpuCreditUsed": any_json,
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


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, _counts)), eras)
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
                st.sampled_from(NAMES), st.fixed_dictionaries({"current": any_json}) | any_json
            )
            | any_json
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


@given(st.floats() | st.integers() | st.none() | st.text(max_size=3))
@example(1e300)
@example(float("nan"))
@example(10**400)
@example(-(2**63))
def test_times_of_files_can_be_set(moment: object) -> None:
    """A server may list any number; downloads keep the times."""
    rows = json.dumps([{"filename": "a", "mode": "-rw-r--r--", "size": 1, "mtime": moment}])
    listing = Listing.decode(json.dumps({"files": rows, "errors": "", "abspath": "/"}).encode())
    assert [abs(file.modified) < 2**38 for file in listing.files] == [True]
