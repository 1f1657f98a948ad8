"""Backend.AI for scripts: the same methods as in Trio, and each waits until it is done::

    kern = Kernel.get_or_create("lua5", client_token="abc")
    result = kern.execute('print("hello world")', mode="query")
    print(result["console"])
    kern.destroy()

They work in any thread, also in one that runs an event loop (a cell of a Jupyter notebook, say).
Ctrl-C in a call cancels it: code that runs is interrupted in its kernel, and KeyboardInterrupt is
raised when it has stopped. What the methods do is told at `PlainKernel`.

The server is that of the environment (`read_config`) unless a `config` is given. With none set, a
gateway is started in this process; its kernels end with it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar

from . import admin
from ._faces import ExecutionFace, KernelFace, TerminalFace
from ._portal import Job, client_job, hold, wait
from .config import Config
from .plain import ExecutionResult, Mode, PlainKernel
from .wire.execution import Event
from .wire.kernels import KernelInfo, Statistics
from .wire.listings import SessionRow

__all__ = ["Admin", "Kernel", "StreamExecute", "StreamPty"]

T = TypeVar("T")
P = ParamSpec("P")


def _call(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    return wait(Job(partial(work, *args, **kwargs)))


class Kernel(KernelFace):
    """A kernel. As a context manager, it is destroyed at the end of the block."""

    @classmethod
    def get_or_create(
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
        return cls(wait(client_job(config, make, undo=PlainKernel.discard)))

    @classmethod
    def find(cls, token: str, *, config: Config | None = None) -> Self:
        """See `PlainKernel.find`."""
        return cls(wait(client_job(config, partial(PlainKernel.find, token=token))))

    def execute(
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
        return _call(
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
    ) -> StreamExecute:
        """Start a run whose events come as they happen; close it, or use it in a ``with`` block."""
        run = partial(
            self._kernel.stream_execute, code, mode=mode, opts=opts, run_id=run_id, window=window
        )
        return StreamExecute(wait(hold(run)))

    def stream_pty(self) -> StreamPty:
        """Attach to the terminal; close it, or use it in a ``with`` block."""
        return StreamPty(wait(hold(self._kernel.stream_pty)))

    def upload(self, files: Iterable[str | os.PathLike[str]], *, base: Path | None = None) -> None:
        """See `PlainKernel.upload`."""
        _call(self._kernel.upload, files, base=base)

    def interrupt(self) -> None:
        """See `PlainKernel.interrupt`."""
        _call(self._kernel.interrupt)

    def restart(self) -> None:
        """See `PlainKernel.restart`."""
        _call(self._kernel.restart)

    def complete(self, code: str, opts: Mapping[str, Any] | None = None) -> list[str]:
        """See `PlainKernel.complete`."""
        return _call(self._kernel.complete, code, opts)

    def info(self) -> KernelInfo:
        """See `PlainKernel.info`."""
        return _call(self._kernel.info)

    def get_info(self) -> dict[str, Any]:
        """See `PlainKernel.get_info`."""
        return _call(self._kernel.get_info)

    def logs(self) -> str:
        """See `PlainKernel.logs`."""
        return _call(self._kernel.logs)

    def destroy(self) -> Statistics | None:
        """See `PlainKernel.destroy`."""
        return _call(self._kernel.destroy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.destroy()


class Admin:
    """Questions to the admin API. An ordinary key pair sees what is its own."""

    @classmethod
    def query(
        cls,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        config: Config | None = None,
    ) -> Mapping[str, Any]:
        """See `backendai_trio.query`."""
        return wait(client_job(config, partial(admin.query, query=query, variables=variables)))

    @classmethod
    def list_kernels(
        cls,
        *,
        status: str | None = "RUNNING",
        access_key: str | None = None,
        config: Config | None = None,
    ) -> list[SessionRow]:
        """See `backendai_trio.list_kernels`."""
        ask = partial(admin.list_kernels, status=status, access_key=access_key)
        return wait(client_job(config, ask))


class StreamPty(TerminalFace):
    """A kernel's terminal: iterate over its output, type into it, from any threads."""

    def _on_it(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return wait(Job(partial(work, *args, **kwargs), held=self._held))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        data = self._on_it(self._output.item, self._received + 1)
        self._received += 1
        if not data:
            raise StopIteration
        return data

    def send_str(self, raw_str: str) -> None:
        """Type a text; waits while the program is far behind."""
        self.send_bytes(raw_str.encode())

    def send_bytes(self, data: bytes) -> None:
        """Type; waits while the program is far behind."""
        self._on_it(self._held.value.send_all, data)

    write = send_all = send_bytes

    def send_eof(self) -> None:
        """End the input, as Ctrl-D at an empty line does."""
        self._on_it(self._held.value.send_eof)

    def resize(self, rows: int, cols: int) -> None:
        """Set the window's size in characters."""
        self._on_it(self._held.value.resize, rows, cols)

    def interrupt(self) -> None:
        """Type Ctrl-C."""
        self._on_it(self._held.value.interrupt)

    def restart(self) -> None:
        """Start the kernel anew: files stay, variables and processes go."""
        self._on_it(self._held.value.restart)

    def close(self) -> None:
        """Detach; what runs in the terminal goes on. May be repeated."""
        _call(self._held.end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class StreamExecute(ExecutionFace):
    """A run in progress: iterate over its events, type into it, from any threads."""

    def _on_it(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return wait(Job(partial(work, *args, **kwargs), held=self._held))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            event = self._on_it(self._events.item, self._received + 1)
        except StopAsyncIteration:
            raise StopIteration from None
        self._received += 1
        return event

    def send_input(self, line: str | None) -> None:
        """See `Execution.send_input`."""
        self._on_it(self._held.value.send_input, line)

    def send_stdin(self, data: bytes) -> None:
        """See `Execution.send_stdin`."""
        self._on_it(self._held.value.send_stdin, data)

    def close_stdin(self) -> None:
        """See `Execution.close_stdin`."""
        self._on_it(self._held.value.close_stdin)

    def resize(self, rows: int, columns: int) -> None:
        """See `Execution.resize`."""
        self._on_it(self._held.value.resize, rows, columns)

    def interrupt(self) -> None:
        """See `Execution.interrupt`."""
        self._on_it(self._held.value.interrupt)

    def close(self) -> None:
        """Stop the run if it goes on, and wait until it has ended. May be repeated."""
        _call(self._held.end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
