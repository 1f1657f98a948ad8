"""The Trio side of a kernel's processes: hosts and the programs they run.

`open_host` owns one kernel's process host (`host.py`, which says how nothing survives a kernel)
and its folders; `KernelHost.open_child` owns one program in it; `Child.run` carries the program's
output to a sink and its questions to the client until it ends. Everything here lives in these three
blocks; there is no task without one. A long-lived interpreter is a child, too: `interpreters.py`.
"""

from __future__ import annotations

import marshal
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import trio

from ..._groups import one_error
from ...errors import GatewayError
from . import host_main
from .child import Ask, Child, Lifetime, Sink, Source
from .isolation import PROCESS_GROUP, Isolation, Share
from .pty import Terminal

__all__ = ["Ask", "Child", "KernelHost", "ProgramNotStarted", "Sink", "open_host"]

#: How long a host may take to start; usually it is 30 to 60 ms.
START_SECONDS = 30.0

#: How long the polite end may take before the host is killed.
STOP_SECONDS = 2.0
MAX_REASON_BYTES = 4096


class ProgramNotStarted(GatewayError):
    """The operating system could not start a program.

    Attributes:
        errno: why, e.g. ``ENOENT`` for a program that does not exist.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.errno = number


@asynccontextmanager
async def open_host(
    root: Path, isolation: Isolation = PROCESS_GROUP, shares: Sequence[Share] = ()
) -> AsyncIterator[KernelHost]:
    """One kernel's process host and folders. At the end no process and no file of it is left.

    Args:
        root: an existing empty folder with mode 0700, for this kernel alone. It is removed in the
            end, however this ends.
        isolation: what keeps it apart.
        shares: folders beside its own that it may use.

    Raises:
        GatewayError: this is not Linux, or the host did not start.
    """
    if sys.platform != "linux":
        raise GatewayError("the local gateway runs kernels on Linux only")
    root = Path.cwd() / root
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process: trio.Process | None = None
    try:
        with ours:
            host = KernelHost(root, ours, isolation.separates)
            with theirs:
                process = await _start_host(host, root, theirs, isolation, shares)
                host.pid = process.pid
            with one_error():
                async with trio.open_nursery() as nursery:
                    # Shielded: a cancelled kernel still has to hear its programs end.
                    listening = trio.CancelScope(shield=True)
                    nursery.start_soon(host._listen, listening)
                    try:
                        await _wait_for_start(host, process)
                        yield host
                    finally:
                        with trio.move_on_after(STOP_SECONDS, shield=True):
                            await host._stop()
                        listening.cancel()
    finally:
        with trio.CancelScope(shield=True):
            if process is not None:
                await _reap(process, root)
            await trio.to_thread.run_sync(_remove, root)


async def _start_host(
    host: KernelHost,
    root: Path,
    theirs: socket.socket,
    isolation: Isolation,
    shares: Sequence[Share],
) -> trio.Process:
    for end in (host._control, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, host_main.MESSAGE_BYTES)
    host._control.setblocking(False)
    for folder in (host.work, host.home, host.tmp):
        folder.mkdir(mode=0o700)
    fds = [theirs.fileno()]
    try:
        fds.append(gateway := os.pidfd_open(os.getpid()))
    except OSError:
        gateway = -1
    script = [host_main.__file__, str(theirs.fileno()), str(gateway), str(root)]
    try:
        return await trio.lowlevel.open_process(
            isolation.command([sys.executable, "-I", "-S", *script], root, shares),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=fds,
            start_new_session=True,  # a Ctrl-C at the user's terminal is not for the kernel
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
        )
    finally:
        if gateway >= 0:
            os.close(gateway)


async def _wait_for_start(host: KernelHost, process: trio.Process) -> None:
    """Wait until the host says that it is there; its last words are an error's text else."""
    assert process.stderr is not None
    async with process.stderr:
        with trio.move_on_after(START_SECONDS) as patience:
            await host._ready.wait()
        if patience.cancelled_caught:
            raise GatewayError(
                f"the kernel's process host did not start within {START_SECONDS:g} s; try again, "
                "or serve with the isolation 'process-group'"
            )
        if host._gone:
            said = await process.stderr.receive_some(MAX_REASON_BYTES)
            text = said.decode(errors="replace").strip()
            raise GatewayError(f"the kernel's process host did not start: {text or 'no reason'}")


