"""Rows of calls about kernels: from their create to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from backendai_trio import (
    Case,
    TrioKernel,
    attach_kernel,
    find_kernel,
    list_kernels,
    open_client,
    open_events,
    open_kernel,
    open_sweep,
    plan_cases,
    query,
    run_kernel,
)
from backendai_trio.admin import list_rows
from backendai_trio.config import LeftKernel
from backendai_trio.kernels import (
    BatchJob,
    Range,
    end_left_kernel,
    enqueue_kernel,
    kernel_logs,
    list_containers,
    one_error,
    run_batch,
    task_log,
)
from backendai_trio.wire.announcements import ANNOUNCEMENT_PATH, decode_announcement
from backendai_trio.wire.http import Request

from .cells import PYTHON, Cell, World
from .rows import gateway_world, row

CREATES = "a create may take minutes, so its answer has no limit"
DESTROYS = "a server answers a destroy when all that runs in the kernel has ended: no limit"
BATCH = "a batch session may wait and run for as long as it likes"


@row("open_client")
async def opening_a_client(cell: Cell) -> None:
    version = ""
    async with cell.armed(), open_client(cell.client.config) as client:
        version = client.hello.version
    if cell.succeeded:
        assert version == cell.direct.hello.version


@row("Client.call")
async def calling(cell: Cell) -> None:
    async with cell.armed():
        reply = await cell.client.call(Request("GET", ANNOUNCEMENT_PATH))
        decode_announcement(reply.body)  # what an answer means is its caller's affair
    if cell.succeeded:
        assert reply.body == (await cell.direct.call(Request("GET", ANNOUNCEMENT_PATH))).body


@row("Client.start_call")
async def pending_call(cell: Cell) -> None:
    call = cell.client.start_call(Request("GET", ANNOUNCEMENT_PATH))
    try:
        async with cell.armed():
            reply = await call.wait()
            decode_announcement(reply.body)
    finally:
        call.close()
    if cell.succeeded:
        assert reply.body == (await cell.direct.call(Request("GET", ANNOUNCEMENT_PATH))).body


@row("Client.request")
async def streamed_response(cell: Cell) -> None:
    body = b""
    async with (
        cell.armed(),
        cell.client.request(Request("GET", ANNOUNCEMENT_PATH)) as response,
    ):
        async for data in response:
            body += data
        decode_announcement(body)
    if cell.succeeded:
        assert body == (await cell.direct.call(Request("GET", ANNOUNCEMENT_PATH))).body


@row("open_kernel", unlimited=CREATES)
async def kernel_of_a_block(cell: Cell) -> None:
    running: list[str] = []
    async with cell.armed(), open_kernel(cell.client, PYTHON, token=cell.token()) as kernel:
        running = [token for token in cell.world.tokens() if token == kernel.token]
        assert len(running) == 1
    if cell.succeeded:
        assert running == [cell.token()]


@row("run_kernel", unlimited=CREATES)
async def kernel_of_a_nursery(cell: Cell) -> None:
    token = ""
    async with cell.armed():
        with one_error():
            async with trio.open_nursery() as nursery:
                kernel = await nursery.start(run_kernel, cell.client, PYTHON)
                token = kernel.token
                assert token in cell.world.tokens()
                nursery.cancel_scope.cancel()
    assert token or not cell.succeeded  # whether it has ended is seen when all cells have run


@row("attach_kernel", unlimited=CREATES)
async def kernel_that_stays(cell: Cell) -> None:
    async with cell.armed():
        kernel = await attach_kernel(cell.client, PYTHON, token=cell.token())
    if cell.succeeded:
        assert kernel.token == cell.token() and kernel.created
        assert cell.world.tokens().count(cell.token()) == 1
        assert await cell.destroy(cell.token())


@row("kernels.enqueue_kernel", unlimited=CREATES)
async def enqueued_kernel(cell: Cell) -> None:
    async with cell.armed():
        kernel = await enqueue_kernel(cell.client, PYTHON, token=cell.token())
    if cell.succeeded:
        found = await find_kernel(cell.direct, cell.token())
        assert found.token == kernel.token
    await _destroy_within_moments(cell)


async def _destroy_within_moments(cell: Cell) -> None:
    """Destroy the cell's kernel, which may still be on its way."""
    for _ in range(20):
        if await cell.destroy(cell.token()):
            return
        if cell.succeeded:
            await trio.sleep(0.05)
        else:
            return


