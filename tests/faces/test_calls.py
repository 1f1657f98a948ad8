"""Calls into the Trio thread: context, errors, closed objects, and interrupted calls."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest
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


def test_error_is_the_very_object() -> None:
    error = ValueError("of the work")

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(ValueError, match="of the work") as caught:
        waiting.wait(calls.Call(fail))
    assert caught.value is error
    assert [entry.name for entry in caught.traceback][-1] == "fail"


def test_result_that_nobody_wants_is_undone() -> None:
    """Stopped when it is over already, and stopped when it does not let itself be cancelled."""
    undone: list[int] = []

    async def make(number: int) -> int:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.05)
        return number

    async def undo(number: int) -> None:
        await trio.lowlevel.checkpoint()
        undone.append(number)

    late = calls.Call(lambda: make(1), undo=undo)
    assert waiting.wait(late) == 1
    waiting._join(late)
    early = calls.Call(lambda: make(2), undo=undo)
    early.submit(lambda: None)
    waiting._join(early)
    never = calls.Call(lambda: make(3), undo=undo)
    waiting._join(never)
    assert undone == [1, 2]


def test_closed_object_refuses_calls(served: TestGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Thread

    from backendai_trio import Kernel

    for name, value in served.environ.items():
        monkeypatch.setenv(name, value)
    failures: list[BaseException] = []
    with Kernel.get_or_create("python") as kernel:
        run = kernel.stream_execute("input()")
        next(run)  # the question

        def read() -> None:
            try:
                next(run)
            except BaseException as exc:  # noqa: ASYNC103 (for the main thread)
                failures.append(exc)

        reader = Thread(target=read)
        reader.start()
        run.close()
        reader.join()
        assert isinstance(failures[0], trio.ClosedResourceError | StopIteration)
        with pytest.raises(trio.ClosedResourceError):
            run.send_stdin(b"x")
        run.close()
        assert run.closed
