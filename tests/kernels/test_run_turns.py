"""Runs that wait for each other, and interrupts that wait for their run, without our own queue."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio
import trio.testing

from backendai_trio import (
    ApiError,
    Client,
    ExecutionError,
    Finished,
    InputRequest,
    KernelSpec,
    Stdout,
    TrioKernel,
    find_kernel,
    open_client,
    open_kernel,
)
from backendai_trio.gateway import Gateway
from backendai_trio.kernels.kernel_records import record_of
from backendai_trio.wire.execution import RAW_CONSOLE

from .turns import others_wait, printed, rest_of, turn_of, turn_taken

PYTHON = KernelSpec(runtime="python")
LINES = "import time\nfor i in range(5):\n    print(i, flush=True)\n    time.sleep(0.1)\n"
FOR_EVER = "print('up', flush=True)\nwhile True: pass"

both_ways = pytest.mark.parametrize("way", ["socket", "polls"])


@pytest.fixture
async def client(gateway: Gateway, way: str) -> AsyncIterator[Client]:
    """A client that takes the gateway for a manager."""
    async with open_client(gateway.config) as opened:
        opened.hello = replace(opened.hello, features=frozenset({RAW_CONSOLE}))
        opened.era = replace(opened.era, streams_executions=way == "socket")
        yield opened


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    """A kernel for Python."""
    async with open_kernel(client, PYTHON) as opened:
        yield opened


@both_ways
async def test_run_that_nobody_reads_lets_others_come(kernel: TrioKernel) -> None:
    """The reader itself may be what waits, in another run or an upload."""
    async with kernel.execute(LINES) as execution:
        assert await printed(kernel, "print(i)") == "4\n"
        assert await printed(kernel, "print(i + 1)") == "5\n"
        assert await rest_of(execution) == "0\n1\n2\n3\n4\n"
    assert turn_of(kernel).value == 1


@both_ways
async def test_run_is_read_by_its_reader_and_ahead(kernel: TrioKernel) -> None:
    """Nothing is missing, and nothing comes twice."""
    async with trio.open_nursery() as nursery, kernel.execute(LINES) as execution:
        assert await anext(execution) == Stdout("0\n")
        for _ in range(3):
            nursery.start_soon(printed, kernel, "1")
        await others_wait(kernel, 3)
        assert await rest_of(execution) == "1\n2\n3\n4\n"


@both_ways
async def test_reading_ahead_stops_at_questions(kernel: TrioKernel) -> None:
    found: list[str] = []

    async def other() -> None:
        found.append(await printed(kernel, "print(a)"))

    async with trio.open_nursery() as nursery:
        async with kernel.execute("a = input()\nb = input()\nprint(a + b)") as execution:
            nursery.start_soon(other)
            await others_wait(kernel, 1)
            answers, text = ["1", "2"], ""
            async for event in execution:
                if isinstance(event, InputRequest):
                    await execution.send_input(answers.pop(0))
                elif isinstance(event, Stdout):
                    text += event.text
        assert text.endswith("12\n")
    assert found == ["1\n"]


@both_ways
@pytest.mark.parametrize("over", ["answered", "interrupted"])
async def test_question_that_is_over_lets_others_come(kernel: TrioKernel, over: str) -> None:
    """However it was answered: the task that reads the run may be the one that waits."""
    code = "try:\n    input()\nexcept KeyboardInterrupt:\n    pass\n"
    async with kernel.execute(code) as execution:
        assert await anext(execution) == InputRequest()
        if over == "answered":
            await execution.send_stdin(b"yes\n")
        else:
            await execution.interrupt()
        assert await printed(kernel, "print(1)") == "1\n"
        assert [event async for event in execution][-1] == Finished(0)


@both_ways
async def test_end_of_input_at_a_question_is_told_to_who_waits(kernel: TrioKernel) -> None:
    """A manager cannot tell its program so: nobody would wait for good."""
    with pytest.raises(ExecutionError, match="cannot tell"):
        async with kernel.execute("input()") as execution:
            assert await anext(execution) == InputRequest()
            await execution.close_stdin()
            await printed(kernel, "print(1)")
    assert await printed(kernel, "print(1)") == "1\n"


@both_ways
async def test_run_that_has_come_between_is_read_ahead_as_well(kernel: TrioKernel) -> None:
    """Its reader waits for the one that waits behind it."""
    found: list[str] = []
    third_ended = trio.Event()

    async def second() -> None:
        async with kernel.execute(LINES) as execution:
            await third_ended.wait()
            found.append(await rest_of(execution))

    async def third() -> None:
        found.append(await printed(kernel, "print(i)"))
        third_ended.set()

    async with trio.open_nursery() as nursery, kernel.execute("input()") as execution:
        assert await anext(execution) == InputRequest()
        nursery.start_soon(second)
        await others_wait(kernel, 1)
        nursery.start_soon(third)
        await others_wait(kernel, 2)
        await execution.send_input("")
        assert [event async for event in execution][-1] == Finished(0)
    assert found == ["4\n", "0\n1\n2\n3\n4\n"]


@pytest.mark.parametrize("way", ["socket"])
async def test_run_that_is_being_opened_is_read_ahead_later(kernel: TrioKernel) -> None:
    """It has the turn before its connection is there."""
    found: list[str] = []
    other_ended = trio.Event()

    async def first() -> None:
        async with kernel.execute(LINES) as execution:
            assert turn_of(kernel).statistics().tasks_waiting == 1
            await other_ended.wait()
            found.append(await rest_of(execution))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await turn_taken(kernel)
        found.append(await printed(kernel, "print(i)"))
        other_ended.set()
    assert found == ["4\n", "0\n1\n2\n3\n4\n"]


@both_ways
@pytest.mark.parametrize("waiters", [1, 3])
async def test_block_is_left_while_others_read_ahead(kernel: TrioKernel, waiters: int) -> None:
    """Its run is stopped as ever, also when one that waited was cancelled."""
    found: list[str] = []
    scopes: list[trio.CancelScope] = []

    async def other() -> None:
        with trio.CancelScope() as scope:
            scopes.append(scope)
            found.append(await printed(kernel, "print(7)"))

    async with trio.open_nursery() as nursery:
        async with kernel.execute(FOR_EVER) as execution:
            assert await anext(execution) == Stdout("up\n")
            for _ in range(waiters):
                nursery.start_soon(other)
            await others_wait(kernel, waiters)
            scopes[0].cancel()
        assert execution.outcome is None or isinstance(execution.outcome, Finished)
    assert found == ["7\n"] * (waiters - 1)
    assert await printed(kernel, "print(8)") == "8\n"


@both_ways
async def test_kernel_that_ends_while_others_read_ahead(client: Client) -> None:
    """The reader gets the error, though another has met it."""
    async with open_kernel(client, PYTHON) as kernel, kernel.execute(FOR_EVER) as execution:
        assert await anext(execution) == Stdout("up\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kernel.destroy)
            with pytest.raises((ApiError, ExecutionError)):
                await printed(kernel, "print(7)")
        try:
            await rest_of(execution)
            assert execution.outcome == Finished(130)
        except (ApiError, ExecutionError):
            pass


@pytest.mark.parametrize("way", ["polls"])
async def test_interrupt_of_1_x_waits_for_its_code(
    kernel: TrioKernel, caplog: pytest.LogCaptureFixture
) -> None:
    """One that meets no code is lost there, or ends the interpreter."""
    caplog.set_level(logging.DEBUG, "backendai_trio.http")
    kernel.client.era = replace(kernel.client.era, interrupts_need_code=True)
    async with kernel.execute("import time\nwhile True: time.sleep(0.1)") as execution:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rest_of, execution)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await execution.interrupt()
            with trio.fail_after(30):
                while execution.outcome is None:  # noqa: ASYNC110 (it has no event)
                    await trio.sleep(0.01)
        requests = [r.getMessage().split()[1] for r in caplog.records]
        begun = requests.index(f"/session/{kernel.address}")
        assert begun < requests.index(f"/session/{kernel.address}/interrupt")


@pytest.mark.parametrize("way", ["polls"])
async def test_kernels_of_1_x_are_waited_for(
    kernel: TrioKernel, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the first run in it, or the first after a restart: nothing is run to its end."""
    caplog.set_level(logging.DEBUG, "backendai_trio.http")
    kernel.client.era = replace(kernel.client.era, interrupts_need_code=True)

    async def requests_of(code: str) -> int:
        caplog.clear()
        assert await printed(kernel, code) == "42\n"
        return len(caplog.records)

    assert await requests_of("print(42)") == 2
    assert await requests_of("print(42)") == 1
    await kernel.restart()
    assert await requests_of("print(42)") == 2


