"""Many kernels, a few at a time: the same work for each case of a sweep.

::

    async def train(kernel: TrioKernel, case: Case) -> int | None:
        async with kernel.execute(code) as run:
            async for event in run: ...
        return run.outcome.exit_code

    spec = KernelSpec(runtime="python")
    cases = plan_cases(env_ranges=[parse_range("LR=linspace:0.1,0.5,5")])
    async with open_sweep(client, spec, cases, train, max_parallel=2) as results:
        async for result in results:
            print(result.case.label, result.error or result.value)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import trio

from .._groups import one_error
from ..errors import BackendError
from ..transport.client import Client
from ..wire.kernels import KernelSpec, Statistics
from .kernel import TrioKernel
from .opening import open_kernel
from .sweep_cases import Case

__all__ = ["CaseResult", "open_sweep"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CaseResult(Generic[T]):
    """How the work for one case ended. Its kernel is gone by then."""

    case: Case
    value: T | None
    """What the work returned; None if it failed."""
    error: BackendError | ExceptionGroup[Exception] | None
    """Why there is no value: the kernel could not be had, or the work raised this. A group has
    nothing but `BackendError` in it: several uploads that failed."""
    seconds: float
    """From before the kernel was created until after it was destroyed."""
    statistics: Statistics | None
    """What the kernel used, where the server tells."""


@asynccontextmanager
async def open_sweep(
    client: Client,
    spec: KernelSpec,
    cases: Iterable[Case],
    work: Callable[[TrioKernel, Case], Awaitable[T]],
    *,
    max_parallel: int,
) -> AsyncIterator[AsyncIterator[CaseResult[T]]]:
    """Do some work for each case, each in a kernel of its own; iterate over the results.

    Results come in the order in which the cases end, and the iteration ends with the last one. A
    reader that waits holds the sweep back: at most `max_parallel` results are kept for it.

    Args:
        client: where to create the kernels.
        spec: what to create; each case adds its variables.
        cases: taken one at a time, as kernels become free.
        work: called with the kernel and the case, in a task of its own.
        max_parallel: how many kernels may live at once, 1 or more. The next one is created after
            the destroy of the one before it was answered.

    Raises:
        ValueError: `max_parallel` is less than 1.

    Errors:
        A `BackendError` of the work, or of the create, is a result (`CaseResult.error`), and the
        sweep goes on. Leave the block to stop it. Whatever else the work raises ends the sweep.

    Cancellation:
        As leaving the block early: all kernels are destroyed, at once, within the grace time.
    """
    if max_parallel < 1:
        raise ValueError("max_parallel must be at least 1")
    todo = iter(cases)
    with one_error():
        async with trio.open_nursery() as nursery:
            # Size 0: the reader takes each result out of the hands of a task that has no kernel.
            sender, receiver = trio.open_memory_channel[CaseResult[T]](0)
            async with receiver:
                async with sender:
                    for _ in range(max_parallel):
                        nursery.start_soon(_serve, client, spec, todo, work, sender.clone())
                yield receiver
                nursery.cancel_scope.cancel()


async def _serve(
    client: Client,
    spec: KernelSpec,
    todo: Iterator[Case],
    work: Callable[[TrioKernel, Case], Awaitable[T]],
    sender: trio.MemorySendChannel[CaseResult[T]],
) -> None:
    """Do one case after another: a kernel at a time, which is how there are never too many."""
    async with sender:
        for case in todo:
            await sender.send(await _result_of(client, spec, case, work))


async def _result_of(
    client: Client,
    spec: KernelSpec,
    case: Case,
    work: Callable[[TrioKernel, Case], Awaitable[T]],
) -> CaseResult[T]:
    own = replace(spec, environ={**spec.environ, **case.environ})
    start = trio.current_time()
    kernel: TrioKernel | None = None
    value: T | None = None
    error: BackendError | ExceptionGroup[Exception] | None = None
    try:
        async with open_kernel(client, own) as kernel:
            value = await work(kernel, case)
    except BackendError as exc:
        error = exc
    except ExceptionGroup as group:
        if group.split(BackendError)[1] is not None:
            raise
        error = group
    return CaseResult(
        case,
        value,
        error,
        trio.current_time() - start,
        kernel.statistics if kernel is not None else None,
    )
