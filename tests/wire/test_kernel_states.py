"""States of sessions, and what managers say of why a session waits or has failed."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.kernel_states import (
    COMING,
    DEAD,
    RUNNING,
    STATES,
    KernelState,
    state_query,
)
from backendai_trio.wire.kernels import KernelInfo
from backendai_trio.wire.status_details import Failure, Predicate, StatusDetails
from backendai_trio.wire.versions import SESSION_6


def state(status: str, **more: Any) -> KernelState:
    return KernelState.decode({"compute_session": {"status": status, **more}})


def test_a_session_that_is_not_known_has_ended() -> None:
    assert KernelState.decode({"compute_session": None}) == KernelState()
    assert KernelState().ended
    assert KernelState.decode({}).ended


@pytest.mark.parametrize(
    ("status", "ended"),
    [("RUNNING", False), ("PENDING", False), ("terminated", True), ("CANCELLED", True)],
)
def test_status(status: str, ended: bool) -> None:
    assert state(status).ended is ended
    assert state(status).status == status.upper()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, ""),
        ({"error": {"repr": "OSError('full')"}}, "OSError('full')"),
        ({"error": {"collection": [{"repr": "A()"}, {"repr": "B()"}, "odd"]}}, "A(); B()"),
        ({"error": {"collection": [], "repr": "C()"}}, "C()"),
        (
            {"scheduler": {"failed_predicates": [{"msg": "quota"}, {"name": "x"}], "msg": "later"}},
            "quota; x; later",
        ),
        ({"scheduler": "odd"}, ""),
        ([1], ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("as_text", [True, False])
def test_reasons(data: object, reason: str, as_text: bool) -> None:
    """`status_data` is JSON within JSON, or an object."""
    sent = json.dumps(data) if as_text else data
    assert state("ERROR", status_data=sent, status_info="None").reason == reason
    with_info = state("ERROR", status_data=sent, status_info="no-agent").reason
    assert with_info == (f"no-agent: {reason}" if reason else "no-agent")


def test_data_that_is_no_json_tells_nothing() -> None:
    assert state("ERROR", status_data="{", status_info="failed").reason == "failed"


@pytest.mark.parametrize(
    ("status", "containers", "stuck"),
    [
        ("PREPARING", ["CANCELLED"], True),
        ("PREPARING", ["CANCELLED", "PREPARING"], False),
        ("PREPARING", [], False),
        ("RUNNING", ["TERMINATED"], False),
    ],
)
def test_a_session_whose_containers_have_ended_is_stuck(
    status: str, containers: list[str], stuck: bool
) -> None:
    rows = [{"status": name} for name in containers]
    assert state(status, containers=rows).is_stuck is stuck


def test_malformed_answers_are_refused() -> None:
    for answer in ({"compute_session": []}, {"compute_session": {"status": 5}}):
        with pytest.raises(RemoteProtocolError):
            KernelState.decode(answer)


def test_the_query_names_the_session() -> None:
    assert state_query("the-id").variables == {"id": "the-id"}
    variables = state_query("the-id", with_position=True).variables
    assert b64decode(variables["node"]) == b"ComputeSessionNode:the-id"


def test_every_state_is_of_one_kind() -> None:
    assert len(COMING) + len(RUNNING) + len(DEAD) == len(STATES)
    # Those of 26.9.6, the newest that was read.
    assert {
        "PENDING", "DEPRIORITIZING", "RESERVED", "SCHEDULED", "PREPARING", "PULLING", "PREPARED",
        "CREATING", "RUNNING", "RESTARTING", "RUNNING_DEGRADED", "PREEMPTED", "RESCHEDULING",
        "TERMINATING", "TERMINATED", "ERROR", "CANCELLED",
    } <= STATES  # fmt: skip


# --- both directions -----------------------------------------------------------------------------

_words = st.text(min_size=1, max_size=8)
_predicates = st.builds(Predicate, _words, st.text(max_size=8))
_failures = st.builds(
    Failure, _words, st.text(max_size=5), st.text(max_size=5), st.text(max_size=5)
)
_details = st.builds(
    StatusDetails,
    tries=st.integers(0, 2**40),
    last_try=st.text(max_size=8),
    failed=st.lists(_predicates, max_size=3).map(tuple),
    passed=st.lists(_words, max_size=3).map(tuple),
    message=st.text(max_size=8),
    failures=st.lists(_failures, max_size=3).map(tuple),
    exit_code=st.none() | st.integers(-2, 255),
)
_states = st.builds(
    KernelState,
    status=st.sampled_from(sorted(STATES)),
    info=st.text(max_size=8).filter(lambda text: text != "None"),
    details=_details,
    containers=st.lists(st.sampled_from(sorted(STATES)), max_size=3).map(tuple),
    result=st.sampled_from(["", "UNDEFINED", "SUCCESS", "FAILURE"]),
    ahead=st.none() | st.integers(0, 1000),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["scheduler", "error", "kernel", "collection", "repr", "msg", "name", "exit_code"]
            )
            | st.just("failed_predicates"),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(_details)
def test_details_round_trip(details: StatusDetails) -> None:
    assert StatusDetails.decode(details.as_json()) == details
    assert StatusDetails.decode(json.dumps(details.as_json())) == details


@given(_states)
def test_state_round_trip(state: KernelState) -> None:
    assert KernelState.decode(state.encode()) == state
    told = (state.info, state.details.text)
    assert state.reason == ": ".join(text for text in told if text)


@given(_json)
def test_any_details_are_read(value: object) -> None:
    """They explain a state, and must not hide it."""
    assert isinstance(StatusDetails.decode(value).text, str)


@given(_states)
def test_state_in_the_information_of_a_session(state: KernelState) -> None:
    info = KernelInfo("python", state.status, status_info=state.info, status_details=state.details)
    read = KernelInfo.decode(info.encode(SESSION_6)).state
    assert (read.status, read.reason) == (state.status, state.reason)
