"""Programs and interpreters under a process host, and the processes that they are."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from backendai_trio.gateway.kernels.commands import kernel_environment
from backendai_trio.gateway.kernels.runtimes import resolve
from backendai_trio.gateway.processes.host.process_tree import below
from backendai_trio.gateway.processes.interpreter import Interpreter, open_interpreter
from backendai_trio.gateway.processes.process_host import KernelHost, open_host
from backendai_trio.wire.stdio import Stdio

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="kernels run on Linux only")
TALK = Callable[..., Any]


def environment(host: KernelHost) -> dict[str, str]:
    return kernel_environment(
        resolve("bash"), home=host.home, tmp=host.tmp, display=host.display, user={}
    )


ON_TERMINAL = Stdio()


async def run(host: KernelHost, argv: list[str], talk: Any, stdio: Stdio = ON_TERMINAL) -> int:
    async with host.open_process(
        argv, env=environment(host), cwd=host.work, stdio=stdio
    ) as process:
        return await process.run(talk.sink, talk.ask)


async def compile_c(host: KernelHost, compiler: str, source: str, talk: Any) -> str:
    (host.work / "main.c").write_text(textwrap.dedent(source))
    assert await run(host, [compiler, "-o", "main", "main.c"], talk) == 0
    return "./main"


def python(source: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(source)]


@asynccontextmanager
async def interpreter(root: Path, name: str) -> AsyncIterator[Interpreter]:
    argv = resolve(name).interpreter_argv()
    assert argv is not None
    with trio.fail_after(60):
        async with (
            open_host(root) as host,
            open_interpreter(host, argv, env=environment(host)) as interp,
        ):
            yield interp


async def wait_until(condition: Callable[[], bool]) -> None:
    """Look again until it holds; the caller sets the limit. Other processes send us no events."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.005)


def stat(pid: int) -> list[str]:
    """State, parent, ...; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def alive(pid: int) -> bool:
    fields = stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def parent(pid: int) -> int:
    return int(stat(pid)[1])


def outer(root: int, pid: int) -> int:
    """The process below `root` that calls itself `pid`, by the id that we know it by."""
    for candidate in below(root):
        for line in Path(f"/proc/{candidate}/status").read_text().splitlines():
            # One for each namespace that it is in, ours first.
            if line.startswith("NSpid:") and int(line.split()[-1]) == pid:
                return candidate
    raise LookupError(pid)


def exists(path: Path) -> bool:
    return path.exists()
