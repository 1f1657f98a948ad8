"""Which era is spoken with which server."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.json_fields import encode_json
from backendai_trio.wire.signing import body_is_signed
from backendai_trio.wire.versions import (
    ERAS,
    SEED,
    SESSION_5,
    SESSION_6,
    TRANSITION,
    Era,
    Hello,
    choose_era,
)

from .strategies import any_json, quick


class Expected(NamedTuple):
    sent: str
    prefix: str
    noun: str
    create: str
    graphql: str
    enveloped: bool


SEED_ERA = Expected("v2.20170315", "/v2", "kernel", "/v2/kernel/create", "/v2/admin/graphql", False)


def transition(sent: str) -> Expected:
    return Expected(sent, "", "kernel", "/kernel/create", "/admin/graphql", False)


SESSION_5_ERA = Expected("v5.20191215", "", "session", "/session", "/admin/graphql", False)
SESSION_6_OLD = Expected("v6.20200815", "", "session", "/session", "/admin/graphql", False)
SESSION_6_NEW = Expected("v6.20200815", "", "session", "/session", "/admin/gql", True)

# Every version that any manager ever announced or listed.
LADDER = {
    "v1.20160915": SEED_ERA,
    "v2.20170315": SEED_ERA,
    "v3.20170615": SEED_ERA,
    "v4.20181215": transition("v4.20181215"),
    "v4.20190115": transition("v4.20190115"),
    "v4.20190315": transition("v4.20190315"),
    "v4.20190615": transition("v4.20190615"),
    "v5.20191215": SESSION_5_ERA,
    "v6.20200815": SESSION_6_OLD,
    "v6.20210815": SESSION_6_NEW,
    "v6.20220315": SESSION_6_NEW,
    "v6.20220615": SESSION_6_NEW,
    "v6.20221201": SESSION_6_NEW,
    "v6.20230315": SESSION_6_NEW,
    "v7.20230615": SESSION_6_NEW,
    "v8.20240315": SESSION_6_NEW,
    "v8.20240915": SESSION_6_NEW,
    "v9.20250722": SESSION_6_NEW,
    # Not there yet: majors compare as numbers.
    "v10.20300101": SESSION_6_NEW,
    "v4.20991231": transition("v4.20190615"),
}


@pytest.mark.parametrize(("version", "expected"), LADDER.items())
def test_ladder(version: str, expected: Expected) -> None:
    era = choose_era(Hello(version))
    assert expected == Expected(
        era.version,
        era.prefix,
        era.noun,
        era.create_path,
        era.graphql_path,
        era.graphql_enveloped,
    )


@pytest.mark.parametrize("version", LADDER)
def test_what_goes_together(version: str) -> None:
    era = choose_era(Hello(version))
    seed = era.prefix == "/v2"
    assert era.name in {known.name for known in ERAS}
    assert era.separate_detail is not seed
    assert era.metric_statistics is not seed
    assert era.names_session is (era.noun == "session")
    assert era.upload_max_files == (19 if seed else 20)
    assert era.upload_max_bytes == 1_048_575
    assert era.hello_path == ("/v2" if seed else "/")
    assert era.interrupts_need_code is seed
    assert era.folder_files_in_parts is (version in ("v4.20181215", "v4.20190115"))
    assert body_is_signed(era.version, "application/json") is seed
    assert era.create_path.startswith(era.prefix)
    assert era.graphql_path.startswith(era.prefix)


def test_eras_in_order() -> None:
    assert ERAS == (SEED, TRANSITION, SESSION_5, SESSION_6)
    keys = [Hello(era.version).key for era in ERAS]
    assert keys == sorted(keys)
    for era in ERAS[1:]:
        assert choose_era(Hello(era.version)) == era
    assert choose_era(Hello("v3.20170615")) == SEED


@pytest.mark.parametrize(
    ("era", "path"),
    [
        (SEED, "/v2/kernel/tok"),
        (TRANSITION, "/kernel/tok"),
        (SESSION_5, "/session/tok"),
        (SESSION_6, "/session/tok"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_session_path(era: Era, path: str) -> None:
    assert era.session_path("tok") == path
    assert era.session_path("tok", "interrupt") == f"{path}/interrupt"
    assert era.session_path("a/b?c", "x y") == path.replace("tok", "a%2Fb%3Fc/x%20y")
    assert era.path("folders", "a b") == f"{era.prefix}/folders/a%20b"


# --- hello ---------------------------------------------------------------------------------------

_versions = st.from_regex(r"v[0-9]{1,3}\.[0-9]{8}", fullmatch=True)


@given(st.builds(Hello, _versions, st.text(), st.text(), st.frozensets(st.text(), max_size=3)))
@quick
def test_hello_round_trip(hello: Hello) -> None:
    assert Hello.decode(hello.encode()) == hello


@given(_versions)
@quick
def test_every_version_has_an_era(version: str) -> None:
    hello = Hello(version)
    era = choose_era(hello)
    major, date = hello.key
    assert version == f"v{version[1:-9]}.{date}"
    assert major == int(version[1:-9])
    assert era.version.isascii()
    # Never one of the two versions that some manager of the line refuses (docs/protocol.md,
    # section 1.4).
    assert era.version not in ("v6.20210815", "v6.20221201")
    assert Hello(era.version).key <= (6, "20200815")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"version": null}',
        b'{"version": 6}',
        b'{"version": ""}',
        b'{"version": "6.20200815"}',
        b'{"version": "v6"}',
        b'{"version": "v6.2020"}',
        b'{"version": "v6.20200815\\n"}',
        b'{"version": " v6.20200815"}',
        b'{"version": "v6.20200815", "manager": 26}',
        b'{"version": "v6.20200815", "gateway": []}',
        b'{"version": "v6.20200815", "gateway": {"features": "x"}}',
        b'{"version": "v6.20200815", "gateway": {"features": [1]}}',
        b"<html>nginx</html>",
    ],
)
def test_not_a_server_of_ours(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Hello.decode(body)


def test_hello_of_a_manager() -> None:
    hello = Hello.decode(b'{"version": "v9.20250722", "manager": "26.8.1"}')
    assert hello == Hello("v9.20250722", "26.8.1")
    assert hello.key == (9, "20250722")
    assert Hello.decode(b'{"version": "v3.20170615"}') == Hello("v3.20170615")
    assert b"gateway" not in hello.encode()


@given(
    st.binary()
    | st.fixed_dictionaries(
        {},
        optional={
            "version": _versions | any_json,
            "manager": any_json,
            "gateway": st.fixed_dictionaries(
                {}, optional={"isolation": any_json, "features": any_json}
            )
            | any_json,
        },
    ).map(encode_json)
)
@settings(deadline=None, max_examples=80)
@example('{"version": "v٤.٢٠١٨١٢١٥"}'.encode())
def test_any_body_is_a_hello_or_refused(body: bytes) -> None:
    try:
        hello = Hello.decode(body)
    except RemoteProtocolError:
        return
    era: Any = choose_era(hello)
    assert isinstance(era, Era)
    assert era.version.isascii()


@pytest.mark.parametrize(
    ("release", "loses", "trash"),
    [
        ("", False, False),
        ("23.09.10", False, False),
        ("24.03.0", False, True),
        ("24.09.11", False, True),
        ("24.09.12", True, True),
        ("24.12.1", False, True),
        ("25.6.13", True, True),
        ("25.7.0", False, True),
        ("25.11.1", True, True),
        ("26.9.6", True, True),
    ],
)
def test_what_releases_do(release: str, loses: bool, trash: bool) -> None:
    hello = Hello("v8.20240915", release)
    assert (hello.loses_batch_ends, hello.has_trash) == (loses, trash)


def test_eras_have_the_limits_of_the_contract() -> None:
    assert (SEED.upload_max_files, SESSION_6.upload_max_files) == (19, 20)


def test_servers_are_named_by_their_release_where_they_tell_it() -> None:
    assert Hello("v7.20230615", "23.09.10").name == "manager 23.09.10"
    assert Hello("v5.20191215").name == "a server of API v5.20191215"
