"""Lists of the admin API: what each era is asked, and rows of any era."""

from __future__ import annotations

import graphql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.gateway.api.graphql_schema import schema_of
from backendai_trio.wire.admin_kinds import MANAGED_KINDS
from backendai_trio.wire.admin_lists import KINDS, Kind, SessionRow, listing, only_living
from backendai_trio.wire.listings import LIST_FILTERS, REQUESTED_SLOTS
from backendai_trio.wire.versions import (
    SEED,
    SESSION_5,
    SESSION_6,
    TRANSITION,
    Era,
    Hello,
    choose_era,
)

from .strategies import json_values

NEWEST = choose_era(Hello("v9.20250722"))
BEFORE_LISTS = choose_era(Hello("v4.20181215"))
ALL = [SEED, BEFORE_LISTS, TRANSITION, SESSION_5, SESSION_6, NEWEST]
each_era = pytest.mark.parametrize(
    "era", ALL, ids=lambda era: f"{era.name}{era.graphql_path}{era.version}"
)
each_kind = pytest.mark.parametrize("kind", KINDS)

# What the schemas of the eras have, reduced to the sessions.
_OLD_SCHEMAS = {
    "seed": graphql.build_schema("""
        type Session { sess_id: String id: ID lang: String status: String status_info: String
                       created_at: String terminated_at: String mem_slot: Int cpu_slot: Int
                       gpu_slot: Int }
        type Query { compute_sessions(access_key: String, status: String): [Session] }
    """),
    "transition": graphql.build_schema("""
        type Session { sess_id: String lang: String status: String status_info: String
                       created_at: String terminated_at: String occupied_slots: String }
        type Sessions { items: [Session] total_count: Int }
        type Query { compute_session_list(limit: Int!, offset: Int!, order_key: String,
                     order_asc: Boolean, access_key: String, status: String): Sessions }
    """),
    "session-5": graphql.build_schema("""
        type Session { id: ID name: String image: String status: String status_info: String
                       created_at: String terminated_at: String occupied_slots: String
                       access_key: String group_name: String scaling_group: String tag: String }
        type Sessions { items: [Session] total_count: Int }
        type Query { compute_session_list(limit: Int!, offset: Int!, order_key: String,
                     order_asc: Boolean, domain_name: String, group_id: String, access_key: String,
                     status: String): Sessions }
    """),
}
_GATEWAY_SCHEMA = graphql.build_schema(schema_of())


@each_era
@pytest.mark.parametrize("status", ["RUNNING", None])
def test_sessions_fit_the_schema_of_their_era(era: Era, status: str | None) -> None:
    seed = era in (SEED, BEFORE_LISTS)
    schema = _OLD_SCHEMAS["seed"] if seed else _OLD_SCHEMAS.get(era.name, _GATEWAY_SCHEMA)
    question = listing("sessions", era)
    arguments = {} if status is None else {"status": status}
    query = question.query(offset=20, limit=10, arguments=arguments)
    document = graphql.parse(query.text)
    assert graphql.validate(schema, document) == []
    row = {"sess_id": "t", "name": "t", "lang": "c", "image": "c", "status": "RUNNING"}
    rows: object = [row] if seed else {"items": [row], "total_count": 31}
    asked = {}

    def resolve(_info: object, **arguments: object) -> object:
        asked.update(arguments)
        return rows

    result = graphql.execute(
        schema,
        document,
        root_value={question.root: resolve},
        variable_values=dict(query.variables),
    )
    assert isinstance(result, graphql.ExecutionResult)
    assert result.errors is None and result.data is not None
    found, total = question.decode(result.data)
    assert [SessionRow.decode(item) for item in found] == [SessionRow("t", "c", "RUNNING", "")]
    assert total == (1 if seed else 31)
    page = {} if seed else {"offset": 20, "limit": 10}
    assert asked == page | arguments