@row("find_kernel", kernel=True)
async def found_kernel(cell: Cell) -> None:
    async with cell.armed():
        found = await find_kernel(cell.client, cell.direct_kernel.token)
    if cell.succeeded:
        assert (await found.info()).runtime == "python"
        assert found.token == cell.direct_kernel.token


@row("list_kernels", kernel=True)
async def listed_kernels(cell: Cell) -> None:
    async with cell.armed():
        rows = await list_kernels(cell.client)
    if cell.succeeded:
        assert cell.direct_kernel.token in [row.token for row in rows]


@row("query", kernel=True)
async def graphql(cell: Cell) -> None:
    text = "query($id: UUID) { compute_session(id: $id) { status } }"
    async with cell.armed():
        found = await query(cell.client, text, {"id": cell.direct_kernel.kernel_id})
    if cell.succeeded:
        assert found == {"compute_session": {"status": "RUNNING"}}


@row("admin.list_rows", kernel=True)
async def rows(cell: Cell) -> None:
    async with cell.armed():
        found = await list_rows(cell.client, "sessions", {"status": "RUNNING"}, fields=("name",))
    if cell.succeeded:
        assert cell.direct_kernel.token in [entry["name"] for entry in found]


@row("TrioKernel.info", kernel=True)
async def info(cell: Cell) -> None:
    async with cell.armed():
        found = await cell.kernel.info()
    if cell.succeeded:
        assert (found.runtime, found.status) == ("python", "RUNNING")


@row("TrioKernel.logs", kernel=True)
async def logs(cell: Cell) -> None:
    await cell.printed("print('x' * 300)")
    async with cell.armed():
        text = await cell.kernel.logs()
    if cell.succeeded:
        assert text == "x" * 300 + "\n"


@row("kernels.kernel_logs", kernel=True)
async def logs_by_address(cell: Cell) -> None:
    await cell.printed("print('x' * 300)")
    async with cell.armed():
        text = await kernel_logs(cell.client, cell.kernel.address, cell.kernel.kernel_id)
    if cell.succeeded:
        assert text == "x" * 300 + "\n"


@row("TrioKernel.rename", kernel=True)
async def renaming(cell: Cell) -> None:
    before, after = cell.direct_kernel.token, cell.token("other")
    async with cell.armed():
        await cell.kernel.rename(after)
    there = [token for token in cell.world.tokens() if token in (before, after)]
    if cell.succeeded:
        assert there == [after] and cell.kernel.token == after
    else:
        assert len(there) == 1


@row("TrioKernel.interrupt", kernel=True)
async def interrupting(cell: Cell) -> None:
    code = (
        "import time\nprint('on', flush=True)\ntry: time.sleep(60)\nexcept KeyboardInterrupt: pass"
    )
    async with cell.direct_kernel.execute(code) as run:
        await anext(run)
        async with cell.armed():
            await cell.kernel.interrupt()
        if cell.succeeded:
            result = await run.collect()
            assert result["status"] == "finished"


@row("TrioKernel.restart", kernel=True, unlimited="a restart may take minutes")
async def restarting(cell: Cell) -> None:
    await cell.printed("value = 1")
    async with cell.armed():
        await cell.kernel.restart()
    if cell.succeeded:
        assert await cell.printed("print('value' in globals())") == "False\n"


@row("TrioKernel.complete", kernel=True)
async def completing(cell: Cell) -> None:
    await cell.printed("unusual_name = 1")
    async with cell.armed():
        found = await cell.kernel.complete("unusual_n", col=9, line="unusual_n")
    if cell.succeeded:
        # A server that fails to complete has no candidates, by the method's documentation.
        assert any("unusual_name" in word for word in found) or (not found and cell.network.hits)


