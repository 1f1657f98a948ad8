"""The process host of one kernel: starts its programs and outlives none of them.

Run as ``python -I -S host_main.py FD GATEWAY ROOT``; only `process_host.py` starts it. FD is a
SEQPACKET socket to the gateway, GATEWAY a pidfd of the gateway (-1 where Linux has none) and ROOT
the kernel's private folder. The host is a child subreaper: every process that a program leaves
behind (even a daemon that forked twice and called setsid) becomes a child of the host, so "the host
has no children" means "the kernel has no processes". The host ends when the gateway tells it to,
when the socket is closed, and when the gateway dies (then its exit code is ORPHANED). At its end it
kills all processes and removes ROOT.

The host may have namespaces of its own (`isolation.py`). Then ROOT is a mount point, which it can
empty but not remove, and its process ids differ from the gateway's. So a process id is sent with a
pidfd, from which the gateway reads its own id for the process.

Start-up time is part of every kernel's start, so this script imports little. Messages are
marshalled and not JSON, and the C modules below `signal` and `socket` are used directly: that
reduces 44 ms to 26 ms (a bare interpreter needs 15). Both ends of the socket are the same Python
installation, and no program of the kernel inherits the socket or may trace the host, so marshal is
safe here.

A message is a dict. The gateway sends::

    {"op": "spawn", "id": 1, "argv": [...], "env": {...}, "cwd": "...", "terminal": True}
        with file descriptors for 0, 1, 2, 3... attached
    {"op": "signal", "id": 1, "signal": 2}      to the process group of that program
    {"op": "kill", "id": 1}                     the program and everything below it
    {"op": "stop"}

The host first sends ``ready`` (pid; with its pidfd). It answers ``spawned`` (pid; with its pidfd),
``failed`` (errno, error), ``exit`` (code; 128 + n for signal n) and last ``stopped`` (usage).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import marshal
import os
import resource
import select
import sys
import termios
import time

TYPE_CHECKING = False  # `typing` alone would cost more than all imports above
if TYPE_CHECKING:
    import signal
    import socket
    from typing import Any
else:
    import _signal as signal
    import _socket as socket

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
MESSAGE_BYTES = 1 << 20
MAX_FDS = 16
OPEN_FILES = 4096
#: Exit code of a host whose gateway was killed.
ORPHANED = 3
#: How long to wait for programs that SIGKILL does not end (they are blocked in Linux).
KILL_SECONDS = 30.0


def prctl(option: int, value: int) -> None:
    """Call prctl(2), for which Python has no function."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def _fields(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on: state, ppid, pgrp, session, ..."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (pathlib costs 10 ms)
            # The name before the state may have spaces and parentheses.
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def below(root: int, *, session: bool = False) -> list[int]:
    """All living descendants of `root`; with `session` also the members of its session."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and (fields := _fields(int(name))) and fields[0] not in b"ZX":
            parents[int(name)] = int(fields[1])
            if session and int(fields[3]) == root:
                found.add(int(name))
    for pid in parents:
        up, seen = pid, 0
        while up in parents and up != root and seen < len(parents):
            up, seen = parents[up], seen + 1
        if up == root and pid != root:
            found.add(pid)
    return list(found)


def kill(pids: list[int]) -> None:
    """Send SIGKILL to each of `pids` that still exists."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def remove_tree(path: str) -> int:
    """Remove a folder tree, and return the size of its files in bytes.

    Walks with chdir, because a program may have nested folders deeper than PATH_MAX, and deeper
    than there are file descriptors. Symbolic links are not followed; no other process of the kernel
    is alive that could replace a folder by one. Mount points and other users' files are left.
    """
    size = 0
    try:
        os.chdir(path)
    except OSError:
        return 0
    names: list[str] = []  # of the folders from `path` down to the current one
    todo: list[list[str]] = []  # for each of them the subfolders that are left
    while True:
        if len(todo) == len(names):
            folders = []
            with os.scandir() as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                        continue
                    try:
                        size += entry.stat(follow_symlinks=False).st_size
                        os.unlink(entry.name)  # noqa: PTH108
                    except OSError:
                        pass
            todo.append(folders)
        if todo[-1]:
            name = todo[-1].pop()
            try:
                os.chmod(name, 0o700)  # noqa: PTH101 (module caches make folders read-only)
                os.chdir(name)
            except OSError:
                continue
            names.append(name)
            continue
        todo.pop()
        os.chdir("..")
        try:
            os.rmdir(names[-1] if names else path)  # noqa: PTH106
        except OSError:
            pass
        if not names:
            return size
        names.pop()


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
        self.finish()
        if not self.orphaned():
            return 0
        # The gateway's folder is empty after its last kernel, and no one else removes it.
        try:
            os.rmdir(self.root.rpartition("/")[0])  # noqa: PTH106 (no pathlib here)
        except OSError:
            pass
        return ORPHANED

    def orphaned(self) -> bool:
        """Whether the gateway has died."""
        if self.gateway >= 0:
            return bool(select.select([self.gateway], [], [], 0)[0])
        return os.getppid() != self.parent

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
        elif pid is None:
            pass  # it has ended, and its `exit` was sent
        elif message["op"] == "kill":
            kill([*below(pid, session=True), pid])
        elif message["op"] == "signal":
            try:
                os.killpg(pid, message["signal"])
            except (ProcessLookupError, PermissionError):
                pass

    # -- programs -----------------------------------------------------------------------------

    def spawn(self, message: dict[str, Any], fds: list[int]) -> None:
        """Fork and exec. An error of exec comes back through a close-on-exec pipe."""
        ident = message["id"]
        report, report_end = os.pipe()
        host = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(report)
                self.run_program(message, fds, host, report_end)
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

    def run_program(self, message: dict[str, Any], fds: list[int], host: int, report: int) -> None:
        """In the new process: set it up, and execute the program. Returns only after an error."""
        report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, 100)
        try:
            os.setsid()
            fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
            for target, fd in enumerate(fds):
                os.dup2(fd, target)
            if message["terminal"]:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != host:
                return  # the host died before the line above could take effect
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            soft = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            reset = [signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ]
            for number in reset:
                signal.signal(number, signal.SIG_DFL)
            # The program leads the terminal's session. When a leader ends, Linux sends SIGHUP to
            # the foreground group, and the program's background processes would die. So
            # SIGHUP stays ignored, as under nohup.
            signal.signal(signal.SIGHUP, signal.SIG_IGN if message["terminal"] else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            os.chdir(message["cwd"])
            self.execute(message["argv"], message["env"])
        except OSError as exc:
            name = exc.filename or message["argv"][0]
            os.write(report, f"{exc.errno} {name}: {os.strerror(exc.errno or 0)}".encode())

    @staticmethod
    def execute(argv: list[str], env: dict[str, str]) -> None:
        """execve with the PATH of the new environment; `os.execvpe` would import `warnings`."""
        if "/" in argv[0]:
            os.execve(argv[0], argv, env)  # noqa: S606
        for folder in env.get("PATH", "/usr/bin:/bin").split(":"):
            try:
                os.execve(f"{folder or '.'}/{argv[0]}", argv, env)  # noqa: S606
            except (FileNotFoundError, NotADirectoryError):
                continue
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])

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
            select.select([self.wakeup], [], [], 0.01)
        scratch = remove_tree(f"{self.root}/work")
        remove_tree(self.root)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "cpu_ms": int((used.ru_utime + used.ru_stime) * 1000),
            "max_rss_bytes": used.ru_maxrss * 1024,
            "read_bytes": used.ru_inblock * 512,
            "write_bytes": used.ru_oublock * 512,
            "scratch_bytes": scratch,
        }


if __name__ == "__main__":
    sys.exit(Host(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]).serve())
