"""Sweeps: how many kernels live at once, what comes of each case, and what is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Case,
    Client,
    Finished,
    GatewayOptions,
    KernelSpec,
    NotFound,
    QuotaExceeded,
    Stdout,
    TrioKernel,
    open_client,
    open_gateway,
    open_kernel,
    open_sweep,
    plan_cases,
)
from backendai_trio.gateway import Gateway
from backendai_trio.kernels import Range
from backendai_trio.wire.versions import TRANSITION

LUA = KernelSpec(runtime="lua", environ={"SAME": "for all"})
LIMIT = 3


def seeds(count: int) -> list[Case]:
    return plan_cases(env_ranges=[Range("SEED", tuple(map(str, range(count))))])


async def say(kernel: TrioKernel, case: Case) -> str:
    """Let the kernel print what it was made with."""
    text = ""
    async with kernel.execute("print(os.getenv('SEED'), os.getenv('SAME'))") as run:
        async for event in run:
            if isinstance(event, Stdout):
                text += event.text
    assert isinstance(run.outcome, Finished) and run.outcome.exit_code == 0
    return text


@pytest.fixture
async def narrow(gateway_parent: Path) -> AsyncIterator[tuple[Gateway, Client]]:
    """A gateway that refuses to have more than LIMIT kernels at once: it is what counts them."""
    async with (
        open_gateway(GatewayOptions(max_sessions=LIMIT, eras=[TRANSITION])) as gateway,
        open_client(gateway.config) as client,
    ):
        yield gateway, client


async def test_as_many_kernels_as_allowed_and_no_more(narrow: tuple[Gateway, Client]) -> None:
    gateway, client = narrow
    most = 0
    said = {}

    async def work(kernel: TrioKernel, case: Case) -> str:
        nonlocal most
        most = max(most, len(gateway.tokens()))
        return await say(kernel, case)

    async with open_sweep(client, LUA, seeds(12), work, max_parallel=LIMIT) as results:
        async for result in results:
            assert result.error is None and result.value is not None
            assert result.seconds > 0 and result.statistics is not None
            said[result.case.values["SEED"]] = result.value
    assert said == {f"{n}": f"{n}\tfor all\n" for n in range(12)}
    assert most == LIMIT
    assert gateway.tokens() == []


async def test_the_gateway_would_have_told(narrow: tuple[Gateway, Client]) -> None:
    """One more than it takes, and it refuses some: the test above can fail."""
    _, client = narrow
    everybody = trio.Event()
    here = 0

    async def wait_for_all(kernel: TrioKernel, case: Case) -> None:
        nonlocal here
        here += 1
        if here == LIMIT:
            everybody.set()
        await everybody.wait()

    async with open_sweep(
        client, LUA, seeds(LIMIT + 1), wait_for_all, max_parallel=LIMIT + 1
    ) as results:
        first = await anext(results)
        assert isinstance(first.error, QuotaExceeded) and first.value is None


async def test_cases_are_taken_when_a_kernel_is_free(gateway: Gateway, client: Client) -> None:
    taken = []

    def cases() -> Iterator[Case]:
        for case in seeds(1000):
            taken.append(case)
            yield case

    async with open_sweep(client, LUA, cases(), say, max_parallel=2) as results:
        await anext(results)
        await anext(results)
    # Two have ended, two more were begun; those who gave their result may have taken one.
    assert len(taken) <= 6
    assert gateway.tokens() == []


async def test_what_fails_is_a_result_and_the_rest_goes_on(client: Client) -> None:
    async def work(kernel: TrioKernel, case: Case) -> str:
        if case.values["SEED"] == "1":
            await kernel.destroy()
            async with kernel.execute("print(1)") as run:
                async for _ in run:
                    pass
        return await say(kernel, case)

    found = {}
    async with open_sweep(client, LUA, seeds(4), work, max_parallel=2) as results:
        async for result in results:
            found[result.case.values["SEED"]] = result
    assert {seed for seed, result in found.items() if result.error is None} == {"0", "2", "3"}
    assert isinstance(found["1"].error, NotFound)


async def test_a_kernel_that_cannot_be_had_is_a_result(client: Client) -> None:
    spec = KernelSpec(runtime="no-such-thing")
    async with open_sweep(client, spec, seeds(3), say, max_parallel=2) as results:
        found = [result async for result in results]
    assert len(found) == 3
    assert all(isinstance(result.error, NotFound) for result in found)
    assert all(result.statistics is None for result in found)


async def test_a_mistake_in_the_work_ends_all(gateway: Gateway, client: Client) -> None:
    mistake = ZeroDivisionError("mine")

    async def work(kernel: TrioKernel, case: Case) -> None:
        if case.values["SEED"] == "2":
            raise mistake
        await trio.sleep_forever()

    with pytest.raises(ZeroDivisionError) as caught:
        async with open_sweep(client, LUA, seeds(9), work, max_parallel=4) as results:
            async for _ in results:
                pass
    assert caught.value is mistake
    assert gateway.tokens() == []


@pytest.mark.parametrize("max_parallel", [1, 2])
async def test_a_mistake_in_the_last_work_is_raised(client: Client, max_parallel: int) -> None:
    """It ends the results, after which the other tasks are cancelled: it must not be lost so."""

    first, last = seeds(2)

    async def work(kernel: TrioKernel, case: Case) -> None:
        await trio.lowlevel.checkpoint()
        if case.label == last.label:
            raise ZeroDivisionError

    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            cases = [first, last]
            async with open_sweep(client, LUA, cases, work, max_parallel=max_parallel) as results:
                async for _ in results:
                    pass


@pytest.mark.parametrize("how", ["break", "cancel", "error"])
async def test_leaving_early_leaves_nothing(gateway: Gateway, client: Client, how: str) -> None:
    both = trio.Event()
    here = 0

    async def work(kernel: TrioKernel, case: Case) -> None:
        nonlocal here
        async with kernel.execute("while true do end") as run:
            here += 1
            if here == 2:
                both.set()
            async for _ in run:
                pass

    with trio.CancelScope() as scope:
        try:
            async with open_sweep(client, LUA, seeds(9), work, max_parallel=2) as results:
                await both.wait()
                assert len(gateway.tokens()) == 2
                if how == "error":
                    raise KeyError("mine")
                if how == "cancel":
                    scope.cancel()
                    await anext(results)
        except KeyError:
            assert how == "error"
    assert scope.cancelled_caught == (how == "cancel")
    assert gateway.tokens() == []
    async with open_kernel(client, LUA) as kernel:
        assert await say(kernel, Case()) == "nil\tfor all\n"


async def test_no_cases(client: Client) -> None:
    async with open_sweep(client, LUA, [], say, max_parallel=8) as results:
        assert [result async for result in results] == []


@pytest.mark.parametrize("number", [0, -1])
async def test_none_at_a_time(client: Client, number: int) -> None:
    with pytest.raises(ValueError, match="max_parallel"):
        async with open_sweep(client, LUA, seeds(1), say, max_parallel=number):
            raise AssertionError("not reached")


async def test_a_reader_that_waits_holds_the_sweep(client: Client) -> None:
    begun = 0

    async def work(kernel: TrioKernel, case: Case) -> None:
        nonlocal begun
        begun += 1
        await trio.lowlevel.checkpoint()

    async with open_sweep(client, LUA, seeds(50), work, max_parallel=2) as results:
        for taken in range(1, 6):
            await anext(results)
            # Two tasks, each of which holds a result that nobody has taken or works on a case.
            assert taken <= begun <= taken + 2