@each_era
@each_kind
def test_the_gateway_can_be_asked(era: Era, kind: Kind) -> None:
    """Its schema has all that this library asks of any era, or the era has no such list."""
    no_lists = {SEED: {"images", "users"}, BEFORE_LISTS: {"users"}}
    if (
        kind in {*MANAGED_KINDS} - {"keypairs", "users"} | no_lists.get(era, set())
        and era in no_lists
    ):
        since = r"1\.4" if kind == "images" else r"19\.03"
        text = f"has no list of {kind}; managers have that from {since} on"
        with pytest.raises(LocalProtocolError, match=text):
            listing(kind, era)
        return
    if era in (TRANSITION, SESSION_5) and kind == "sessions":
        return  # these ask for a field that is gone since; they have schemas of their own above
    question = listing(kind, era)
    every = dict.fromkeys(question.arguments or {}, "x")
    for arguments in ({}, every):
        query = question.query(arguments=arguments)
        assert graphql.validate(_GATEWAY_SCHEMA, graphql.parse(query.text)) == []


def test_before_19_03_no_list_is_paged() -> None:
    """As managers 1.4 to 18.12 have them: anything of a later schema is refused as a whole."""
    for kind, root in {
        "sessions": "compute_sessions",
        "agents": "agents",
        "images": "images",
        "keypairs": "keypairs",
        "vfolders": "vfolders",
    }.items():
        question = listing(kind, BEFORE_LISTS)  # type: ignore[arg-type]
        assert (question.root, question.paged) == (root, False)
    query = listing("images", BEFORE_LISTS).query().text
    assert query == "query { images { name tag digest: hash } }"
    for kind in ("users", "keypairs", "vfolders"):
        assert not listing(kind, TRANSITION).paged  # type: ignore[arg-type]
    assert "permission" not in listing("vfolders", TRANSITION).columns


@each_era
@each_kind
def test_secret_keys_are_never_asked_for(era: Era, kind: Kind) -> None:
    try:
        assert "secret" not in listing(kind, era).query().text
    except LocalProtocolError:
        assert era in (SEED, BEFORE_LISTS)


def test_an_argument_that_a_list_does_not_take() -> None:
    with pytest.raises(LocalProtocolError, match="images cannot be listed by status"):
        listing("images", SESSION_6).query(arguments={"status": "x"})


@each_kind
def test_every_era_has_the_same_keys(kind: Kind) -> None:
    """What a server does not have is null."""
    keys = set()
    for era in ALL:
        try:
            question = listing(kind, era)
        except LocalProtocolError:
            continue
        for form in (question, question.own):
            if form is not None:
                rows: object = {"items": [{}]} if form.paged else [{}]
                ((row,), _) = form.decode({form.root: rows})
                keys.add(tuple(row))
    assert len(keys) == 1, keys


def test_values_of_a_row() -> None:
    item = {"id": "i-1", "mem_slots": 512, "cpu_slots": 2, "gpu_slots": None}
    ((row,), _) = listing("agents", SEED).decode({"agents": [item]})
    assert row["available_slots"] == {"mem": "512", "cpu": "2"}
    assert (row["id"], row["scaling_group"]) == ("i-1", None)
    item = {"id": "i-1", "available_slots": '{"cpu": "2"}', "occupied_slots": "no JSON"}
    ((row,), _) = listing("agents", NEWEST).decode({"agent_list": {"items": [item]}})
    assert (row["available_slots"], row["occupied_slots"]) == ({"cpu": "2"}, "no JSON")


