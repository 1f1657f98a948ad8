"""Starts and ends a kernel's process host.

`open_host` owns the process host of one kernel (`host/serving.py`, which says how no process
outlives a kernel) and the kernel's folders. `KernelHost.open_process` owns one program in it, and
`Process.run` carries the program's output and input. Everything lives in these blocks; there is no
task outside of them.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from ..._groups import one_error
from ...errors import GatewayError
from ..cleanup import clean_up_in_thread
from ..kernel_limits import KernelLimits
from ..limits import GatewayLimits
from ..shares import Share
from .host import HOST_MAIN
from .host.process_tree import below, kill
from .host.serving import MESSAGE_BYTES
from .isolation import PROCESS_GROUP, Isolation
from .kernel_host import KernelHost, ProgramNotStartedError

__all__ = ["KernelHost", "ProgramNotStartedError", "open_host"]

_log = logging.getLogger("backendai_trio.gateway")
_MAX_REASON_BYTES = 4096


@asynccontextmanager
async def open_host(
    root: Path,
    isolation: Isolation = PROCESS_GROUP,
    shares: Sequence[Share] = (),
    limits: GatewayLimits | None = None,
    kernel_limits: KernelLimits | None = None,
) -> AsyncIterator[KernelHost]:
    """Start a kernel's process host, in folders of its own.

    At the end of the block no process and no file of the kernel is left.

    Args:
        root: an existing empty folder (mode 0700, absolute path) that only this kernel uses. It is
            removed at the end, also after an error.
        isolation: what keeps the kernel apart from the machine.
        shares: folders outside of `root` that the kernel may use.
        limits: how long the host may take to start and to stop; default: `GatewayLimits()`.
        kernel_limits: what the programs may use; default: all that the machine has.

    Raises:
        GatewayError: this is not Linux, or the host did not start.
        OSError: the folders cannot be made.

    Cancellation: the end still takes place; it is shielded and bounded.
    """
    if sys.platform != "linux":
        raise GatewayError("the local gateway runs kernels on Linux only")
    limits = limits or GatewayLimits()
    gateway_end, host_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host = KernelHost(
        root,
        gateway_end,
        separate=isolation.separates,
        stop_seconds=limits.host_stop_seconds,
        limits=kernel_limits,
    )
    process: trio.Process | None = None
    try:
        with gateway_end:
            for end in (gateway_end, host_end):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE_BYTES)
            gateway_end.setblocking(False)
            with host_end:
                process = await _start(host, root, host_end, isolation, shares)
                host.pid = process.pid
            with one_error():
                async with trio.open_nursery() as nursery:
                    # Shielded: a cancelled kernel still waits for its programs to end.
                    listening = trio.CancelScope(shield=True)
                    nursery.start_soon(host.listen, listening)
                    watching = trio.CancelScope()
                    try:
                        await _wait_until_ready(host, process, limits.host_start_seconds)
                        if host.memory is not None:
                            nursery.start_soon(host.memory.run, host.own_pid, watching)
                        yield host
                    finally:
                        watching.cancel()
                        with trio.move_on_after(limits.host_stop_seconds, shield=True):
                            await host.stop()
                        listening.cancel()
    finally:
        if process is not None:
            seconds = limits.host_stop_seconds
            await _reap(process, root, seconds)  # noqa: ASYNC102 (bounded there)
        # Usually there is little left to remove.
        for folder in (root, host.staging):
            remove = partial(shutil.rmtree, folder, ignore_errors=True)
            await clean_up_in_thread(remove)  # noqa: ASYNC102 (bounded there)


async def _start(
    host: KernelHost,
    root: Path,
    host_end: socket.socket,
    isolation: Isolation,
    shares: Sequence[Share],
) -> trio.Process:
    for folder in (host.work, host.home, host.tmp, host.staging):
        folder.mkdir(mode=0o700)
    fds = [host_end.fileno()]
    try:
        fds.append(gateway := os.pidfd_open(os.getpid()))
    except OSError:
        gateway = -1
    script = [HOST_MAIN, str(host_end.fileno()), str(gateway), str(root)]
    try:
        return await trio.lowlevel.open_process(
            isolation.command([sys.executable, "-I", "-S", *script], root, shares),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=fds,
            start_new_session=True,  # Ctrl-C at the user's terminal is not meant for the kernel
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
        )
    finally:
        if gateway >= 0:
            os.close(gateway)


async def _wait_until_ready(host: KernelHost, process: trio.Process, seconds: float) -> None:
    """Wait until the host has started.

    Raises:
        GatewayError: it has not; the text has what the host wrote to standard error.
    """
    assert process.stderr is not None
    async with process.stderr:
        with trio.move_on_after(seconds) as timeout:
            await host.ready.wait()
        if timeout.cancelled_caught:
            raise GatewayError(
                f"the kernel's process host did not start within {seconds:g} s; try again, "
                "or serve with the isolation 'process-group'"
            )
        if host.ended.is_set():
            output = await process.stderr.receive_some(_MAX_REASON_BYTES)
            text = output.decode(errors="replace").strip()
            raise GatewayError(
                f"the kernel's process host did not start: {text or 'it gave no reason'}"
            )


async def _reap(process: trio.Process, root: Path, seconds: float) -> None:
    """Wait for the host's end, and kill the processes that it has left.

    Args:
        process: the host.
        root: the kernel's folder.
        seconds: how long each of the three steps may take.
    """
    with trio.move_on_after(seconds, shield=True):
        await process.wait()
    if process.returncode == 0:
        return
    if process.returncode is not None:
        await clean_up_in_thread(partial(_kill_all, None, root, seconds), seconds=2 * seconds)
        return
    # Stopped and not killed, it remains the parent of orphans, by which they are found.
    process.send_signal(signal.SIGSTOP)
    await clean_up_in_thread(partial(_kill_all, process.pid, root, seconds), seconds=2 * seconds)
    process.kill()
    with trio.move_on_after(seconds, shield=True) as timeout:
        await process.wait()
    if timeout.cancelled_caught:
        _log.warning("the process host %d of a kernel cannot be killed", process.pid)


def _kill_all(host_pid: int | None, root: Path, seconds: float) -> None:
    """Kill the host's descendants, and all processes with the kernel's HOME."""
    mark = f"HOME={root}/home\0".encode()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pids = set() if host_pid is None else set(below(host_pid))
        pids.update(_processes_with(mark))
        if not pids:
            return
        kill(list(pids))
        time.sleep(0.005)


def _processes_with(mark: bytes) -> Iterator[int]:
    """The processes whose environment has the mark."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # The environment of a zombie is empty.
                if mark in (folder / "environ").read_bytes() + b"\0":
                    yield int(folder.name)
            except OSError:
                pass