@row("TrioKernel.destroy", kernel=True, unlimited=DESTROYS)
async def destroying(cell: Cell) -> None:
    async with cell.armed():
        await cell.kernel.destroy()
    if cell.succeeded:
        assert cell.direct_kernel.token not in cell.world.tokens()


@row("TrioKernel.destroy_or_warn", kernel=True, unlimited=DESTROYS)
async def destroying_or_warning(cell: Cell) -> None:
    ended = False
    async with cell.armed():
        ended = await cell.kernel.destroy_or_warn()
    assert cell.error is None  # it raises none
    if ended:
        assert cell.direct_kernel.token not in cell.world.tokens()


@row("kernels.end_left_kernel", kernel=True, unlimited=DESTROYS)
async def ending_what_was_left(cell: Cell) -> None:
    kernel = cell.direct_kernel
    left = LeftKernel(
        kernel.token,
        cell.client.config.endpoint.url,
        cell.client.config.access_key,
        Path("unused"),
        kernel.kernel_id,
    )
    async with cell.armed():
        how = await end_left_kernel(cell.client, left)
    if cell.succeeded:
        assert how in ("ended", "ended before")
        assert kernel.token not in cell.world.tokens()


@row("open_sweep", unlimited=CREATES)
async def sweep(cell: Cell) -> None:
    found = []

    async def work(kernel: TrioKernel, case: Case) -> int:
        await trio.lowlevel.checkpoint()
        assert kernel.token in cell.world.tokens()
        return 1

    cases = plan_cases(env_ranges=[Range("x", ("1", "2"))])
    async with (
        cell.armed(),
        open_sweep(cell.client, PYTHON, cases, work, max_parallel=1) as results,
    ):
        async for result in results:
            found.append(result)
    if cell.succeeded:
        assert len(found) == 2
        assert all(result.error is not None or result.value == 1 for result in found)
        # A case's error is its result: that is how this call fails.
        cell.error = next((result.error for result in found if result.error is not None), None)


@row("kernels.run_batch", unlimited=BATCH)
async def batch(cell: Cell) -> None:
    async with cell.armed():
        result = await run_batch(cell.client, PYTHON, BatchJob("echo done"), token=cell.token())
    if cell.succeeded:
        assert result.succeeded and result.exit_code == 0
        assert result.log == "done\n" or not result.log_complete


@row("kernels.list_containers", kernel=True)
async def containers(cell: Cell) -> None:
    async with cell.armed():
        found = await list_containers(cell.client, cell.direct_kernel.kernel_id)
    if cell.succeeded:
        assert [container.host_name for container in found] == ["main1"]


@asynccontextmanager
async def log_world(folder: Path) -> AsyncIterator[World]:
    """A gateway with the log of a task."""
    async with gateway_world()(folder) as world, open_client(world.config) as client:
        result = await run_batch(client, PYTHON, BatchJob("echo kept"))
        world.more["task"] = result.kernel_id
        yield world


@row("kernels.task_log", world=log_world)
async def log_of_a_task(cell: Cell) -> None:
    async with cell.armed():
        text = await task_log(cell.client, str(cell.world.more["task"]))
    if cell.succeeded:
        # Text of any length may be a log: a length that is too short cannot be told.
        assert "kept\n".startswith(text)


@row(
    "open_events",
    "EventStream.__anext__",
    unlimited="a connection that breaks is replaced for as long as the caller waits",
)
async def events(cell: Cell) -> None:
    seen = ""
    async with (
        cell.armed(),
        open_events(cell.client, token=cell.token(), silence_seconds=3.0) as stream,
    ):
        async with open_kernel(cell.direct, PYTHON, token=cell.token()):
            pass
        async for event in stream:
            seen = event.name
            break
    if cell.succeeded:
        assert seen


@row("EventStream.aclose")
async def closing_events(cell: Cell) -> None:
    async with open_events(cell.client, silence_seconds=3.0) as stream, cell.armed():
        await stream.aclose()
    assert cell.succeeded
