"""Calls into the Trio thread: their context, and what becomes of an interrupted call's work."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import trio
import trio.testing

from backendai_trio.asyncio import _waiting
from backendai_trio.faces import calls, waiting
from backendai_trio.testing import TestGateway

from .sources import in_trio

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


async def read_and_change() -> str:
    await trio.lowlevel.checkpoint()
    value = VARIABLE.get()
    VARIABLE.set("changed in the call")
    return value


def test_blocking_calls_see_the_callers_context() -> None:
    token = VARIABLE.set("of the thread")
    try:
        assert in_trio(read_and_change) == "of the thread"
        assert VARIABLE.get() == "of the thread"
    finally:
        VARIABLE.reset(token)
    assert in_trio(read_and_change) == "unset"


def test_asyncio_calls_see_the_context_of_their_task() -> None:
    async def task(value: str) -> str:
        VARIABLE.set(value)
        seen = await _waiting.wait(calls.Call(read_and_change))
        assert VARIABLE.get() == value
        return seen

    async def main() -> list[str]:
        return await asyncio.gather(task("one"), task("two"))

    assert asyncio.run(main()) == ["one", "two"]


def test_clients_have_no_callers_context(served: TestGateway) -> None:
    """A client outlives the call that was the first to need it."""
    token = VARIABLE.set("of the first caller")
    try:
        waiting.wait(calls.client_call(served.config, read_in_client_tasks))
        found = waiting.wait(calls.client_call(served.config, read_in_client_tasks))
    finally:
        VARIABLE.reset(token)
    assert found == {"unset"}


async def read_in_client_tasks(_: object) -> set[str]:
    await trio.lowlevel.checkpoint()
    root = trio.lowlevel.current_root_task()
    assert root is not None
    tasks, found = [root], set()
    while tasks:
        task = tasks.pop()
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        if task.name.endswith("._keep_client"):
            found.add(task.context.get(VARIABLE, "unset"))
    return found


def test_undoing_that_fails_is_no_error_of_the_caller() -> None:
    async def make() -> int:
        await trio.lowlevel.checkpoint()
        return 1

    async def undo(_: int) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("cannot be undone")

    call = calls.Call(make, undo=undo)
    assert waiting.wait(call) == 1
    waiting._join(call)
    assert in_trio(make) == 1
