"""Batch sessions: from the queue to their results."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from backendai_trio import Client
from backendai_trio.kernels import BatchJob, KernelState, run_batch
from backendai_trio.wire.kernel_states import STATES

from .targets import GatewayTarget, Target

pytestmark = [pytest.mark.needs("sessions"), pytest.mark.needs("batch-sessions")]


@pytest.mark.parametrize(("end", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
async def test_exit_code_and_output(client: Client, target: Target, end: str, code: int) -> None:
    job = BatchJob(f"echo one; echo two >&2; sleep 1; echo three; {end}")
    with trio.fail_after(target.session_seconds + 120):
        result = await run_batch(client, target.python, job)
    assert result.exit_code == code
    assert result.succeeded == (code == 0)
    printed = result.log.split()
    if code == 137 and not isinstance(target, GatewayTarget):
        # The signal has ended the shell that tells the output from the kernel runner's lines, too.
        assert {"one", "two", "three"} <= set(printed)
    else:
        assert sorted(printed) == ["one", "three", "two"]
    assert await target.live_sessions() == {}


async def test_files_are_there_first(client: Client, target: Target, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for number in range(3):
        (tmp_path / "lib" / f"{number}.txt").write_text(f"{number}")
    send, states = trio.open_memory_channel[KernelState](100)
    with trio.fail_after(target.session_seconds + 120):
        result = await run_batch(
            client,
            target.python,
            BatchJob("cat lib/*.txt; echo"),
            files=[tmp_path / "lib"],
            progress=send,
        )
    await send.aclose()
    assert (result.exit_code, result.log) == (0, "012\n")
    assert {state.status async for state in states} <= STATES


async def test_cancelled_it_leaves_nothing(client: Client, target: Target) -> None:
    send, texts = trio.open_memory_channel[str](0)
    with trio.fail_after(target.session_seconds + 120), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def run() -> None:
                await run_batch(client, target.python, BatchJob("echo up; sleep 300"), output=send)

            await texts.receive()
            scope.cancel()
    assert scope.cancelled_caught
    # The fixture waits for its end: managers from 26.9 on answer before it.
    assert set((await target.live_sessions()).values()) <= {"TERMINATING"}
