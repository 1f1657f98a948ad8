"""Kernels and the admin API, for asyncio."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar

from .. import admin
from .._faces import KernelFace
from .._portal import Job, client_job, hold
from ..config import Config
from ..plain import ExecutionResult, Mode, PlainKernel
from ..wire.kernels import KernelInfo, Statistics
from ..wire.listings import SessionRow
from ._waiting import wait
from .streams import Opening, StreamExecute, StreamPty

__all__ = ["AsyncAdmin", "AsyncKernel"]

T = TypeVar("T")
P = ParamSpec("P")


async def _call(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    return await wait(Job(partial(work, *args, **kwargs)))


class AsyncKernel(KernelFace):
    """A kernel. As a context manager, it is destroyed at the end of the block."""

    @classmethod
    async def get_or_create(
        cls,
        lang: str,
        client_token: str | None = None,
        mounts: Iterable[str] | None = None,
        envs: Mapping[str, str] | None = None,
        *,
        resources: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> Self:
        """See `PlainKernel.get_or_create`."""
        make = partial(
            PlainKernel.get_or_create,
            lang=lang,
            client_token=client_token,
            mounts=mounts,
            envs=envs,
            resources=resources,
        )
        return cls(await wait(client_job(config, make, undo=PlainKernel.discard)))

    @classmethod
    async def find(cls, token: str, *, config: Config | None = None) -> Self:
        """See `PlainKernel.find`."""
        return cls(await wait(client_job(config, partial(PlainKernel.find, token=token))))

    async def execute(
        self,
        code_or_run_id: str | None = None,
        /,
        *,
        code: str | None = None,
        run_id: str | None = None,
        mode: Mode = "query",
        opts: Mapping[str, Any] | None = None,
    ) -> ExecutionResult:
        """See `PlainKernel.execute`."""
        return await _call(
            self._kernel.execute, code_or_run_id, code=code, run_id=run_id, mode=mode, opts=opts
        )

    def stream_execute(
        self,
        code: str = "",
        *,
        mode: Literal["query", "batch"] = "query",
        opts: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        window: tuple[int, int] | None = None,
    ) -> Opening[StreamExecute]:
        """Run code whose events come as they happen: ``async with kern.stream_execute(...)``."""
        run = partial(
            self._kernel.stream_execute, code, mode=mode, opts=opts, run_id=run_id, window=window
        )

        async def opened() -> StreamExecute:
            return StreamExecute(await wait(hold(run)))

        return Opening(opened)

    def stream_pty(self) -> Opening[StreamPty]:
        """Attach to the terminal: ``await kern.stream_pty()``, or ``async with``."""

        async def opened() -> StreamPty:
            return StreamPty(await wait(hold(self._kernel.stream_pty)))

        return Opening(opened)

    async def upload(
        self, files: Iterable[str | os.PathLike[str]], *, base: Path | None = None
    ) -> None:
        """See `PlainKernel.upload`."""
        await _call(self._kernel.upload, files, base=base)

    async def interrupt(self) -> None:
        """See `PlainKernel.interrupt`."""
        await _call(self._kernel.interrupt)

    async def restart(self) -> None:
        """See `PlainKernel.restart`."""
        await _call(self._kernel.restart)

    async def complete(self, code: str, opts: Mapping[str, Any] | None = None) -> list[str]:
        """See `PlainKernel.complete`."""
        return await _call(self._kernel.complete, code, opts)

    async def info(self) -> KernelInfo:
        """See `PlainKernel.info`."""
        return await _call(self._kernel.info)

    async def get_info(self) -> dict[str, Any]:
        """See `PlainKernel.get_info`."""
        return await _call(self._kernel.get_info)

    async def logs(self) -> str:
        """See `PlainKernel.logs`."""
        return await _call(self._kernel.logs)

    async def destroy(self) -> Statistics | None:
        """See `PlainKernel.destroy`."""
        return await _call(self._kernel.destroy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.destroy()  # noqa: ASYNC102 (is not cut short by a cancellation)


class AsyncAdmin:
    """Questions to the admin API. An ordinary key pair sees what is its own."""

    @classmethod
    async def query(
        cls,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        config: Config | None = None,
    ) -> Mapping[str, Any]:
        """See `backendai_trio.query`."""
        ask = partial(admin.query, query=query, variables=variables)
        return await wait(client_job(config, ask))

    @classmethod
    async def list_kernels(
        cls,
        *,
        status: str | None = "RUNNING",
        access_key: str | None = None,
        config: Config | None = None,
    ) -> list[SessionRow]:
        """See `backendai_trio.list_kernels`."""
        ask = partial(admin.list_kernels, status=status, access_key=access_key)
        return await wait(client_job(config, ask))
