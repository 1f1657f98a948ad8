"""Batch sessions whose server answers badly or late, and whose results are received slowly."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from backendai_trio import Client, ServerError
from backendai_trio.kernels import BatchJob, BatchResult, KernelState, run_batch
from backendai_trio.kernels.waiting import StatePoller, StateReporter
from backendai_trio.wire.kernels import CreateReply

from .one_session import FAILED, FAILURES, ID, PYTHON, REFUSED, Manager, client_of

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
SUCCESS = (
    b'event: session_success\ndata: {"sessionId": "%s", "reason": "task-finished", "exitCode": 0}'
    b"\n\n" % ID.encode()
)
BROKEN = b""


@dataclass
class BatchManager(Manager):
    """A manager with a batch session.

    Each poll of the log gets the next of `logs`, the last one for ever: a text with places for the
    marks, or a whole answer.
    """

    created: str = "RUNNING"
    logs: list[str | bytes] = field(default_factory=lambda: ["{begin}{end}0\n"])
    polls: int = 0
    """At the log."""
    successful: trio.Event = field(default_factory=trio.Event)
    """When the event of the command's end is sent."""
    polled: trio.Event = field(default_factory=trio.Event)
    """There was a poll of the log after that."""
    ended: trio.Event = field(default_factory=trio.Event)
    """A client has seen the session's end."""

    async def serve(self, stream: trio.SocketStream, head: str) -> bool:
        if not head.startswith("GET /events/session"):
            return await super().serve(stream, head)
        await stream.send_all(STREAM)
        await self.successful.wait()
        await stream.send_all(SUCCESS)
        return True

    async def answer(self, head: str) -> bytes:
        if head.startswith("GET ") and head.endswith("/logs"):
            return self._log()
        answer = await super().answer(head)
        if b"TERMINATED" in answer:
            self.ended.set()
        return answer

    def _log(self) -> bytes:
        self.polls += 1
        if self.successful.is_set():
            self.polled.set()
        log = self.logs.pop(0) if len(self.logs) > 1 else self.logs[0]
        if isinstance(log, bytes):
            return log
        create = self.bodies[self.heads.index("POST /session")].decode()
        found = re.search(r" (\w+) begins::", create)
        assert found is not None
        text = log.format(begin=f"::job {found[1]} begins::\n", end=f"::job {found[1]} ends::")
        return self._json(200, {"result": {"logs": text}})


FAILED_LOOKS = {
    "broken": BROKEN,
    "malformed": FAILURES["malformed"],
    "restarting": FAILURES["gone away"],
    "failing": FAILED,
    "refused": REFUSED,
}


class FailingLogs(BatchManager):
    """The command ends when the log could not be shown once, and the session with a further poll.

    After its end the log is there, but for one connection that breaks.
    """

    failure: bytes = b""

    def _log(self) -> bytes:
        if self.polls < 2:
            self.polls += 1
            self.successful.set()
            if self.polls == 2:
                self.states = ["TERMINATED"]
            return self.failure
        return super()._log()


@pytest.mark.parametrize("failure", FAILED_LOOKS)
async def test_log_that_is_not_shown_does_not_end_the_session(failure: str) -> None:
    manager = FailingLogs(logs=[BROKEN, "{begin}one\n{end}0\n"])
    manager.failure = FAILED_LOOKS[failure]
    async with client_of(manager) as client:
        result = await run_batch(client, PYTHON, BatchJob("true"), token="abc")
    assert (result.succeeded, result.exit_code, result.log) == (True, 0, "one\n")
    assert result.log_complete
    assert manager.asked("DELETE") == []


class HangingLog(BatchManager):
    """The first answer with the log never comes; the command ends when it is asked for."""

    async def answer(self, head: str) -> bytes:
        if head.endswith("/logs") and not self.polls:
            self.polls += 1
            self.states = ["TERMINATED"]
            self.successful.set()
            await trio.sleep_forever()
        return await super().answer(head)


async def test_poll_that_hangs_does_not_hold_the_result_up() -> None:
    """The test would be ended at its limit, which is shorter than the client's for an answer."""
    manager = HangingLog(logs=["{begin}one\n{end}0\n"])
    async with client_of(manager) as client:
        result = await run_batch(client, PYTHON, BatchJob("true"), token="abc")
    assert (result.log, result.log_complete) == ("one\n", True)


async def test_result_counts_when_its_log_is_lost() -> None:
    manager = BatchManager(logs=[FAILURES["malformed"]], states=["RUNNING", "TERMINATED"])
    manager.successful.set()
    async with client_of(manager) as client:
        result = await run_batch(client, PYTHON, BatchJob("true"), token="abc")
    assert (result.succeeded, result.exit_code, result.log) == (True, 0, "")
    assert not result.log_complete
    assert manager.asked("DELETE") == []


