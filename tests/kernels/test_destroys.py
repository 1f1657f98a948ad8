"""Destroys by force, of dependants too, and past failures: what a manager is asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import trio

from backendai_trio import open_kernel
from backendai_trio.kernels import enqueue_kernel

from .one_session import ENDED, IN_LATE_2023, NOT_NOW, PYTHON, Manager, client_of

FORCED = "forced=true"
WITH_DEPENDANTS = "recursive=true"
BOTH = "forced=true&recursive=true"


def queries(manager: Manager) -> list[str]:
    """Of the destroys that it was asked for."""
    return [target.partition("?")[2] for target in manager.asked("DELETE")]


@dataclass
class SilentManager(Manager):
    """Does not answer the first destroy."""

    seen_destroy: trio.Event = field(default_factory=trio.Event)

    async def answer(self, head: str) -> bytes:
        if head.startswith("DELETE") and not self.seen_destroy.is_set():
            self.seen_destroy.set()
            await trio.sleep_forever()
        return await super().answer(head)


@pytest.mark.parametrize(
    ("force", "recursive", "asked"),
    [
        (False, False, ""),
        (True, False, FORCED),
        (False, True, WITH_DEPENDANTS),
        (True, True, BOTH),
    ],
)
@pytest.mark.parametrize("created", ["RUNNING", "PENDING"])
async def test_cancelled_destroy_goes_on_as_it_was_asked_for(
    created: str, force: bool, recursive: bool, asked: str
) -> None:
    manager = SilentManager("RUNNING", states=["RUNNING"])
    async with client_of(manager) as client:
        async with open_kernel(client, PYTHON, token="abc") as kernel:
            kernel.release()
        kernel.started = created == "RUNNING"
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def cancel() -> None:
                    await manager.seen_destroy.wait()
                    manager.states = ["TERMINATED"]
                    scope.cancel()

                await kernel.destroy(force=force, recursive=recursive)
        assert scope.cancelled_caught
        assert await kernel.destroy() is kernel.statistics  # it has ended
    assert queries(manager) == [asked] * 2


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("state", ["ERROR", "PREPARING of CANCELLED"])
async def test_force_that_a_state_needs_is_used_with_dependants_too(
    state: str, recursive: bool
) -> None:
    """Without it a manager refuses the destroy for ever."""
    states = [state, state, "TERMINATING", "TERMINATED"]
    manager = Manager("PENDING", states, [NOT_NOW, ENDED], hello=IN_LATE_2023)
    async with client_of(manager) as client:
        kernel = await enqueue_kernel(client, PYTHON, token="abc")
        await kernel.destroy(recursive=recursive)
    plain, forced = (WITH_DEPENDANTS, BOTH) if recursive else ("", FORCED)
    assert queries(manager) == [plain, forced]


async def test_server_that_is_back_has_the_grace_time_again() -> None:
    """A connection that fails leaves a destroy 2 s, until the server answers again."""
    refusals = [NOT_NOW] * 14  # with the pauses between them they take more than 2 s
    manager = Manager("RUNNING", destroys=[b"", b"", *refusals, ENDED])
    async with client_of(manager, grace_seconds=60.0) as client:
        async with open_kernel(client, PYTHON, token="abc") as kernel:
            kernel.release()
        await kernel.destroy()
    assert manager.destroys == [ENDED]
