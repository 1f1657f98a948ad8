"""The gateway's side of a process host: starts programs, and follows what the host reports."""

from __future__ import annotations

import marshal
import os
import socket
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from ...errors import GatewayError
from ..kernel_limits import KernelLimits
from ..shortages import shortage_of
from .host.serving import MESSAGE_BYTES
from .process import Process, ProcessState
from .program_limits import chosen_cores, resource_limits
from .program_streams import INTERACTIVE, ProgramStdio, open_streams

if TYPE_CHECKING:
    from .memory_watch import MemoryWatch

__all__ = ["KernelHost", "ProgramNotStartedError"]

_STOP_ID = 0
"""The host's own end is reported like that of a program with this id."""


class ProgramNotStartedError(GatewayError):
    """The operating system could not start a program.

    Attributes:
        errno: the reason, e.g. ``ENOENT`` for a program that does not exist.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.errno = number


class KernelHost:
    """A running process host. Made by `open_host`.

    Attributes:
        pid: the host's process id, or that of the bubblewrap around it; all programs of the kernel
            are its descendants.
        own_pid: the host's own process id; 0 until it is ready.
        work: the work folder, with the user's files; programs run in it.
        home: HOME of the programs.
        tmp: TMPDIR of the programs.
        staging: a folder on the same file system that they cannot reach if the kernel has
            namespaces of its own; for files that are not complete.
        display: where a socket for their pictures can be made.
        separate: whether it has namespaces of its own.
        limits: what its programs may use.
        memory: keeps them to their memory limit, if they have one.
        usage: resources that the processes used; empty until the host has stopped. ``cpu_ms``;
            ``max_rss_bytes`` of the largest process; ``read_bytes`` and ``write_bytes`` from and to
            storage (reads from the page cache do not count); ``scratch_bytes``, the size of the
            files in the work folder at the end.
    """

    def __init__(
        self,
        root: Path,
        connection: socket.socket,
        *,
        separate: bool,
        stop_seconds: float,
        limits: KernelLimits | None = None,
    ) -> None:
        """
        Args:
            root: the kernel's folder.
            connection: a SEQPACKET socket to the host.
            separate: the host has namespaces of its own, so its process ids are different ones.
            stop_seconds: how long a program may take to end after it was killed.
            limits: what the programs may use; default: all that the machine has.
        """
        self.pid = self.own_pid = 0
        self.work = root / "work"
        self.home = root / "home"
        self.tmp = root / "tmp"
        self.staging = root.with_name(f"{root.name}.staging")
        self.display = root / "display"
        self.usage: Mapping[str, int] = {}
        self.ready = trio.Event()
        """Set when the host has started, or has died (`ended`)."""
        self.ended = trio.Event()
        """Set when the host has ended, whether it was told to or not."""
        self._connection = connection
        self._states: dict[int, ProcessState] = {}
        self._last_id = _STOP_ID
        self._sockets: dict[int, _SocketRequest] = {}
        self.separate = separate
        self.limits = limits or KernelLimits()
        self.memory = _memory_watch(self.limits.memory_bytes)
        self._resource_limits = resource_limits(self.limits, separate=separate)
        self._cores = chosen_cores(self.limits.cores)
        self._stop_seconds = stop_seconds
        self._devpts: int | None = None

    @asynccontextmanager
    async def open_process(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | Path,
        stdio: ProgramStdio,
        control: bool = False,
    ) -> AsyncIterator[Process]:
        """Start a program; kill it at the end of the block if it still runs then.

        Background processes that an ended program has left go on until the kernel ends.

        Args:
            argv: the program and its arguments; searched in the PATH of `env`.
            env: the whole environment.
            cwd: the folder it runs in.
            stdio: its standard streams. If its input is a terminal, that is its controlling
                terminal.
            control: give the program a socket as descriptor 3; its other end is `Process.control`.

        Raises:
            ProgramNotStartedError: there is no such program, or it may not be executed.
            GatewayError: the process host has died.
        """
        self._last_id += 1
        process_id = self._last_id
        request = {
            "op": "spawn",
            "id": process_id,
            "argv": list(argv),
            "env": dict(env),
            "cwd": str(cwd),
            "terminal": stdio == INTERACTIVE or stdio.stdin == "terminal",
            "limits": self._resource_limits,
            "cores": self._cores,
        }
        with ExitStack() as gateway_ends:
            with ExitStack() as program_ends:
                streams = open_streams(
                    gateway_ends, program_ends, stdio, self._devpts, control=control
                )
                self.send(request, streams.fds)
            state = self._states[process_id] = ProcessState()
            notify_host = partial(self._notify, process_id)
            try:
                if self.ended.is_set():
                    raise _host_died()
                await state.started.wait()
                if state.failure is not None:
                    number, text = state.failure
                    shortage = shortage_of(OSError(number, text))
                    raise ProgramNotStartedError(number, shortage or text)
                if self.ended.is_set():
                    raise _host_died()
                yield Process(state, notify_host, streams)
            finally:
                # Also when its start was not reported yet: the host handles messages in order.
                if not state.ended.is_set():
                    notify_host({"op": "kill"})
                    with trio.move_on_after(self._stop_seconds, shield=True):
                        await state.ended.wait()
                del self._states[process_id]

    async def open_socket(self, family: int) -> socket.socket:
        """Make a TCP socket in the network of the kernel, which may be one of its own.

        Args:
            family: ``socket.AF_INET`` or ``socket.AF_INET6``.

        Returns:
            The socket, not connected; the caller closes it.

        Raises:
            GatewayError: the process host has died.
            OSError: the socket cannot be made.
        """
        self._last_id += 1
        request = _SocketRequest()
        self.send({"op": "socket", "id": self._last_id, "family": int(family)})
        ident = self._last_id
        self._sockets[ident] = request
        try:
            await request.answered.wait()
        except BaseException:
            # Cancelled just when the socket has come: nobody else would close it.
            if request.made is not None:
                request.made.close()
            raise
        finally:
            del self._sockets[ident]
        if request.made is not None:
            return request.made
        if request.errno:
            raise OSError(request.errno, os.strerror(request.errno))
        raise _host_died()

    # -- messages to and from host/serving.py ------------------------------------------------------

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a message with descriptors. Never blocks: messages are small, and the host is fast.

        Raises:
            GatewayError: the host has died, or does not read.
        """
        if not self._send(message, fds):
            raise _host_died()

    def _send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> bool:
        """Send a message; returns False if the host has died, which `listen` is about to report."""
        attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            self._connection.sendmsg([marshal.dumps(message)], attached)
        except (BrokenPipeError, ConnectionResetError):
            return False
        except OSError as exc:
            raise GatewayError(f"cannot reach the kernel's process host: {exc}") from exc
        return True

    def _notify(self, process_id: int, message: dict[str, object]) -> None:
        """Send a message about a program, unless it has ended, as all have if the host has died."""
        state = self._states.get(process_id)
        if state is not None and not state.ended.is_set():
            self._send({**message, "id": process_id})

    async def listen(self, scope: trio.CancelScope) -> None:
        """Handle the host's messages until the host ends.

        Args:
            scope: ends this when it is cancelled.
        """
        with scope:
            while True:
                await trio.lowlevel.wait_readable(self._connection)
                try:
                    data, ancillary, _, _ = self._connection.recvmsg(
                        MESSAGE_BYTES, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
                    )
                except BlockingIOError:
                    continue
                except OSError:
                    break
                if not data:
                    break
                message = marshal.loads(data)  # noqa: S302 (host/serving.py says why marshal)
                with ExitStack() as stack:
                    received: int | None = None
                    for _, _, payload in ancillary:
                        (received,) = memoryview(payload).cast("i")
                        stack.callback(os.close, received)
                    self._handle(message, received)
        self.ended.set()
        self.ready.set()
        if self._devpts is not None:
            os.close(self._devpts)
            self._devpts = None
        for state in self._states.values():
            state.started.set()
            state.end()
        for request in self._sockets.values():
            request.answered.set()

    def _handle(self, message: dict[str, Any], received: int | None) -> None:
        """Handle a message, and the descriptor that came with it, which is closed after this."""
        if message["ev"] == "socket":
            request = self._sockets.get(message["id"])
            if request is not None:
                request.errno = message.get("errno", 0)
                if received is not None:
                    request.made = socket.socket(fileno=os.dup(received))
                request.answered.set()
            return
        if received is not None and self.separate:
            message["pid"] = _pid_of(received)  # while it is open, the pid is not reused
        if message["ev"] == "ready":
            self.own_pid = message["pid"]
            if self.separate:
                self._devpts = _open_devpts_of(message["pid"])
            self.ready.set()
            return
        if message["ev"] == "stopped":
            self.usage = message["usage"]
            return
        state = self._states.get(message["id"])
        if state is None:
            return  # its block has ended
        match message["ev"]:
            case "spawned":
                state.pid = message["pid"]
                state.started.set()
            case "failed":
                state.failure = (message["errno"], message["error"])
                state.started.set()
                state.end()
            case "signalled":
                state.note_signal()
            case "exit":
                state.exit_code = message["code"]
                state.end()

    async def stop(self) -> None:
        """Ask the host to end, and wait until it has closed the connection."""
        state = self._states[_STOP_ID] = ProcessState()
        try:
            self.send({"op": "stop"})
        except GatewayError:
            state.ended.set()  # it has died; `reap_host` cleans up
        await state.ended.wait()


def _memory_watch(limit: int) -> MemoryWatch | None:
    if not limit:
        return None
    from .memory_watch import MemoryWatch  # few kernels need it

    return MemoryWatch(limit)


class _SocketRequest:
    """A socket that the host was asked for."""

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.made: socket.socket | None = None
        self.errno = 0


def _host_died() -> GatewayError:
    return GatewayError("the kernel's process host has died")


def _pid_of(pidfd: int) -> int:
    """The process id of a pidfd in the gateway's namespace; -1 if the process has ended."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pid":
            return int(value)
    return -1


def _open_devpts_of(pid: int) -> int | None:
    """Open the /dev/pts that a process sees; None if the process has ended."""
    try:
        # Below the root folder of the process.
        folder = Path("/proc", str(pid), "root", "dev", "pts")
        return os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
