"""Kernels that wait for their turn, on a gateway that has no room for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from backendai_trio import (
    Client,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    ServerError,
    TrioKernel,
    attach_kernel,
    create_vfolder,
    find_kernel,
    list_kernels,
    open_client,
    open_events,
    open_gateway,
    open_kernel,
    query,
    run_kernel,
)
from backendai_trio.gateway import Gateway
from backendai_trio.kernels import KernelState, enqueue_kernel
from backendai_trio.wire.http import JSON, Request
from backendai_trio.wire.kernels import CreateReply, CreateRequest
from backendai_trio.wire.versions import SEED, TRANSITION

LUA = KernelSpec(runtime="lua")
States = trio.MemoryReceiveChannel[KernelState]


@asynccontextmanager
async def open_narrow(release: str = "") -> AsyncIterator[tuple[Gateway, Client]]:
    """A gateway that runs one kernel at a time."""
    async with (
        open_gateway(GatewayOptions(max_sessions=1, release=release)) as gateway,
        open_client(gateway.config) as client,
    ):
        yield gateway, client


@asynccontextmanager
async def waiting_kernel(
    client: Client, nursery: trio.Nursery, spec: KernelSpec = LUA
) -> AsyncIterator[tuple[States, trio.Event]]:
    """A kernel that waits in the queue: its states, and an event for when it runs."""
    send, states = trio.open_memory_channel[KernelState](100)
    runs = trio.Event()

    async def hold() -> None:
        async with open_kernel(client, spec, progress=send):
            runs.set()
            await trio.sleep_forever()

    nursery.start_soon(hold)
    while (await states.receive()).status != "PENDING":
        pass
    yield states, runs


@pytest.mark.parametrize("release", ["", "20.09", "23.09", "26.9"])
async def test_kernel_runs_when_another_ends(release: str) -> None:
    async with open_narrow(release) as (gateway, client), trio.open_nursery() as nursery:
        async with (
            open_kernel(client, LUA) as first,
            waiting_kernel(client, nursery) as (states, runs),
        ):
            assert gateway.tokens() == [first.token]
            assert len(gateway.waiting_tokens()) == 1
            while not (seen := await states.receive()).reason and seen.ahead is None:
                pass
            if release != "26.9":  # from 26.0 on, only administrators are told
                reason = "You cannot run more than 1 concurrent sessions"
                assert seen.reason == f"predicate-checks-failed: {reason}"
            if release in ("", "26.9"):
                assert seen.ahead == 0
        await runs.wait()
        assert gateway.waiting_tokens() == []
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("release", ["", "23.09", "26.9"])
async def test_cancelled_kernel_leaves_the_queue(release: str) -> None:
    async with open_narrow(release) as (gateway, client), open_kernel(client, LUA) as first:
        async with trio.open_nursery() as nursery, waiting_kernel(client, nursery):
            nursery.cancel_scope.cancel()
        assert gateway.tokens() == [first.token]
        assert gateway.waiting_tokens() == []


async def test_queue_is_in_order_and_priorities_come_first() -> None:
    started = []

    async def hold(number: int, priority: int | None) -> None:
        spec = replace(LUA, tag=f"{number}", priority=priority)
        async with open_kernel(client, spec):
            started.append(number)

    async with open_narrow() as (gateway, client):
        client.hello = replace(client.hello, version="v8.20240915")  # so that it sends priorities
        async with open_kernel(client, LUA), trio.open_nursery() as nursery:
            for number, priority in ((1, None), (2, None), (3, 5), (4, 5)):
                nursery.start_soon(hold, number, priority)
                while len(gateway.waiting_tokens()) < number:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            kernel = await find_kernel(client, gateway.tokens()[0])
            await kernel.destroy()
        assert started == [3, 4, 1, 2]


async def test_create_is_held_back_where_nothing_else_is_asked_for() -> None:
    """So do managers; official clients create like this."""
    async with open_narrow() as (gateway, client):
        replies = []

        async def create() -> None:
            body = CreateRequest("waits", LUA).encode(client.era)
            request = Request("POST", client.era.create_path, (), body, JSON)
            replies.append(CreateReply.decode((await client.call(request)).body, "waits"))

        async with trio.open_nursery() as nursery, open_kernel(client, LUA):
            nursery.start_soon(create)
            while gateway.waiting_tokens() != ["waits"]:  # noqa: ASYNC110
                await trio.sleep(0.01)
            assert replies == []
        assert replies[0].runs and replies[0].created
        assert gateway.tokens() == ["waits"]


@pytest.mark.parametrize("release", ["", "23.09", "26.9"])
async def test_enqueued_kernel_is_there_before_it_runs(release: str) -> None:
    async with open_narrow(release) as (gateway, client):
        first = await attach_kernel(client, LUA, token="first")
        kernel = await enqueue_kernel(client, LUA, token="later")
        again = await enqueue_kernel(client, LUA, token="later")
        assert kernel.created and not again.created
        assert again.kernel_id == kernel.kernel_id
        assert (await kernel.info()).status == "PENDING"
        rows = await list_kernels(client, status=None)
        assert [row.status for row in rows if row.token == "later"] == ["PENDING"]
        assert await kernel.logs() == ""
        with pytest.raises(InvalidRequest, match="does not run yet"):
            await kernel.run("print(1)")
        with pytest.raises(InvalidRequest):  # another runtime
            await enqueue_kernel(client, KernelSpec(runtime="python"), token="later")
        await first.destroy()
        await attach_kernel(client, LUA, token="later")
        assert (await kernel.run("print(1)"))["exitCode"] == 0
        await kernel.destroy()
        assert gateway.tokens() == []


async def test_kernel_in_the_queue_is_destroyed() -> None:
    async with open_narrow() as (gateway, client), open_events(client) as events:
        await attach_kernel(client, LUA, token="first")
        await enqueue_kernel(client, LUA, token="later")
        waiting = await find_kernel(client, "later")
        await waiting.destroy()
        assert gateway.waiting_tokens() == []
        async for event in events:
            if event.token == "later" and event.ends_session:
                assert event.name == "session_cancelled"
                break
        text = "{ compute_session_list(limit: 9, offset: 0) { items { name status status_info } } }"
        rows = (await query(client, text))["compute_session_list"]["items"]
        (row,) = (row for row in rows if row.pop("name") == "later")
        assert row == {"status": "CANCELLED", "status_info": "user-requested"}


async def test_queue_ends_with_the_gateway() -> None:
    with trio.fail_after(20):
        async with open_narrow() as (_gateway, client):
            await attach_kernel(client, LUA, token="first")
            await enqueue_kernel(client, LUA, token="later")


async def test_kernel_that_cannot_be_started_says_why() -> None:
    """On a manager of 23.09 that shows after the create was answered."""
    async with open_narrow("23.09") as (gateway, client):
        gateway.faults.start_failure = "no space left"
        with pytest.raises(ServerError, match=r"CANCELLED.*failed-to-start: no space left"):
            async with open_kernel(client, LUA):
                pass
        gateway.faults.start_failure = ""
        async with open_kernel(client, LUA):
            pass


@pytest.mark.parametrize("path", ["a\0b", "x" * 300], ids=["NUL", "long"])
async def test_kernel_whose_files_cannot_be_made_concerns_no_other(path: str) -> None:
    async with open_narrow() as (gateway, client), open_folder(client) as name:
        with pytest.raises(ServerError, match="could not be started"):
            async with open_kernel(client, replace(LUA, mounts=(f"{name}:{path}",))):
                pass
        async with open_kernel(client, LUA) as kernel:
            assert gateway.tokens() == [kernel.token]


@asynccontextmanager
async def open_folder(client: Client) -> AsyncIterator[str]:
    folder = await create_vfolder(client, "data")
    yield folder.name
    await folder.delete()


@pytest.mark.parametrize("era", [SEED, TRANSITION], ids=lambda era: str(era.name))
async def test_nothing_is_enqueued_before_20_09(era: object) -> None:
    options = GatewayOptions(eras=[era])  # type: ignore[list-item]
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        with pytest.raises(LocalProtocolError, match=r"from 20\.09 on"):
            await enqueue_kernel(client, LUA, token="later")
        assert gateway.tokens() == []


async def test_progress_of_a_kernel_in_a_nursery() -> None:
    async with open_narrow() as (_gateway, client), trio.open_nursery() as nursery:
        first: TrioKernel = await nursery.start(run_kernel, client, LUA)
        send, states = trio.open_memory_channel[KernelState](0)

        async def run_second() -> None:
            await nursery.start(lambda task_status: run_kernel(
                client, LUA, progress=send, task_status=task_status
            ))  # fmt: skip
            nursery.cancel_scope.cancel()

        nursery.start_soon(run_second)
        assert (await states.receive()).status == "PENDING"
        await states.aclose()  # whoever is no longer interested does not hold it up
        await first.destroy()