def test_selected_columns() -> None:
    sessions = listing("sessions", SEED).selected(["status", "name", "occupied_slots", "agent"])
    assert sessions.query().text == (
        "query { compute_sessions { status name: sess_id mem_slot cpu_slot gpu_slot agent } }"
    )
    item = {"name": "t", "status": "RUNNING", "cpu_slot": 1, "agent": "i-1"}
    ((row,), _) = sessions.decode({"compute_sessions": [item]})
    assert [*row.items()] == [
        ("status", "RUNNING"),
        ("name", "t"),
        ("occupied_slots", {"cpu": "1"}),
        ("agent", "i-1"),
    ]


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("sessions", "name }", "'name }' is not the name"),
        ("sessions", "group_name", "compute_sessions has no group_name on this server; it has "),
        ("keypairs", "secret_key", "secret_key is a secret"),
        ("keypairs", "ssh_private_key", "ssh_private_key is a secret"),
    ],
)
def test_columns_that_are_refused(kind: Kind, name: str, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        listing(kind, SEED).selected([name])


OURS = Hello(SESSION_6.version, features=frozenset({LIST_FILTERS}))
PAGED = pytest.mark.parametrize("kind", ["sessions", "agents", "keypairs", "users", "vfolders"])


@PAGED
@pytest.mark.parametrize(("era", "hello"), [(NEWEST, None), (SESSION_6, OURS)], ids=str)
def test_filters_and_orders(kind: Kind, era: Era, hello: Hello | None) -> None:
    query = listing(kind, era, hello).query(filter='a == "b"', order="-x,+y")
    assert {"filter": 'a == "b"', "order": "-x,+y"}.items() <= query.variables.items()
    assert graphql.validate(_GATEWAY_SCHEMA, graphql.parse(query.text)) == []


@PAGED
@pytest.mark.parametrize("era", [SESSION_5, SESSION_6], ids=lambda era: era.name)
def test_one_column_to_sort_by_up_to_20_09_20(kind: Kind, era: Era) -> None:
    for text, column, ascending in [("-x", "x", False), ("+x", "x", True), (" x", "x", True)]:
        query = listing(kind, era).query(order=text)
        assert {"order_key": column, "order_asc": ascending}.items() <= query.variables.items()
    with pytest.raises(LocalProtocolError, match="by one column"):
        listing(kind, era).query(order="-x,+y")
    with pytest.raises(LocalProtocolError, match=r"does not filter .*20\.09\.21"):
        listing(kind, era).query(filter="a == 1")


@each_era
def test_what_comes_in_one_piece_is_neither_filtered_nor_sorted(era: Era) -> None:
    kinds: list[Kind] = ["keypairs", "vfolders"]
    for kind in kinds if era in (SEED, BEFORE_LISTS, TRANSITION) else ("scaling-groups", "images"):
        with pytest.raises(LocalProtocolError, match="does not filter"):
            listing(kind, era).query(filter="a == 1")
        with pytest.raises(LocalProtocolError, match="does not sort"):
            listing(kind, era).query(order="a")


@pytest.mark.parametrize(
    ("era", "status", "filter"),
    [
        (SEED, "RUNNING", ""),
        (BEFORE_LISTS, "RUNNING", ""),
        (choose_era(Hello("v4.20190315")), "RUNNING", ""),
        (TRANSITION, "PENDING,PREPARING,PULLING,RUNNING,RESTARTING,TERMINATING,ERROR", ""),
        (SESSION_5, "PENDING,PREPARING,PULLING,RUNNING,RESTARTING,TERMINATING,ERROR", ""),
        (NEWEST, None, '(status != "CANCELLED") & (status != "TERMINATED")'),
    ],
    ids=lambda value: getattr(value, "version", None),
)
def test_sessions_that_have_not_ended(era: Era, status: str | None, filter: str) -> None:
    question = listing("sessions", era)
    arguments, found = only_living(question, era, {"access_key": "a"}, "")
    assert (arguments["access_key"], arguments.get("status"), found) == ("a", status, filter)
    if filter:
        combined = only_living(question, era, {}, "x == 1 | y == 2")[1]
        assert combined == f"(x == 1 | y == 2) & ({filter})"


@pytest.mark.parametrize(
    ("release", "types"),
    [
        ("23.09.10", []),
        ("24.03.7", ["GENERAL", "MODEL_STORE"]),
        ("26.4.7", ["GENERAL", "MODEL_STORE"]),
        ("26.9.6", ["GENERAL", "MODEL_STORE", "PERSONAL"]),
    ],
)
def test_projects_of_all_types(release: str, types: list[str]) -> None:
    query = listing("projects", SESSION_6, Hello("v8.20240915", release)).query()
    assert query.variables.get("type", []) == types
    assert ("groups(type: $type)" in query.text) == query.text.endswith("type } }") == bool(types)


def test_slots_of_a_session_that_waits() -> None:
    asked = '{"cpu": "2"}'
    row = {"name": "t", "occupied_slots": "{}", "requested_slots": asked}
    assert SessionRow.decode(row).slots == {"cpu": "2"}
    assert SessionRow.decode(row | {"occupied_slots": '{"cpu": "1"}'}).slots == {"cpu": "1"}
    hello = Hello("v9.20250722", "24.03.10")
    assert "requested_slots" in listing("sessions", NEWEST, hello).columns
    older = Hello("v7.20230615", "23.09.10")
    assert "requested_slots" not in listing("sessions", NEWEST, older).columns
    ours = Hello("v6.20200815", "backendai-trio/0.1.0", features=frozenset({REQUESTED_SLOTS}))
    assert "requested_slots" in listing("sessions", NEWEST, ours).columns
    assert listing("projects", NEWEST, ours) == listing("projects", NEWEST, older)
    for era in (SEED, TRANSITION):  # their rows have none
        assert "requested_slots" not in listing("sessions", era, ours).columns


def test_why_a_session_waits() -> None:
    data = {"scheduler": {"failed_predicates": [{"msg": "no agent has 9 GPUs"}]}}
    row = {"name": "t", "status_info": "no-available-instances", "status_data": data}
    assert SessionRow.decode(row).reason == "no-available-instances: no agent has 9 GPUs"


def test_no_such_kind() -> None:
    with pytest.raises(LocalProtocolError, match="'agent' cannot be listed; use one of agents, "):
        listing("agent", SESSION_6)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["sessions", "images", "keypairs"])
