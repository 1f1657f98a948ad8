"""What a client knows of a kernel, by whichever of its names it is used."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from weakref import ReferenceType, ref

import pytest
import trio
import trio.testing

from backendai_trio import (
    Client,
    InputRequest,
    KernelSpec,
    NotFound,
    Stdout,
    find_kernel,
    open_client,
    open_kernel,
    open_terminal,
)
from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.kernels.execution import execute
from backendai_trio.kernels.kernel_records import KernelRecord, KernelRecords, record_of
from backendai_trio.transport.limits import Limits
from backendai_trio.wire.execution import RAW_CONSOLE, ExecuteRequest
from backendai_trio.wire.http import Request

from .turns import others_wait, printed, rest_of

PYTHON = KernelSpec(runtime="python")
FOR_EVER = "print('up', flush=True)\nwhile True: pass"
ASKING = "try:\n    input()\nexcept KeyboardInterrupt:\n    ended = True\n"

for_ever_patient = pytest.mark.parametrize(
    "limits", [GatewayLimits(abandoned_seconds=1e6)], ids=["for-ever"]
)


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    """A client that takes the gateway for a manager without WebSockets."""
    async with open_client(gateway.config) as opened:
        opened.hello = replace(opened.hello, features=frozenset({RAW_CONSOLE}))
        opened.era = replace(opened.era, streams_executions=False)
        yield opened


@for_ever_patient
@pytest.mark.parametrize("name", ["token", "id"])
async def test_run_left_at_a_question_gives_way_under_any_name(client: Client, name: str) -> None:
    """A manager's kernel would wait for the answer for ever, and take no other code."""
    async with open_kernel(client, PYTHON) as kernel:
        again = await find_kernel(client, kernel.token if name == "token" else kernel.kernel_id)
        asked = await execute(client, kernel.address, ExecuteRequest("query", "asks", ASKING))
        assert asked["status"] == "waiting-input"
        assert await printed(again, "print(ended)") == "True\n"


@pytest.mark.parametrize("created_here", [True, False])
async def test_runs_take_turns_under_any_names(
    gateway: Gateway, client: Client, created_here: bool
) -> None:
    """On a manager both would wait for good if they came at once."""
    found: list[str] = []

    async with (
        open_client(gateway.config) as other,
        open_kernel(client if created_here else other, PYTHON) as kernel,
    ):
        by_token = await find_kernel(client, kernel.token)
        by_id = await find_kernel(client, kernel.kernel_id)

        async def second() -> None:
            found.append(await printed(by_id, "print(answer)"))

        async with trio.open_nursery() as nursery, by_token.execute("answer = input()") as run:
            assert await anext(run) == InputRequest()
            nursery.start_soon(second)
            await others_wait(by_token, 1)
            await run.send_input("2")
            await rest_of(run)
    assert found == ["2\n"]


async def test_kernel_that_is_not_there(client: Client) -> None:
    with pytest.raises(NotFound) as told:
        await find_kernel(client, "nowhere")
    assert "backend.ai ps" in told.value.advice


async def test_kernel_that_is_found_has_its_id_and_its_token(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        for name in (kernel.token, kernel.kernel_id):
            again = await find_kernel(client, name)
            assert (again.token, again.kernel_id) == (kernel.token, kernel.kernel_id)


@pytest.mark.parametrize("poll", ["waits for a connection", "waits for its answer"])
async def test_kernel_of_1_x_that_is_restarted_while_it_is_waited_for(
    client: Client, poll: str
) -> None:
    """What was found out about the old kernel says nothing about the new one."""
    limits = Limits(max_connections=1)
    found: list[str] = []
    async with (
        open_kernel(client, PYTHON) as kernel,
        open_client(client.config, limits=limits) as second,
    ):
        second.hello = client.hello
        again = await find_kernel(second, kernel.token)
        second.era = replace(client.era, interrupts_need_code=True)

        async def run() -> None:
            found.append(await printed(again, "print(1)"))

        async with trio.open_nursery() as nursery:
            if poll == "waits for a connection":
                async with second.request(Request("GET", "/")):  # has the only one
                    nursery.start_soon(run)
                    await trio.testing.wait_all_tasks_blocked()
                    record_of(second, again.address).reset()  # as a restart does
            else:
                async with kernel.execute(FOR_EVER) as execution:
                    assert await anext(execution) == Stdout("up\n")
                    nursery.start_soon(run)
                    await trio.testing.wait_all_tasks_blocked(0.01)
                    record_of(second, again.address).reset()
        record = record_of(second, again.address)
        assert (record.is_ready, record.starting) == (True, None)
    assert found == ["1\n"]


@pytest.mark.parametrize("by", ["request", "terminal"])
async def test_restart_ends_the_run_that_was_left_at_a_question(client: Client, by: str) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        await execute(client, kernel.address, ExecuteRequest("query", "asks", ASKING))
        record = record_of(client, kernel.address)
        assert record.waiting_run == "asks"
        if by == "request":
            await kernel.restart()
        else:
            async with open_terminal(kernel) as terminal:
                await terminal.restart()
        assert record.waiting_run is None


async def test_records_are_forgotten_with_their_kernels(client: Client) -> None:
    async def use() -> ReferenceType[KernelRecord]:
        async with open_kernel(client, PYTHON) as kernel:
            assert await printed(kernel, "print(1)") == "1\n"
            return ref(record_of(client, kernel.token))

    record = await use()
    gc.collect()
    assert record() is None


async def test_run_left_at_a_question_is_remembered_without_its_kernel(client: Client) -> None:
    """As when each call of a program finds the kernel anew."""
    async with open_client(client.config) as other, open_kernel(other, PYTHON) as kernel:

        async def ask() -> None:
            found = await find_kernel(client, kernel.token)
            await execute(client, found.address, ExecuteRequest("query", "asks", ASKING))

        await ask()
        gc.collect()
        assert record_of(client, kernel.kernel_id).waiting_run == "asks"


def test_records_of_kernels_that_had_a_token_one_after_the_other() -> None:
    """An id says more than a token, which the next kernel may have."""
    records = KernelRecords()
    first = records.named("lab1", "id-1")
    assert records.named("lab1", "lab1") is records.of("id-1") is first
    second = records.named("lab1", "id-2")
    assert second is records.of("lab1") is not first is records.of("id-1")
    records.rename(second, "lab1", "lab2")
    assert records.of("lab2") is second is not records.of("lab1")


def test_record_of_a_token_gets_its_id_later() -> None:
    records = KernelRecords()
    by_token = records.named("lab1", "lab1")
    assert records.named("lab1", "id-1") is by_token is records.of("id-1")
