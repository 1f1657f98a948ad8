"""What the tests do again and again: run code, send bytes, have a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal
from uuid import uuid4

import trio

from backendai_trio import (
    BatchOptions,
    Client,
    Event,
    Finished,
    InputRequest,
    InvalidRequest,
    Stderr,
    Stdout,
    TrioKernel,
    TrioVFolder,
    create_vfolder,
)

__all__ = ["Ran", "chunks", "new_folder_name", "open_folder", "poll_only", "run"]


@dataclass(frozen=True)
class Ran:
    """A run that has ended."""

    stdout: str
    stderr: str
    exit_code: int | None
    events: tuple[Event, ...]

    @property
    def text(self) -> str:
        """All that was printed, whichever stream it came on."""
        texts = [event.text for event in self.events if isinstance(event, Stdout | Stderr)]
        return "".join(texts)


async def run(
    kernel: TrioKernel,
    code: str = "",
    *,
    mode: Literal["query", "batch"] = "query",
    options: BatchOptions | None = None,
    answers: Sequence[str] = (),
) -> Ran:
    """Run code to its end; each question it asks is answered by the next of the answers."""
    events: list[Event] = []
    left = list(answers)
    async with kernel.execute(code, mode=mode, options=options) as execution:
        async for event in execution:
            events.append(event)
            if isinstance(event, InputRequest):
                assert left, "the code asks for more than there are answers"
                await execution.send_input(left.pop(0))
    last = events[-1]
    assert isinstance(last, Finished), events
    assert not left, "the code did not ask for all of the answers"
    return Ran(_texts(events, Stdout), _texts(events, Stderr), last.exit_code, tuple(events))


def _texts(events: Sequence[Event], kind: type[Stdout] | type[Stderr]) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


def poll_only(client: Client) -> None:
    """Have a client run code by polls, where its server has WebSockets for that, too."""
    client.era = replace(client.era, streams_executions=False)
    client.hello = replace(client.hello, features=frozenset[str]())


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    """Bytes as a stream."""
    for piece in pieces:
        await trio.lowlevel.checkpoint()
        yield piece


def new_folder_name() -> str:
    """A name that no virtual folder has."""
    return f"f-{uuid4().hex[:12]}"


@asynccontextmanager
async def open_folder(client: Client) -> AsyncIterator[TrioVFolder]:
    """A new virtual folder, which is deleted when the block ends.

    A manager answers a destroy before the session has ended, and refuses to delete what that has
    mounted.
    """
    folder = await create_vfolder(client, new_folder_name())
    try:
        yield folder
    finally:
        with trio.move_on_after(60, shield=True):
            while True:
                try:
                    await folder.delete(purge=True)
                    break
                except InvalidRequest:
                    await trio.sleep(1)
