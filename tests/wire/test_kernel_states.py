"""States of sessions, and what managers say of why a session waits or has failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.kernel_states import KernelState, state_query


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
            "quota; later",
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
