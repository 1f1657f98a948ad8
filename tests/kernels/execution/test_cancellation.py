"""Runs that are cancelled, left early, or lose their kernel."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio
import trio.testing

from backendai_trio import (
    ApiError,
    Client,
    ExecutionError,
    ExecutionResult,
    Finished,
    InputRequest,
    KernelSpec,
    Stdout,
    TrioKernel,
    open_client,
    open_kernel,
)
from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.kernels.execution import execute
from backendai_trio.kernels.kernel_records import record_of
from backendai_trio.wire.execution import RAW_CONSOLE, ExecuteRequest, Mode

from .runs import FOR_EVER, PYTHON, every_way, run, traceable_ways


@pytest.mark.parametrize("runtime", ["lua", "bash", "perl"])
async def test_cancel_interrupts_other_runtimes(
    client: Client, installed: Callable[..., str], runtime: str
) -> None:
    code = {
        "lua": "print('up') io.flush() while true do end",
        "bash": "echo up; while :; do :; done",
        "perl": "$| = 1; print qq(up\\n); 1 while 1;",
    }[runtime]
    if runtime != "lua":
        installed(runtime)
    async with open_kernel(client, KernelSpec(runtime=runtime)) as kernel:
        with trio.CancelScope() as scope:
            async with kernel.execute(code) as execution:
                async for _ in execution:
                    scope.cancel()
        assert scope.cancelled_caught
        assert execution.outcome == Finished(130)
        after = {"lua": "print('well')", "bash": "echo well", "perl": "print qq(well\\n)"}[runtime]
        assert (await run(kernel, after)).stdout == "well\n"


@traceable_ways
async def test_cancel_interrupts_and_the_kernel_is_usable(kernel: TrioKernel) -> None:
    await run(kernel, "x, hit = 1, False")
    code = (
        "try:\n    print('up', flush=True)\n    while True: pass\n"
        "except KeyboardInterrupt:\n    hit = True\n    raise\n"
    )
    with trio.CancelScope() as scope:
        async with kernel.execute(code) as execution:
            async for event in execution:
                assert event == Stdout("up\n")
                scope.cancel()
    assert scope.cancelled_caught
    # Leaving the block took until the code had stopped.
    assert execution.outcome == Finished(130)
    assert (await run(kernel, "print(x, hit)")).stdout == "1 True\n"


@traceable_ways
async def test_cancel_while_it_waits_for_input(kernel: TrioKernel) -> None:
    with trio.CancelScope() as scope:
        async with kernel.execute("input()") as execution:
            async for _ in execution:
                scope.cancel()
                await trio.lowlevel.checkpoint()
    assert execution.outcome == Finished(130)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@every_way
async def test_cancel_while_nothing_is_printed(
    kernel: TrioKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the cancel hits the wait for a message, and it must not have to wait for a polite end
    from a connection that died with it."""
    monkeypatch.setattr("backendai_trio.transport.resumable.CLOSE_SECONDS", 1000)
    up = trio.Event()
    scope = trio.CancelScope()

    async def use() -> None:
        with scope:
            async with kernel.execute(FOR_EVER) as execution:
                async for _ in execution:
                    up.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        await up.wait()
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
    assert scope.cancelled_caught
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@traceable_ways
async def test_leaving_the_block_early(kernel: TrioKernel) -> None:
    async with kernel.execute(FOR_EVER) as execution:
        async for _ in execution:
            break
    assert execution.outcome == Finished(130)
    with pytest.raises(ValueError, match="of the user"):
        async with kernel.execute(FOR_EVER) as execution:
            async for _ in execution:
                raise ValueError("of the user")
    assert execution.outcome == Finished(130)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@traceable_ways
async def test_program_that_asks_again_when_interrupted(kernel: TrioKernel) -> None:
    code = (
        "for _ in '12':\n    try:\n        input()\n    except KeyboardInterrupt:\n        pass\n"
    )
    async with kernel.execute(code) as execution:
        assert await anext(execution) == InputRequest()
    assert execution.outcome == Finished(0)


async def test_program_that_cannot_be_stopped_is_reported(gateway: Gateway) -> None:
    config = replace(gateway.config, grace_seconds=0.5)
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('up', flush=True)\nwhile True: pass\n"
    )
    async with open_client(config) as client, open_kernel(client, PYTHON) as kernel:
        with pytest.warns(RuntimeWarning, match=kernel.address) as told:
            async with kernel.execute(code) as execution:
                await anext(execution)
        assert {warning.filename for warning in told} == {__file__}
    assert gateway.tokens() == []


