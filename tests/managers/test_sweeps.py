"""Many sessions, a few at a time."""

from __future__ import annotations

import pytest

from backendai_trio import (
    Case,
    Client,
    TrioKernel,
    open_sweep,
    plan_cases,
)
from backendai_trio.kernels import parse_range

from .runs import run
from .targets import Target

pytestmark = pytest.mark.needs("sessions")


@pytest.mark.parametrize("count", [6])
async def test_sweep(client: Client, target: Target, count: int) -> None:
    cases = plan_cases(env_ranges=[parse_range(f"N=range:{count}")])

    async def work(kernel: TrioKernel, case: Case) -> str:
        return (await run(kernel, "import os\nprint(os.environ['N'] * 2)")).stdout

    found = {}
    async with open_sweep(client, target.python, cases, work, max_parallel=3) as results:
        async for result in results:
            assert result.error is None, result
            found[result.case.values["N"]] = result.value
    assert found == {str(n): f"{n}{n}\n" for n in range(count)}


async def test_sweep_that_is_left_early(client: Client, target: Target) -> None:
    """Its sessions end; that none is left is held for every test here."""
    cases = plan_cases(env_ranges=[parse_range("N=range:20")])

    async def work(kernel: TrioKernel, case: Case) -> None:
        await run(kernel, "print(1)")

    async with open_sweep(client, target.python, cases, work, max_parallel=2) as results:
        async for result in results:
            assert result.error is None
            break