async def _reap(process: trio.Process, root: Path) -> None:
    """Wait for the host's end; what it did not do itself is done here."""
    with trio.move_on_after(STOP_SECONDS):
        await process.wait()
    if process.returncode is None:
        # Stopped but alive it remains the parent of orphans, so that they can be found.
        process.send_signal(signal.SIGSTOP)
        await trio.to_thread.run_sync(_kill_all, process.pid, root)
        process.kill()
        await process.wait()
    elif process.returncode != 0:
        await trio.to_thread.run_sync(_kill_all, None, root)


def _kill_all(host: int | None, root: Path) -> None:
    """Kill the host's descendants and everything that runs with the kernel's HOME."""
    mark = f"HOME={root}/home\0".encode()
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        pids = set() if host is None else set(host_main.below(host))
        pids.update(_processes_with(mark))
        if not pids:
            return
        host_main.kill(list(pids))
        time.sleep(0.005)


def _processes_with(mark: bytes) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # The environment of a zombie is empty.
                if mark in (folder / "environ").read_bytes() + b"\0":
                    yield int(folder.name)
            except OSError:
                pass


def _remove(root: Path) -> None:
    """Usually there is nothing left to remove."""
    shutil.rmtree(root, ignore_errors=True)


class KernelHost:
    """A running process host. Made by `open_host`.

    Attributes:
        pid: the host's process id, or that of what keeps it apart; all programs of the kernel are
            its descendants.
        work: where the kernel's programs run; the user's files.
        home: HOME of the programs.
        tmp: TMPDIR of the programs.
        usage: what the processes used; empty until the host has stopped. ``cpu_ms``;
            ``max_rss_bytes`` of the largest process; ``read_bytes`` and ``write_bytes`` from and to
            storage (what the page cache served does not count); ``scratch_bytes``, the size of the
            files in the work folder at the end.
    """

    def __init__(self, root: Path, control: socket.socket, separate: bool) -> None:
        self.pid = 0
        self.work = root / "work"
        self.home = root / "home"
        self.tmp = root / "tmp"
        self.usage: Mapping[str, int] = {}
        self._control = control
        self._processes: dict[int, Lifetime] = {}
        self._last_id = 0
        self._separate = separate
        self._devpts: int | None = None
        self._ready = trio.Event()
        self._gone = False

    @asynccontextmanager
    async def open_child(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | Path,
        stdout: Literal["terminal", "pipe", "screen"],
        control: bool = False,
    ) -> AsyncIterator[Child]:
        """Start a program; kill it at the end of the block if it still runs then.

        Standard input is a terminal and standard error a pipe. What an ended program left running
        in the background goes on until the kernel ends.

        Args:
            argv: the program and its arguments; found with the PATH in `env`.
            env: the whole environment.
            cwd: where it runs.
            stdout: "terminal" makes C programs flush their prompts before they read; "pipe" lets
                the program see when its output was taken; "screen" is for shells: an ordinary
                terminal, which standard error goes to as well.
            control: give it a socket as descriptor 3, whose other end is `Child.control`.

        Raises:
            ProgramNotStarted: there is no such program, or it may not be run.
            GatewayError: the host has died.
        """
        self._last_id += 1
        ident = self._last_id
        process = self._processes[ident] = Lifetime()
        with ExitStack() as ours:
            opened = Terminal.open(ordinary=stdout == "screen", devpts=self._devpts)
            terminal = ours.enter_context(opened)
            sources = [Source("stdout", terminal.master, is_terminal=True)]
            connection: trio.SocketStream | None = None
            with ExitStack() as theirs:
                fds = [terminal.slave, terminal.slave]
                if stdout == "pipe":
                    fds[1] = _output_pipe("stdout", sources, ours, theirs)
                if stdout == "screen":
                    fds.append(terminal.slave)
                else:
                    fds.append(_output_pipe("stderr", sources, ours, theirs))
                if control:
                    near, far = socket.socketpair()
                    theirs.callback(far.close)
                    ours.callback(near.close)
                    connection = trio.SocketStream(trio.socket.from_stdlib_socket(near))
                    fds.append(far.fileno())
                request = {
                    "op": "spawn",
                    "id": ident,
                    "argv": list(argv),
                    "env": dict(env),
                    "cwd": str(cwd),
                    "terminal": True,
                }
                self._send(request, fds)
            child = Child(process, partial(self._tell, ident), terminal, sources, connection)
            try:
                await process.answered.wait()
                if process.failure is not None:
                    raise ProgramNotStarted(*process.failure)
                if self._gone:
                    raise GatewayError("the kernel's process host has died")
                yield child
            finally:
                # Also when we never heard the answer: the host works off its messages in order.
                if not process.ended.is_set():
                    self._tell(ident, {"op": "kill"})
                    with trio.move_on_after(STOP_SECONDS, shield=True):
                        await process.ended.wait()
                del self._processes[ident]

    # -- the conversation with host.py ----------------------------------------------------------

    def _send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a message with descriptors; never blocks (they are small and the host is quick)."""
        try:
            attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
            self._control.sendmsg([marshal.dumps(message)], attached)
        except OSError as exc:
            raise GatewayError(f"cannot reach the kernel's process host: {exc}") from exc

    def _tell(self, ident: int, message: dict[str, object]) -> None:
        """Send a message about a child; one that has ended needs none."""
        process = self._processes.get(ident)
        if process is not None and not process.ended.is_set():
            self._send({**message, "id": ident})

    async def _listen(self, scope: trio.CancelScope) -> None:
        """Take the host's messages until it closes the socket (that is, until it ends)."""
        with scope:
            while True:
                await trio.lowlevel.wait_readable(self._control)
                try:
                    data, extra, _, _ = self._control.recvmsg(
                        host_main.MESSAGE_BYTES, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
                    )
                except BlockingIOError:
                    continue
                except OSError:
                    break
                if not data:
                    break
                message = marshal.loads(data)  # noqa: S302 (host.py says why marshal)
                with ExitStack() as held:
                    for _, _, payload in extra:
                        (pidfd,) = memoryview(payload).cast("i")
                        held.callback(os.close, pidfd)  # so long nobody else gets the process id
                        if self._separate:
                            message["pid"] = _pid_of(pidfd)
                    self._take(message)
        self._gone = True
        self._ready.set()
        if self._devpts is not None:
            os.close(self._devpts)
            self._devpts = None
        for process in self._processes.values():
            process.answered.set()
            process.ended.set()

    def _take(self, message: dict[str, Any]) -> None:
        if message["ev"] == "ready":
            if self._separate:
                self._devpts = _devpts_of(message["pid"])
            self._ready.set()
            return
        if message["ev"] == "stopped":
            self.usage = message["usage"]
            return
        process = self._processes.get(message["id"])
        if process is None:
            return  # its block has ended
        match message["ev"]:
            case "spawned":
                process.pid = message["pid"]
                process.answered.set()
            case "failed":
                process.failure = (message["errno"], message["error"])
                process.answered.set()
                process.ended.set()
            case "exit":
                process.code = message["code"]
                process.ended.set()

    async def _stop(self) -> None:
        """Ask the host to end and wait until it has closed the socket."""
        end = self._processes[0] = Lifetime()
        try:
            self._send({"op": "stop"})
        except GatewayError:
            end.ended.set()  # it is gone; `_reap` sees to the rest
        await end.ended.wait()


def _pid_of(pidfd: int) -> int:
    """The process id that we know a process by; -1 if it is gone already."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pid":
            return int(value)
    return -1


def _devpts_of(pid: int) -> int | None:
    """The /dev/pts that a process sees; None if it is gone already."""
    try:
        # Its own root folder, below which its /dev is.
        folder = Path("/proc", str(pid), "root", "dev", "pts")
        return os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _output_pipe(
    name: Literal["stdout", "stderr"], sources: list[Source], ours: ExitStack, theirs: ExitStack
) -> int:
    """Make a pipe, add our end to `sources`, and return the program's end."""
    near, far = os.pipe()
    ours.callback(os.close, near)
    theirs.callback(os.close, far)
    os.set_blocking(near, False)
    # In front of the terminal: a question on /dev/tty comes after what was printed before it.
    sources.insert(len(sources) - 1 if name == "stdout" else len(sources), Source(name, near))
    return far
