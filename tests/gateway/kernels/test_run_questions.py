"""Questions of a run, and what counts as an answer."""

from __future__ import annotations

from backendai_trio.gateway.kernels.run import Run
from backendai_trio.wire.execution import ExecuteRequest


async def test_a_question_that_no_reply_has_told_is_not_answered_by_a_repeated_request() -> None:
    """Client 1.1.1 repeats its request after "continued", when the program may just have asked."""
    run = Run("run", ExecuteRequest("batch", "run"), lambda _text: None)
    assert (await run.poll(0)).status == "continued"
    run._request_input(False)
    assert run.waits_for_input and not run.asked_by_poll
    assert (await run.poll(0)).status == "waiting-input"
    assert run.asked_by_poll
    await run.answer("typed")
    assert not run.asked_by_poll
    run._request_input(True)
    assert run.waits_for_input and not run.asked_by_poll