@asynccontextmanager
async def poller_of(
    manager: Manager, *, lasting: bool, silent_seconds: float
) -> AsyncIterator[StatePoller]:
    created = CreateReply.decode(json.dumps({"sessionId": ID}).encode(), "abc")
    async with client_of(manager) as client:
        yield StatePoller(
            client, created, longest=0.1, lasting=lasting, silent_seconds=silent_seconds
        )


@pytest.mark.parametrize("lasting", [True, False])
async def test_server_that_is_silent_for_too_long(lasting: bool) -> None:
    """It ends a wait for a kernel, and not the wait for a batch session: that is told once."""
    failing = ["gone away"] * (4 * 3)  # each poll is repeated three times
    manager = Manager(states=[*failing, "RUNNING"])
    async with poller_of(manager, lasting=lasting, silent_seconds=0.0) as poller:
        if not lasting:
            with pytest.raises(ServerError):
                await poller.poll()
            return
        with pytest.warns(RuntimeWarning, match="state of session abc for 0 s") as told:
            assert (await poller.poll()).status == "RUNNING"
        assert len(told) == 1


async def test_server_that_is_silent_for_a_while() -> None:
    manager = Manager(states=[*["gone away"] * 4, "RUNNING"])
    async with poller_of(manager, lasting=False, silent_seconds=600.0) as poller:
        assert (await poller.poll()).status == "RUNNING"


async def test_batch_session_that_is_not_told_of_lives_on() -> None:
    """What stands before the manager says that it will be back, in words for browsers."""
    manager = BatchManager(states=["malformed", "RUNNING", "TERMINATED"])
    manager.successful.set()
    async with client_of(manager) as client:
        assert (await run_batch(client, PYTHON, BatchJob("true"), token="abc")).succeeded
    assert manager.asked("DELETE") == []


async def run_slowly(
    client: Client,
    results: list[BatchResult],
    output: trio.MemorySendChannel[str] | None = None,
    progress: trio.MemorySendChannel[KernelState] | None = None,
) -> None:
    job = BatchJob("true")
    results.append(
        await run_batch(client, PYTHON, job, token="abc", output=output, progress=progress)
    )
    for channel in (output, progress):
        if channel is not None:
            await channel.aclose()


async def test_output_is_complete_when_its_receiver_is_slow() -> None:
    """The command and the session end while the first text is not received yet."""
    manager = BatchManager(logs=["{begin}one\n", "{begin}one\ntwo\n{end}3\n"])
    send, receive = trio.open_memory_channel[str](0)
    results: list[BatchResult] = []
    async with client_of(manager) as client, trio.open_nursery() as nursery:
        nursery.start_soon(run_slowly, client, results, send)
        while not send.statistics().tasks_waiting_send:  # noqa: ASYNC110
            await trio.sleep(0.01)
        manager.states = ["TERMINATED"]
        manager.successful.set()
        await manager.ended.wait()
        assert [text async for text in receive] == ["one\n", "two\n"]
    assert (results[0].log, results[0].exit_code) == ("one\ntwo\n", 3)


async def test_states_are_complete_when_their_receiver_is_slow() -> None:
    """The command ends while a state is not received yet."""
    manager = BatchManager(states=["RUNNING_DEGRADED"])
    send, receive = trio.open_memory_channel[KernelState](0)
    results: list[BatchResult] = []
    async with client_of(manager) as client, trio.open_nursery() as nursery:
        nursery.start_soon(run_slowly, client, results, None, send)
        assert (await receive.receive()).status == "RUNNING"
        while not send.statistics().tasks_waiting_send:  # noqa: ASYNC110
            await trio.sleep(0.01)
        manager.states = ["TERMINATED"]
        manager.successful.set()
        await manager.polled.wait()
        seen = [state.status async for state in receive]
    assert seen == ["RUNNING_DEGRADED", "TERMINATED"]
    assert results[0].succeeded


async def test_state_counts_as_reported_when_it_was_received() -> None:
    send, receive = trio.open_memory_channel[KernelState](0)
    reporter = StateReporter(send)
    state = KernelState("PENDING")
    with trio.CancelScope() as scope:
        scope.cancel()
        await reporter.report(state)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.report, state)
        assert await receive.receive() == state


async def test_receivers_that_leave_are_left_out() -> None:
    manager = BatchManager(logs=["{begin}one\n{end}0\n"], states=["RUNNING", "TERMINATED"])
    manager.successful.set()
    output, texts = trio.open_memory_channel[str](0)
    progress, states = trio.open_memory_channel[KernelState](0)
    await texts.aclose()
    await states.aclose()
    results: list[BatchResult] = []
    async with client_of(manager) as client:
        await run_slowly(client, results, output, progress)
    assert results[0].log == "one\n"
