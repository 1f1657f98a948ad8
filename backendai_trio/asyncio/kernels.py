"""Kernels and the admin API, for asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from ..admin import lists as admin
from ..config.settings import Config
from ..faces.base import KernelFace
from ..faces.calls import client_job, hold
from ..faces.kernel_calls import PlainKernel
from ..wire.admin_lists import Kind, SessionRow
from ._waiting import awaited, wait
from .streams import Opening, StreamExecute, StreamPty

__all__ = ["AsyncAdmin", "AsyncKernel"]


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

    execute = awaited(PlainKernel.execute)

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
            self._engine.stream_execute, code, mode=mode, opts=opts, run_id=run_id, window=window
        )

        async def opened() -> StreamExecute:
            return StreamExecute(await wait(hold(run)))

        return Opening(opened)

    def stream_pty(self) -> Opening[StreamPty]:
        """Attach to the terminal: ``await kern.stream_pty()``, or ``async with``."""

        async def opened() -> StreamPty:
            return StreamPty(await wait(hold(self._engine.stream_pty)))

        return Opening(opened)

    upload = awaited(PlainKernel.upload)
    download = awaited(PlainKernel.download)
    list_files = awaited(PlainKernel.list_files)
    mkdir = awaited(PlainKernel.mkdir)
    remove = awaited(PlainKernel.remove)
    interrupt = awaited(PlainKernel.interrupt)
    restart = awaited(PlainKernel.restart)
    complete = awaited(PlainKernel.complete)
    info = awaited(PlainKernel.info)
    get_info = awaited(PlainKernel.get_info)
    logs = awaited(PlainKernel.logs)
    destroy = awaited(PlainKernel.destroy)

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

    @classmethod
    async def list_rows(
        cls,
        kind: Kind,
        arguments: Mapping[str, str] | None = None,
        *,
        config: Config | None = None,
    ) -> list[Mapping[str, Any]]:
        """See `backendai_trio.list_rows`."""
        ask = partial(admin.list_rows, kind=kind, arguments=arguments)
        return await wait(client_job(config, ask))