@pytest.mark.parametrize("way", ["socket", "polls"])
async def test_leaving_a_managers_run_at_its_question(client: Client, kernel: TrioKernel) -> None:
    """The question is answered, with nothing: a manager's kernel would wait for that for ever."""
    client.hello = replace(client.hello, features=frozenset({RAW_CONSOLE}))
    with trio.CancelScope() as scope:
        async with kernel.execute("input()") as execution:
            assert await anext(execution) == InputRequest()
            scope.cancel()
            await anext(execution)
    assert (await run(kernel, "print(input())", answers=["mine"])).stdout == "mine\n"


for_ever_patient = pytest.mark.parametrize(
    "limits", [GatewayLimits(abandoned_seconds=1e6)], ids=["for-ever"]
)
ASKING = "try:\n    print(input('name? '))\nexcept KeyboardInterrupt:\n    ended = True\n"


async def ask(kernel: TrioKernel, code: str = ASKING, **answer: str) -> ExecutionResult:
    """Run code, or answer, as the other faces do: until it ends or asks."""
    mode: Mode = "input" if answer else "query"
    request = ExecuteRequest(mode, answer.get("run_id") or secrets.token_hex(8), code)
    return await execute(kernel.client, kernel.address, request)


@for_ever_patient
@pytest.mark.parametrize("way", ["socket", "polls"])
async def test_question_that_nobody_answers_gives_way(client: Client, kernel: TrioKernel) -> None:
    """A manager's kernel would wait for the answer for ever, and take no other code."""
    client.hello = replace(client.hello, features=frozenset({RAW_CONSOLE}))
    assert (await ask(kernel))["status"] == "waiting-input"
    assert (await run(kernel, "print(ended)")).stdout == "True\n"
    # One that is answered goes on, and holds nobody up afterwards.
    asked = await ask(kernel)
    answered = await ask(kernel, "me", run_id=asked["runId"])
    assert (answered["status"], answered["console"]) == ("finished", [("stdout", "me\n")])
    assert (await run(kernel, "print(1)")).stdout == "1\n"
    # A restart ends it as well.
    await ask(kernel)
    await kernel.restart()
    assert (await run(kernel, "print(2)")).stdout == "2\n"
    record = record_of(client, kernel.address)
    assert (record.waiting_run, record.turn.value) == (None, 1)


@for_ever_patient
async def test_question_that_cannot_be_ended_says_so(gateway: Gateway) -> None:
    config = replace(gateway.config, grace_seconds=0.5)
    code = (
        "while True:\n    try:\n        input('name? ')\n    except BaseException:\n        pass\n"
    )
    async with open_client(config) as client:
        client.hello = replace(client.hello, features=frozenset({RAW_CONSOLE}))
        client.era = replace(client.era, streams_executions=False)
        async with open_kernel(client, PYTHON) as kernel:
            asked = await ask(kernel, code)
            for _ in range(2):
                with pytest.raises(ExecutionError, match=rf"{asked['runId']}.*restart"):
                    await run(kernel, "print(1)")


@pytest.mark.parametrize("way", ["socket"])
async def test_cancel_on_a_managers_socket(kernel: TrioKernel) -> None:
    """The interrupted run is read to its end: a manager's kernel would be of no use otherwise."""
    with trio.CancelScope() as scope:
        async with kernel.execute(FOR_EVER) as execution:
            assert await anext(execution) == Stdout("up\n")
            scope.cancel()
            await anext(execution)
    assert isinstance(execution.outcome, Finished)
    assert (await run(kernel, "print(6 * 7)")).stdout == "42\n"


@every_way
async def test_kernel_that_ends_under_its_run(client: Client) -> None:
    """The error is told once, and nobody claims that the run may still go on."""
    async with open_kernel(client, PYTHON) as kernel:
        with pytest.raises((ExecutionError, ApiError)):
            async with kernel.execute("input()") as execution:
                assert await anext(execution) == InputRequest()
                await kernel.destroy()
                await execution.send_input("nobody is there")
                async for _ in execution:
                    pass


@every_way
async def test_kernel_that_ends_while_it_runs(kernel: TrioKernel) -> None:
    """A poll is told an exit code of 130 (docs/protocol.md, section 4.2), a stream has no outcome
    at all: either way it is no success."""
    try:
        async with kernel.execute(FOR_EVER) as execution, trio.open_nursery() as nursery:
            assert await anext(execution) == Stdout("up\n")
            nursery.start_soon(kernel.destroy)
            async for _ in execution:
                pass
        assert execution.outcome == Finished(130)
    except* (ExecutionError, ApiError):
        pass
