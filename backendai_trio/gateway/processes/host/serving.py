"""What the process host of one kernel does: it starts programs, and outlives none of them.

The host is a child subreaper: every process that a program leaves behind (even a daemon that forked
twice and called setsid) becomes a child of the host, so "the host has no children" means "the
kernel has no processes". The host ends when the gateway tells it to, when the socket is closed, and
when the gateway dies (then its exit code is ORPHANED). At its end it kills all processes and
removes the kernel's folder.

The host may have namespaces of its own (`isolation.py`). Then the folder is a mount point, which it
can empty but not remove, and its process ids differ from the gateway's. So a process id is sent
with a pidfd, from which the gateway reads its own id for the process.

Start-up time is part of every kernel's start, so little is imported. Messages are marshalled and
not JSON, and the C modules below `signal` and `socket` are used directly. Both ends of the socket
are the same Python installation, and no program of the kernel inherits the socket or may trace the
host, so marshal is safe here.

A message is a dict. The gateway sends::

    {"op": "spawn", "id": 1, "argv": [...], "env": {...}, "cwd": "...", "terminal": True,
     "limits": {7: 4096}, "cores": []}
        with file descriptors for 0, 1, 2, 3... attached
    {"op": "signal", "id": 1, "signal": 2}      to the process group of that program
    {"op": "kill", "id": 1}                     the program and everything below it
    {"op": "socket", "id": 2, "family": 2}      a TCP socket in the network of the kernel
    {"op": "stop"}

The host first sends ``ready`` (pid; with its pidfd). It answers ``spawned`` (pid; with its pidfd),
``failed`` (errno, error), ``signalled``, ``exit`` (code; 128 + n for signal n), ``socket`` (with
the socket, or errno) and last ``stopped`` (usage).
"""

from __future__ import annotations

import marshal
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False  # `typing` alone would cost more than all imports above
if TYPE_CHECKING:
    import signal
    import socket
    from typing import Any
else:
    import _signal as signal
    import _socket as socket
if TYPE_CHECKING or __package__:  # in the gateway
    from .folder_removal import remove_tree
    from .process_tree import below, kill
    from .programs import prctl, run_program
else:  # in the host
    from folder_removal import remove_tree
    from process_tree import below, kill
    from programs import prctl, run_program

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
MESSAGE_BYTES = 1 << 20
MAX_FDS = 16
#: Exit code of a host whose gateway was killed.
ORPHANED = 3
#: How long to wait for programs that SIGKILL does not end (they are blocked in Linux).
KILL_SECONDS = 30.0
#: How long a gateway may go on dying after its socket is closed; a busy machine takes a while.
DYING_SECONDS = 5.0


