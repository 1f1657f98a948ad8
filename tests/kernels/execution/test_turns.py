"""Several runs of one kernel, and runs that nobody follows any more."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from backendai_trio import Client, Finished, InputRequest, Stdout, TrioKernel, open_client
from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.wire.execution import ExecuteReply, ExecuteRequest, Mode
from backendai_trio.wire.http import JSON, Request

from ...local_kernels import work_folder
from .runs import arrived, every_way, run, short_limits, traceable_ways


@every_way
async def test_two_runs_at_once_take_turns(kernel: TrioKernel) -> None:
    order: list[str] = []
    go = trio.Event()

    async def second() -> None:
        await go.wait()
        assert (await run(kernel, "log.append('b')")).exit_code == 0
        order.append("second")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(second)
        code = "log = ['a1']; input(); log.append('a2')"
        async with kernel.execute(code) as execution:
            assert await anext(execution) == InputRequest()
            await arrived(kernel, go)
            await execution.send_input("")
            async for _ in execution:
                pass
            order.append("first")
    assert (await run(kernel, "print(log)")).stdout == "['a1', 'a2', 'b']\n"
    assert sorted(order) == ["first", "second"]


@traceable_ways
async def test_cancel_of_a_run_that_waits_for_its_turn(kernel: TrioKernel) -> None:
    go = trio.Event()

    async def second(scope: trio.CancelScope) -> None:
        await go.wait()
        with scope:
            await run(kernel, "log.append('b')")

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(second, scope)
        async with kernel.execute("log = ['a1']; input(); log.append('a2')") as execution:
            assert await anext(execution) == InputRequest()
            await arrived(kernel, go)
            scope.cancel()
            await execution.send_input("")
            assert [event async for event in execution] == [Finished(0)]
    assert (await run(kernel, "print(log)")).stdout == "['a1', 'a2']\n"


@every_way
@short_limits
async def test_run_that_its_client_abandoned_gives_way(client: Client, kernel: TrioKernel) -> None:
    """A client that was killed polls no more, and says nothing."""
    # It prints more than the gateway holds, so that it is blocked as well.
    code = "try:\n    while True: print('x' * 1000)\nexcept KeyboardInterrupt: hit = True"
    request = ExecuteRequest("query", "lost", code).encode()
    path = client.era.session_path(kernel.token)
    reply = await client.call(Request("POST", path, (), request, JSON))
    assert ExecuteReply.decode(reply.body).status == "continued"
    assert (await run(kernel, "print(hit)")).stdout == "True\n"


@pytest.mark.parametrize("way", ["resumable", "socket"])
@pytest.mark.parametrize(
    "limits", [GatewayLimits(abandoned_seconds=0.1, poll_seconds=0.1)], ids=["short"]
)
async def test_a_question_may_be_thought_about(client: Client, kernel: TrioKernel) -> None:
    """However long, and whoever else wants the kernel."""

    async def status_of_the_other(mode: Mode) -> str:
        request = ExecuteRequest(mode, "other", "pass" if mode == "query" else "").encode()
        path = client.era.session_path(kernel.token)
        reply = await client.call(Request("POST", path, (), request, JSON))
        return ExecuteReply.decode(reply.body).status

    async with kernel.execute("answer = input()") as execution:
        assert await anext(execution) == InputRequest()
        # Each of these replies comes when another run has waited for as long as it must before it
        # may end an abandoned one.
        assert await status_of_the_other("query") == "continued"
        assert await status_of_the_other("continue") == "continued"
        await execution.send_input("considered")
        assert [event async for event in execution] == [Finished(0)]
    while await status_of_the_other("continue") != "finished":
        pass
    assert (await run(kernel, "print(answer)")).stdout == "considered\n"


@pytest.mark.parametrize("way", ["socket"])
async def test_abandoned_run_gets_no_answer(kernel: TrioKernel) -> None:
    """Its kernel is about to be destroyed, and must not go on with an answer that nobody gave."""
    async with kernel.execute("input(); print('went', 'on')") as execution:
        assert await anext(execution) == InputRequest()
        execution.abandon()
    assert (await run(kernel, "print('next')")).stdout == "next\n"
    assert "went on" not in await kernel.logs()


@pytest.mark.parametrize("way", ["polls"])
async def test_a_cancelled_receive_loses_nothing(kernel: TrioKernel) -> None:
    """The poll goes on, since servers hand out output once; and the code runs once."""
    async with kernel.execute("import time; time.sleep(0.5); print('once')") as execution:
        with trio.move_on_after(0.1) as scope:
            await anext(execution)
        assert scope.cancelled_caught
        assert [event async for event in execution] == [Stdout("once\n"), Finished(0)]


@every_way
async def test_input_that_nobody_reads_holds_nobody_up(kernel: TrioKernel) -> None:
    async with kernel.execute("print(input())") as execution, trio.open_nursery() as nursery:
        nursery.start_soon(execution.send_stdin, b"first\n" + b"x" * 1_000_000)
        assert [event async for event in execution][-1] == Finished(0)


async def test_poll_of_a_client_that_went_away_loses_nothing(
    gateway: Gateway, kernel: TrioKernel, gateway_parent: Path
) -> None:
    """Output is taken out only by a poll whose client is still there."""
    code = (
        "import os, time\nprint('up')\n"
        "while not os.path.exists('signal'): time.sleep(0.01)\n"
        "print('here')\n"
    )
    go, gone = trio.Event(), trio.CancelScope()
    async with open_client(gateway.config) as other:

        async def exchange(request: ExecuteRequest) -> ExecuteReply:
            path = other.era.session_path(kernel.token)
            return ExecuteReply.decode(
                (await other.call(Request("POST", path, (), request.encode(), JSON))).body
            )

        async def poll() -> None:
            await go.wait()
            with gone:
                await exchange(ExecuteRequest("continue", "shared"))

        reply = await exchange(ExecuteRequest("query", "shared", code))
        assert reply.console == (("stdout", "up\n"),)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await arrived(kernel, go)
            gone.cancel()
        assert gone.cancelled_caught
        for _ in range(3):  # by then the gateway has seen the closed connection
            await kernel.info()
        (work_folder(gateway_parent) / "signal").touch()
        console: list[object] = []
        while reply.status != "finished":
            reply = await exchange(ExecuteRequest("continue", "shared"))
            console += reply.console
        assert console == [("stdout", "here\n")]
