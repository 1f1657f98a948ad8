"""Pictures in the output of a run, from the view of the program that shows them."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from backendai_trio.gateway.kernels.run import Run
from backendai_trio.wire.execution import ExecuteRequest


@pytest.mark.parametrize(
    ("live", "rich", "expected"),
    [(True, True, True), (True, False, False), (False, True, True), (False, False, True)],
)
async def test_program_learns_whether_its_picture_was_taken(
    live: bool, rich: bool, expected: bool
) -> None:
    request = ExecuteRequest("query", "run1", "", rich_output=rich)
    run = Run("run1", request, lambda _text: None, live=live)
    assert await run.write_record("media", ["image/png", ""]) is expected
    assert (run.output.end > run.output.start) is expected


async def test_stage_whose_output_is_lost(autojump_clock: trio.testing.MockClock) -> None:
    run = Run("run1", ExecuteRequest("batch", "run1", ""), lambda _text: None)
    run.stage_gap_seconds = 5
    run.stage_finished("build-finished", 0)
    assert (await run.poll(1)).status == "build-finished"
    assert not await run.write_record("media", ["image/png", ""])
    await trio.sleep(6)
    assert await run.write_record("media", ["image/png", ""])
