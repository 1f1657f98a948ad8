"""Sweeps: the same work for many cases, each in a kernel of its own, a few at a time.

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
from ..wire.kernel_spec import KernelSpec
from ..wire.kernels import Statistics
from .kernel import TrioKernel
from .opening import open_kernel
from .sweep_cases import Case

__all__ = ["CaseResult", "open_sweep"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CaseResult(Generic[T]):
    """The result of one case of a sweep. The case's kernel has ended."""

    case: Case
    """The case."""
    value: T | None
    """Return value of the work; None if it failed."""
    error: BackendError | ExceptionGroup[Exception] | None
    """Why the case failed: the kernel could not be created, or the work raised this. A group
    contains only `BackendError`, such as those of several failed uploads."""
    seconds: float
    """Time from before the create until after the destroy."""
    statistics: Statistics | None
    """Resources that the kernel used; None where the server does not say."""


@asynccontextmanager
async def open_sweep(
    client: Client,
    spec: KernelSpec,
    cases: Iterable[Case],
    work: Callable[[TrioKernel, Case], Awaitable[T]],
    *,
    max_parallel: int,
) -> AsyncIterator[AsyncIterator[CaseResult[T]]]:
    """Do the same work for each case, in a kernel of its own; iterate over the results.

    Results come in the order in which the cases end, and the iteration ends with the last one. A
    slow reader slows the sweep: at most `max_parallel` results wait for it.

    Args:
        client: client of the server to create the kernels on.
        spec: what kind of kernels to create; each case adds its environment variables.
        cases: the cases, taken one at a time, each when a kernel may be created for it.
        work: called with the kernel and the case, in a task of its own.
        max_parallel: how many kernels may exist at once, 1 or more. The next one is created after
            the server has answered the destroy of the one before it.

    Raises:
        ValueError: `max_parallel` is less than 1.

        A `BackendError` of the work or of the create is a result (`CaseResult.error`), and the
        sweep goes on. Any other exception of the work ends the sweep and is raised.

    Cancellation:
        Destroys all kernels, at once, within the grace time. So does leaving the block early.

    Endpoint: ``POST /session``, then ``DELETE /session/{name}``, for each case (docs/protocol.md,
    sections 3.4 and 3.6).
    """
    if max_parallel < 1:
        raise ValueError("max_parallel must be at least 1")
    remaining = iter(cases)
    with one_error():
        async with trio.open_nursery() as nursery:
            # Without a buffer: a task that waits for the reader holds one result and no kernel.
            sender, receiver = trio.open_memory_channel[CaseResult[T]](0)
            with sender:
                for _ in range(max_parallel):
                    nursery.start_soon(_do_cases, client, spec, remaining, work, sender.clone())
            try:
                yield receiver
            finally:
                # In this order: a task that waits for the reader is cancelled, and does not fail.
                nursery.cancel_scope.cancel()
                receiver.close()


async def _do_cases(
    client: Client,
    spec: KernelSpec,
    remaining: Iterator[Case],
    work: Callable[[TrioKernel, Case], Awaitable[T]],
    sender: trio.MemorySendChannel[CaseResult[T]],
) -> None:
    """Do one case after another. Each of these tasks has at most one kernel."""
    # Closed without a checkpoint: at the end of the results the reader cancels these tasks, and an
    # exception of the work that is on its way would be lost.
    with sender:
        for case in remaining:
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
