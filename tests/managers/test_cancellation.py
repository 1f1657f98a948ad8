"""Cancelled at any point: no session is left, and no session is stuck.

The points are random, and the same each time.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    BatchOptions,
    Client,
    TrioKernel,
    new_token,
    open_client,
    open_kernel,
)
from backendai_trio.config import Journal
from backendai_trio.kernels import end_left_kernel

from ..checkpoints import cancelling
from .runs import poll_only, run
from .targets import ManagerTarget, Target

pytestmark = [pytest.mark.needs("sessions"), pytest.mark.seconds(300)]

SEED = 20_180_101
CREATES = 50
AT_ONCE = 5
SETTLING_SECONDS = 20.0


async def _none_left(target: Target, tokens: set[str]) -> None:
    """None of the sessions lives, nor comes to life yet: by the server's own list."""
    if not isinstance(target, ManagerTarget):
        assert await target.live_sessions() == {}
        return
    # A destroy that the server has answered may still be at work, and a scheduler may start what
    # was destroyed while it was pending.
    deadline = trio.current_time() + SETTLING_SECONDS
    seen: dict[str, str] = {}
    while trio.current_time() < deadline:
        seen = {name: s for name, s in (await target.live_sessions()).items() if name in tokens}
        await trio.sleep(1)
    # Those that are being ended the fixture waits for.
    assert {name: s for name, s in seen.items() if s != "TERMINATING"} == {}


@pytest.mark.seconds(900)
async def test_creates_that_are_cancelled_leave_nothing(target: Target, tmp_path: Path) -> None:
    """50, at 0 to 4 seconds, some at a time.

    A server that is too busy to confirm the end of a session within the time for that leaves it in
    the journal, with a warning, and what `gc` does ends it. No other one is left.
    """
    chance = random.Random(SEED)
    tokens = {new_token() for _ in range(CREATES)}
    longest = 4 * target.pace
    limiter = trio.CapacityLimiter(AT_ONCE)
    journal = Journal(tmp_path / "journal")

    async def create(token: str, seconds: float) -> None:
        async with limiter:
            with trio.move_on_after(seconds):
                async with open_kernel(client, target.python, token=token):
                    await trio.sleep_forever()

    async with open_client(target.config(), journal=journal) as client:
        # As an error the first warning would end the others before they are counted.
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            async with trio.open_nursery() as nursery:
                for token in sorted(tokens):
                    nursery.start_soon(create, token, chance.uniform(0, longest))
        messages = [str(warning.message) for warning in told]
        unsure = list(journal.left())
        assert len(messages) == len(unsure)
        for left in unsure:
            assert any(f"backend.ai rm {left.token}" in message for message in messages)
            await end_left_kernel(client, left)
    if not isinstance(target, ManagerTarget):
        assert messages == []
    await _none_left(target, tokens)


CALLS: dict[str, Callable[[TrioKernel, Path], Awaitable[object]]] = {
    "run": lambda kernel, here: kernel.run("print(1)"),
    "info": lambda kernel, here: kernel.info(),
    "logs": lambda kernel, here: kernel.logs(),
    "upload": lambda kernel, here: kernel.upload([here / "sent"], base=here),
    "download": lambda kernel, here: kernel.download(["kept"], here / "into", overwrite=True),
    "list_files": lambda kernel, here: kernel.list_files(),
}


@pytest.mark.needs("session-files")
@pytest.mark.parametrize("name", CALLS)
async def test_calls_that_are_cancelled_leave_the_session_usable(
    kernel: TrioKernel, tmp_path: Path, name: str
) -> None:
    """At three random checkpoints of each; tests/leaks has all calls, on the gateway."""
    chance = random.Random(f"{SEED} {name}")
    (tmp_path / "into").mkdir()
    (tmp_path / "sent").write_bytes(b"sent" * 10_000)
    await run(kernel, "open('kept', 'w').write('kept' * 10_000)")
    call = partial(CALLS[name], kernel, tmp_path)
    with cancelling() as instrument:
        total = await instrument.count(call)
        for _ in range(3):
            number = chance.randint(1, total)
            await instrument.run(number, call)
            with trio.fail_after(30):
                ran = await run(kernel, "print('after')")
            assert ran.stdout == "after\n", number
    found = {path.name for path in (tmp_path / "into").iterdir()}
    assert found <= {"kept"}, "a partial file is left"
    if found:
        assert (tmp_path / "into" / "kept").read_text() == "kept" * 10_000


@pytest.mark.parametrize("way", ["stream", "polls"])
async def test_runs_that_are_cancelled_leave_the_session_usable(
    client: Client, target: Target, way: str
) -> None:
    """Ten, at 0 to 1.5 seconds: the code is interrupted, and the next run works at once."""
    if way == "polls":
        poll_only(client)
    chance = random.Random(SEED)
    code = "import time\nfor i in range(100):\n    print(i, flush=True)\n    time.sleep(0.1)"
    async with open_kernel(client, target.python) as kernel:
        for number in range(10):
            with trio.move_on_after(chance.uniform(0, 1.5) * target.pace):
                await run(kernel, code)
            with trio.fail_after(20):
                ran = await run(kernel, f"print('after', {number})")
            assert ran.stdout == f"after {number}\n"


async def test_batch_runs_that_are_cancelled_leave_the_session_usable(
    kernel: TrioKernel,
) -> None:
    slow = BatchOptions(build="", exec="sh -c 'for i in 1 2 3 4 5 6; do echo $i; sleep 1; done'")
    for number in range(3):
        with trio.move_on_after(0.5 + number):
            await run(kernel, mode="batch", options=slow)
        with trio.fail_after(30):
            quick = BatchOptions(build="", exec="sh -c 'sleep 0.3; echo quick'")
            assert (await run(kernel, mode="batch", options=quick)).stdout == "quick\n"


@pytest.mark.needs("wait-interrupts")
async def test_run_that_sleeps_is_cancelled(kernel: TrioKernel) -> None:
    with trio.move_on_after(2):
        await run(kernel, "import time\ntime.sleep(100)")
    with trio.fail_after(20):
        assert (await run(kernel, "print('alive')")).stdout == "alive\n"


async def test_run_that_waits_for_input_is_cancelled(kernel: TrioKernel) -> None:
    with trio.move_on_after(2):
        async with kernel.execute("input('name? ')") as execution:
            async for _ in execution:
                pass
    with trio.fail_after(20):
        assert (await run(kernel, "print('alive')")).stdout == "alive\n"


async def test_block_that_is_cancelled_while_code_runs(client: Client, target: Target) -> None:
    tokens: set[str] = set()

    async def use(seconds: float) -> None:
        token = new_token()
        tokens.add(token)
        with trio.move_on_after(seconds):
            async with open_kernel(client, target.python, token=token) as kernel:
                await run(kernel, "import time\nfor _ in range(1000):\n    time.sleep(0.1)")

    async with trio.open_nursery() as nursery:
        for seconds in (3, 5, 7, 9):
            nursery.start_soon(partial(use, seconds * target.pace))
    await _none_left(target, tokens)
