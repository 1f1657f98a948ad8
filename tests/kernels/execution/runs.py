"""Runs of the tests, and the ways that their messages travel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import trio
import trio.testing

from backendai_trio import (
    BatchOptions,
    Event,
    Finished,
    InputRequest,
    KernelSpec,
    Stderr,
    Stdout,
    TrioKernel,
)
from backendai_trio.gateway import GatewayLimits
from backendai_trio.wire.resumable import RESUMABLE_STREAMS

from ..turns import others_wait

PYTHON = KernelSpec(runtime="python")
# How a run's messages may travel (`backendai_trio.kernels.run_streams`).
WAYS = ("resumable", "socket", "polls")
FOR_EVER = "print('up', flush=True)\nwhile True: pass"

every_way = pytest.mark.parametrize("way", WAYS)
short_limits = pytest.mark.parametrize(
    "limits", [GatewayLimits(abandoned_seconds=0.2, poll_seconds=0.1)], ids=["short"]
)
# On a manager's socket a run has no id, so nobody can be asked how an interrupted one ended.
traceable_ways = pytest.mark.parametrize("way", ["resumable", "polls"])


@dataclass
class Ran:
    """What a run told, with neighbouring pieces of one stream put together."""

    events: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        last = self.events[-1] if self.events else None
        match last, event:
            case (Stdout(before), Stdout(text)):
                self.events[-1] = Stdout(before + text)
            case (Stderr(before), Stderr(text)):
                self.events[-1] = Stderr(before + text)
            case _:
                self.events.append(event)

    @property
    def stdout(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Stdout))

    @property
    def stderr(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Stderr))

    @property
    def exit_code(self) -> int | None:
        assert isinstance(self.events[-1], Finished)
        return self.events[-1].exit_code


async def run(
    kernel: TrioKernel,
    code: str = "",
    *,
    answers: Iterable[str | None] = (),
    mode: Literal["query", "batch"] = "query",
    options: BatchOptions | None = None,
) -> Ran:
    """Run code to its end."""
    ran = Ran()
    rest = iter(answers)
    async with kernel.execute(code, mode=mode, options=options) as execution:
        async for event in execution:
            ran.add(event)
            if isinstance(event, InputRequest):
                await execution.send_input(next(rest))
        assert execution.outcome is ran.events[-1]
    assert list(rest) == []
    return ran


async def arrived(kernel: TrioKernel, task_is_sending: trio.Event) -> None:
    """Wait until another run waits for its turn: here, or in our own gateway's queue."""
    if not kernel.client.has(RESUMABLE_STREAMS):
        task_is_sending.set()
        await others_wait(kernel, 1)
        return
    before = (await kernel.info()).queries
    task_is_sending.set()
    mine = 0
    while (await kernel.info()).queries - before - mine <= 1:
        mine += 1


def write(folder: Path, **files: str) -> list[Path]:
    """Make files, with ``_`` for the dot in their names."""
    paths = []
    for name, text in files.items():
        path = folder / ".".join(name.rsplit("_", 1))
        path.write_text(text)
        paths.append(path)
    return paths