@given(answer=st.dictionaries(st.sampled_from(["images", "keypair_list", "x"]), json_values))
@settings(deadline=None, max_examples=60)
def test_any_answer_is_read_or_refused(kind: Kind, answer: dict[str, object]) -> None:
    try:
        rows, total = listing(kind, SESSION_6).decode(answer)
    except RemoteProtocolError as exc:
        assert str(exc)
    else:
        assert all(isinstance(row, dict) for row in rows)
        assert isinstance(total, int)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"sess_id": "t", "lang": "python", "status": "RUNNING", "created_at": "2017"},
            SessionRow("t", "python", "RUNNING", "2017"),
        ),
        (
            {"sess_id": "t", "id": "u", "mem_slot": 512, "cpu_slot": 1, "gpu_slot": None},
            SessionRow("t", "", "", "", "", "u", {"mem": "512", "cpu": "1"}),
        ),
        (
            {
                "name": "t",
                "id": "u",
                "image": "python:3.11",
                "status": "TERMINATED",
                "created_at": "2026",
                "terminated_at": "2027",
                "occupying_slots": '{"cpu": "1", "mem": 5}',
            },
            SessionRow(
                "t", "python:3.11", "TERMINATED", "2026", "2027", "u", {"cpu": "1", "mem": "5"}
            ),
        ),
        (
            {"id": "u", "lang": "c", "status": None, "occupied_slots": "{}"},
            SessionRow("u", "c", "", "", "", "u", {}),
        ),
        ({"name": "t", "occupied_slots": "no JSON"}, SessionRow("t", "", "", "")),
        ({}, SessionRow("", "", "", "")),
    ],
)
def test_session_row(row: dict[str, object], expected: SessionRow) -> None:
    assert SessionRow.decode(row) == expected


@given(
    json_values
    | st.dictionaries(
        st.sampled_from(["name", "sess_id", "id", "image", "status", "created_at", "cpu_slot"]),
        json_values,
    )
    | st.fixed_dictionaries({"occupied_slots": st.text() | json_values})
)
@settings(deadline=None, max_examples=100)
def test_any_row_is_read_or_refused(row: object) -> None:
    try:
        assert isinstance(SessionRow.decode(row), SessionRow)
    except RemoteProtocolError:
        pass


def test_a_row_with_deeply_nested_slots() -> None:
    row = {"name": "t", "occupied_slots": "[" * 100_000}
    assert SessionRow.decode(row) == SessionRow("t", "", "", "")
