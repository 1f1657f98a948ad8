"""The client's side of a run, driven by every kind of reply a server can send."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.execution import BatchOptions, ExecuteReply, ExecuteRequest
from backendai_trio.wire.run_events import (
    BuildFinished,
    CleanFinished,
    Event,
    Finished,
    InputRequest,
    Stdout,
    TimedOut,
    event_of,
)
from backendai_trio.wire.run_state import RunState

_records = st.lists(
    st.tuples(st.sampled_from(["stdout", "stderr", "media", "completion"]), st.text(max_size=3)),
    max_size=3,
).map(tuple)
_exit_codes = st.none() | st.integers(0, 255)
_run_ids = st.sampled_from(["", "own", "servers"])


class Run(RuleBasedStateMachine):
    """A server that answers as it likes, and a model of what must come of it."""

    state: RunState

    def __init__(self) -> None:
        super().__init__()
        self.where = "running"
        self.run_id = "own"
        self.first = True
        self.sent: ExecuteRequest | None = None

    @initialize(
        mode=st.sampled_from(["query", "batch"]), code=st.text(max_size=3), raw=st.booleans()
    )
    def begin(self, mode: Any, code: str, raw: bool) -> None:
        options = BatchOptions().as_json() if mode == "batch" else {}
        self.raw = raw
        self.sent = ExecuteRequest(mode, "own", code, options, raw_console=raw)
        self.state = RunState(self.sent)

    @invariant()
    def agrees_with_the_model(self) -> None:
        if not hasattr(self, "state"):
            return
        assert self.state.waiting is (self.where == "waiting")
        assert (self.state.outcome is not None) is (self.where == "ended")
        assert self.state.run_id == self.run_id
        if self.where == "running":
            request = self.state.request()
            assert request == self.sent
            assert self.state.request() is request  # asking twice is no step
        else:
            with pytest.raises(LocalProtocolError):
                self.state.request()

    def feed(self, status: str, run_id: str, records: Any, code: int | None = None) -> list[Event]:
        options = {"is_password": True} if status == "waiting-input" else {}
        reply = ExecuteReply(status, run_id, records, code, options)
        events = self.state.feed(ExecuteReply.decode(reply.encode()))
        self.run_id = run_id or self.run_id
        self.sent = ExecuteRequest("continue", self.run_id, raw_console=self.raw)
        assert events[: len(records)] == [event_of(*record) for record in records]
        assert all(isinstance(event, get_args(Event)) for event in events)
        return events[len(records) :]

    @precondition(lambda self: self.where == "running")
    @rule(run_id=_run_ids, records=_records)
    def continued(self, run_id: str, records: Any) -> None:
        assert self.feed("continued", run_id, records) == []

    @precondition(lambda self: self.where == "running")
    @rule(run_id=_run_ids, records=_records, code=_exit_codes)
    def clean_finished(self, run_id: str, records: Any, code: int | None) -> None:
        assert self.feed("clean-finished", run_id, records, code) == [CleanFinished(code)]

    @precondition(lambda self: self.where == "running")
    @rule(run_id=_run_ids, records=_records, code=_exit_codes)
    def build_finished(self, run_id: str, records: Any, code: int | None) -> None:
        assert self.feed("build-finished", run_id, records, code) == [BuildFinished(code)]

    @precondition(lambda self: self.where == "running")
    @rule(run_id=_run_ids, records=_records)
    def waiting_input(self, run_id: str, records: Any) -> None:
        assert self.feed("waiting-input", run_id, records) == [InputRequest(is_password=True)]
        self.where = "waiting"

    @precondition(lambda self: self.where == "running")
    @rule(run_id=_run_ids, records=_records, code=_exit_codes)
    def finished(self, run_id: str, records: Any, code: int | None) -> None:
        assert self.feed("finished", run_id, records, code) == [Finished(code)]
        assert self.state.outcome == Finished(code)
        self.where = "ended"

    @precondition(lambda self: self.where == "running")
    @rule(run_id=_run_ids, records=_records, code=_exit_codes)
    def exec_timeout(self, run_id: str, records: Any, code: int | None) -> None:
        assert self.feed("exec-timeout", run_id, records, code) == [TimedOut()]
        assert self.state.outcome == TimedOut()
        self.where = "ended"

    @precondition(lambda self: self.where == "running")
    @rule(status=st.sampled_from(["", "Finished", "failed", "terminated", "\ud800"]))
    def unknown_status(self, status: str) -> None:
        """Refused, and nothing of the reply is taken over."""
        with pytest.raises(RemoteProtocolError):
            self.state.feed(ExecuteReply(status, "another", (("stdout", "x"),), 0))

    @precondition(lambda self: self.where == "waiting")
    @rule(line=st.none() | st.text(max_size=3))
    def answered(self, line: str | None) -> None:
        self.state.answer(line)
        self.sent = ExecuteRequest(
            "input", self.run_id, line or "", raw_console=self.raw, eof=line is None
        )
        self.where = "running"

    @precondition(lambda self: self.where != "waiting")
    @rule(line=st.none() | st.text(max_size=3))
    def answered_without_being_asked(self, line: str | None) -> None:
        with pytest.raises(LocalProtocolError):
            self.state.answer(line)

    @rule(keeps_asking=st.booleans())
    def interrupted(self, keeps_asking: bool) -> None:
        self.state.interrupted(keeps_asking=keeps_asking)
        if self.where == "ended":
            return
        void = self.where == "waiting" and keeps_asking
        self.sent = ExecuteRequest(
            "input" if void else "continue", self.run_id, raw_console=self.raw
        )
        self.where = "running"

    @precondition(lambda self: self.where != "running")
    @rule(status=st.sampled_from(["continued", "finished", "waiting-input", "nonsense"]))
    def reply_without_a_request(self, status: str) -> None:
        with pytest.raises(LocalProtocolError):
            self.state.feed(ExecuteReply(status, "another"))


def test_any_run() -> None:
    run_state_machine_as_test(
        Run,
        settings=settings(
            deadline=None,
            max_examples=60,
            stateful_step_count=20,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


_statuses = st.sampled_from(
    ["continued", "clean-finished", "build-finished", "waiting-input", "finished", "exec-timeout"]
)


@given(
    st.lists(
        st.builds(
            ExecuteReply,
            _statuses | st.text(max_size=2),
            _run_ids,
            _records,
            _exit_codes,
            st.dictionaries(
                st.just("is_password"), st.none() | st.booleans() | st.integers() | st.text()
            ),
        ),
        max_size=8,
    ),
    st.sampled_from(["own", None]),
)
@settings(deadline=None, max_examples=80)
def test_any_replies(replies: list[ExecuteReply], run_id: str | None) -> None:
    """Whatever comes, there is a next request, a question, or a typed outcome: one of the three."""
    state = RunState(ExecuteRequest("query", run_id, "code"))
    for reply in replies:
        if state.waiting:
            state.answer("x")
        if state.outcome is not None:
            break
        assert state.request()
        try:
            state.feed(reply)
        except RemoteProtocolError:
            assert state.outcome is None
            return
    if state.outcome is not None:
        assert type(state.outcome) in (Finished, TimedOut)
        assert not state.waiting
    elif not state.waiting:
        assert state.request()


# --- single steps --------------------------------------------------------------------------------


def test_batch_run_step_by_step() -> None:
    options = BatchOptions(clean="*").as_json()
    state = RunState(ExecuteRequest("batch", None, options=options))
    assert state.request().options == options
    assert state.feed(ExecuteReply("clean-finished", "r", exit_code=0)) == [CleanFinished(0)]
    # The options go out once; the id that the server chose is kept.
    assert state.request() == ExecuteRequest("continue", "r")
    assert state.feed(ExecuteReply("continued", "r", (("stdout", "cc"),))) == [Stdout("cc")]
    assert state.feed(ExecuteReply("build-finished", "r", (("stdout", "ok"),), 0)) == [
        Stdout("ok"),
        BuildFinished(0),
    ]
    assert state.outcome is None
    assert state.request() == ExecuteRequest("continue", "r")
    assert state.feed(ExecuteReply("finished", "r", (("stdout", "hi"),), 3)) == [
        Stdout("hi"),
        Finished(3),
    ]
    assert state.outcome == Finished(3)


def test_failed_build_is_no_outcome() -> None:
    """The server says by itself that a run whose build failed has ended."""
    state = RunState(ExecuteRequest("batch", "r"))
    state.feed(ExecuteReply("build-finished", "r", exit_code=2))
    assert state.outcome is None
    state.feed(ExecuteReply("finished", "r", exit_code=2))
    assert state.outcome == Finished(2)


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        ({"is_password": True}, True),
        ({"is_password": False}, False),
        ({}, False),
        ({"is_password": None}, False),
        ({"is_password": "yes"}, False),
    ],
)
def test_input_request(options: dict[str, Any], hidden: bool) -> None:
    state = RunState(ExecuteRequest("query", "r"))
    assert state.feed(ExecuteReply("waiting-input", "r", options=options)) == [
        InputRequest(is_password=hidden)
    ]


def test_answers() -> None:
    state = RunState(ExecuteRequest("query", "r", "code", raw_console=True))
    state.feed(ExecuteReply("waiting-input"))
    state.answer("")
    assert state.request() == ExecuteRequest("input", "r", "", raw_console=True)
    state.feed(ExecuteReply("waiting-input"))
    state.answer(None)
    assert state.request() == ExecuteRequest("input", "r", "", raw_console=True, eof=True)
    with pytest.raises(LocalProtocolError):
        state.answer("again")


def test_an_interrupt_answers_a_question_where_the_kernel_keeps_asking() -> None:
    state = RunState(ExecuteRequest("query", "r", "code"))
    state.feed(ExecuteReply("waiting-input"))
    state.interrupted(keeps_asking=True)
    assert not state.waiting
    assert state.request() == ExecuteRequest("input", "r", "")


def test_misuse_says_why() -> None:
    state = RunState(ExecuteRequest("query", "r"))
    with pytest.raises(LocalProtocolError, match="r does not wait for input"):
        state.answer("x")
    state.feed(ExecuteReply("waiting-input"))
    with pytest.raises(LocalProtocolError, match="r: it waits for input"):
        state.request()
    state.answer("x")
    state.feed(ExecuteReply("finished"))
    with pytest.raises(LocalProtocolError, match="r: it has ended"):
        state.request()
    with pytest.raises(LocalProtocolError, match="r expects no reply"):
        state.feed(ExecuteReply("continued"))


@pytest.mark.parametrize("status", ["continued", "build-finished", "waiting-input"])
def test_run_that_nobody_named_cannot_go_on(status: str) -> None:
    """A follow-up request must name its run, or the server takes it for another one."""
    state = RunState(ExecuteRequest("query", None, "code"))
    with pytest.raises(RemoteProtocolError):
        state.feed(ExecuteReply(status))


def test_run_that_nobody_named_may_end_at_once() -> None:
    state = RunState(ExecuteRequest("query", None, "code"))
    assert state.feed(ExecuteReply("finished", exit_code=0)) == [Finished(0)]
    assert state.run_id is None