class Host:
    """The host: its programs by id, and the socket to the gateway."""

    def __init__(self, fd: int, gateway: int, root: str) -> None:
        self.control = socket.socket(fileno=fd)
        self.gateway = gateway
        for inherited in (fd, gateway):
            if inherited >= 0:
                os.set_inheritable(inherited, False)
        self.root = root
        self.parent = os.getppid()
        self.pids: dict[int, int] = {}
        self.ids: dict[int, int] = {}
        self.wakeup, wakeup_end = os.pipe()
        for end in (self.wakeup, wakeup_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup_end, warn_on_full_buffer=False)
        # Without a handler in Python there is no wake-up byte, which is what counts.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        # The programs run as the same user, and must not steal the socket with ptrace.
        prctl(PR_SET_DUMPABLE, 0)

    # -- messages -----------------------------------------------------------------------------

    def serve(self) -> int:
        """Handle messages until the gateway says stop or dies; returns the exit code."""
        poll = select.poll()
        poll.register(self.control.fileno(), select.POLLIN)
        poll.register(self.wakeup, select.POLLIN)
        timeout = 500  # an old Linux, or a sandbox without pidfd: check getppid() this often (ms)
        if self.gateway >= 0:
            poll.register(self.gateway, select.POLLIN)
            timeout = -1
        self.send_pid({"ev": "ready"}, os.getpid())
        while not self.orphaned():
            ready = [fd for fd, _ in poll.poll(timeout)]
            if self.wakeup in ready:
                self.reap()
            if self.control.fileno() in ready:
                message, fds = self.receive()
                if message is None:
                    break
                if message["op"] == "stop":
                    self.send({"ev": "stopped", "usage": self.finish()})
                    return 0
                self.handle(message, fds)
        # Without a "stop", the gateway dies, or gave this host up and waits for its end.
        self.finish()
        if not self.orphaned(DYING_SECONDS):
            return 0
        # The gateway's folder is empty after its last kernel, and no one else removes it.
        try:
            os.rmdir(self.root.rpartition("/")[0])  # noqa: PTH106 (no pathlib here)
        except OSError:
            pass
        return ORPHANED

    def orphaned(self, seconds: float = 0) -> bool:
        """Whether the gateway has died, or does so within `seconds`."""
        if self.gateway >= 0:
            return is_readable(self.gateway, seconds)
        deadline = time.monotonic() + seconds
        while os.getppid() == self.parent:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def receive(self) -> tuple[dict[str, Any] | None, list[int]]:
        try:
            data, extra, _, _ = self.control.recvmsg(
                MESSAGE_BYTES, socket.CMSG_SPACE(4 * MAX_FDS), socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            return None, []
        fds: list[int] = []
        for _, _, payload in extra:
            fds += memoryview(payload).cast("i").tolist()
        return (marshal.loads(data) if data else None), fds  # noqa: S302 (see the module's docstring)

    def send(self, message: dict[str, Any], fd: int | None = None) -> None:
        attached = []
        if fd is not None:  # not by `array`, which imports `collections.abc`
            attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))]
        try:
            self.control.sendmsg([marshal.dumps(message)], attached)
        except OSError:
            pass  # the gateway has died, which the next poll reports

    def send_pid(self, message: dict[str, Any], pid: int) -> None:
        """Send a message about a process, with its pidfd where Linux has that."""
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            fd = None
        self.send({**message, "pid": pid}, fd)
        if fd is not None:
            os.close(fd)

    def handle(self, message: dict[str, Any], fds: list[int]) -> None:
        ident = message["id"]
        pid = self.pids.get(ident)
        if message["op"] == "spawn":
            self.spawn(message, fds)
        elif message["op"] == "socket":
            self.send_socket(ident, message["family"])
        elif pid is None:
            pass  # it has ended, and its `exit` was sent
        elif message["op"] == "kill":
            kill([*below(pid, session=True), pid])
        elif message["op"] == "signal":
            try:
                os.killpg(pid, message["signal"])
            except (ProcessLookupError, PermissionError):
                pass
            self.send({"ev": "signalled", "id": ident})

    def send_socket(self, ident: int, family: int) -> None:
        """Send a socket that is not connected yet; it stays in the network it was made in."""
        answer = {"ev": "socket", "id": ident}
        try:
            made = socket.socket(family, socket.SOCK_STREAM)
        except OSError as exc:
            self.send({**answer, "errno": exc.errno})
            return
        self.send(answer, made.fileno())
        made.close()

    # -- programs -----------------------------------------------------------------------------

    def spawn(self, message: dict[str, Any], fds: list[int]) -> None:
        """Fork and exec. An error of exec comes back through a close-on-exec pipe."""
        ident = message["id"]
        report, report_end = os.pipe()
        host = os.getpid()
        try:
            pid = os.fork()
        except OSError as exc:  # no more processes
            for fd in (report, report_end, *fds):
                os.close(fd)
            error = os.strerror(exc.errno or 0)
            self.send({"ev": "failed", "id": ident, "errno": exc.errno, "error": error})
            return
        if pid == 0:
            try:
                os.close(report)
                run_program(message, fds, host, report_end)
            finally:
                os._exit(127)
        os.close(report_end)
        for fd in fds:
            os.close(fd)
        failure = os.read(report, 4096)
        os.close(report)
        if failure:
            os.waitpid(pid, 0)
            number, _, text = failure.decode("utf-8", "replace").partition(" ")
            self.send({"ev": "failed", "id": ident, "errno": int(number), "error": text})
        else:
            self.pids[ident], self.ids[pid] = pid, ident
            self.send_pid({"ev": "spawned", "id": ident}, pid)

    def reap(self) -> bool:
        """Collect children that have ended; returns whether there are any left."""
        try:
            while os.read(self.wakeup, 4096):
                pass
        except BlockingIOError:
            pass
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                ident = self.ids.pop(pid, None)
                if ident is not None:
                    del self.pids[ident]
                    code = os.waitstatus_to_exitcode(status)
                    code = 128 - code if code < 0 else code
                    self.send({"ev": "exit", "id": ident, "code": code})
        except ChildProcessError:
            return False

    # -- the end ------------------------------------------------------------------------------

    def finish(self) -> dict[str, int]:
        """Kill all processes and remove the folder; returns what the kernel has used."""
        deadline = time.monotonic() + KILL_SECONDS
        me = os.getpid()
        while True:
            kill(below(me))
            if not self.reap() or time.monotonic() > deadline:
                break
            # Orphans of killed processes become our children; the next round kills them.
            is_readable(self.wakeup, 0.01)
        scratch = remove_tree(f"{self.root}/work")
        remove_tree(self.root)
        remove_tree(f"{self.root}.staging")  # in a namespace of its own, it cannot see that
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "cpu_ms": int((used.ru_utime + used.ru_stime) * 1000),
            "max_rss_bytes": used.ru_maxrss * 1024,
            "read_bytes": used.ru_inblock * 512,
            "write_bytes": used.ru_oublock * 512,
            "scratch_bytes": scratch,
        }


def is_readable(fd: int, seconds: float) -> bool:
    """Whether a descriptor becomes readable in time.

    Not by `select.select`, which takes none from 1,024 on: what the gateway passes keeps its
    number, and a gateway with a hundred kernels has a thousand.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