@pytest.mark.parametrize("way", ["polls"])
async def test_kernel_of_1_x_that_is_blocked_is_told(client: Client, kernel: TrioKernel) -> None:
    """By a run of another client, which may have been killed: nobody else would say why."""
    hasty = replace(client.config, grace_seconds=0.1)
    async with kernel.execute(FOR_EVER) as execution:
        assert await anext(execution) == Stdout("up\n")
        async with open_client(hasty) as second:
            second.hello = client.hello
            second.era = replace(client.era, interrupts_need_code=True)
            with pytest.warns(RuntimeWarning, match="has not run code for 0.2 s"):
                with trio.move_on_after(2):
                    await printed(await find_kernel(second, kernel.token), "1")
        assert execution.outcome is None


@pytest.mark.parametrize("way", ["polls"])
async def test_wait_for_a_kernel_of_1_x_is_taken_up_again(
    client: Client, kernel: TrioKernel
) -> None:
    """A cancelled one leaves nothing behind that would block the kernel, and takes no time."""
    async with open_client(client.config) as second:
        second.hello = client.hello
        second.era = replace(client.era, interrupts_need_code=True)
        again = await find_kernel(second, kernel.token)
        async with kernel.execute(FOR_EVER) as execution:
            assert await anext(execution) == Stdout("up\n")
            for _ in range(3):
                with trio.fail_after(5), trio.move_on_after(0.2) as waiting:
                    await printed(again, "print(1)")
                assert waiting.cancelled_caught
        assert await printed(again, "print(6 * 7)") == "42\n"
        assert record_of(second, again.address).starting is None
