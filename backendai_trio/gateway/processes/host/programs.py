"""A program of a kernel, from the fork to the exec.

It is imported by the process host, whose start-up time counts (see `serving.py`).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

PR_SET_PDEATHSIG = 1
OPEN_FILES = 4096


def prctl(option: int, value: int) -> None:
    """Call prctl(2), for which Python has no function."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def run_program(message: dict[str, Any], fds: list[int], host: int, report: int) -> None:
    """In the new process: set it up, and execute the program. Returns only after an error.

    Args:
        message: what the gateway has sent.
        fds: the program's file descriptors from 0 on.
        host: process id of the host.
        report: a pipe, which is closed when the program is executed, and gets an error before.
    """
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
        limit_program(message)
        reset = [signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ]
        for number in reset:
            signal.signal(number, signal.SIG_DFL)
        # The program leads the terminal's session. When a leader ends, Linux sends SIGHUP to
        # the foreground group, and the program's background processes would die. So
        # SIGHUP stays ignored, as under nohup.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if message["terminal"] else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.chdir(message["cwd"])
        execute(message["argv"], message["env"])
    except OSError as exc:
        name = exc.filename or message["argv"][0]
        os.write(report, f"{exc.errno} {name}: {os.strerror(exc.errno or 0)}".encode())


def limit_program(message: dict[str, Any]) -> None:
    """Limit what this process and its children may use."""
    for which, limit in message["limits"].items():
        _, hard = resource.getrlimit(which)
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        # At the soft limit of CPU time comes a signal, at the hard one SIGKILL.
        above = lower + 1 if which == resource.RLIMIT_CPU and lower != hard else lower
        resource.setrlimit(which, (lower, above))
    if message["cores"]:
        os.sched_setaffinity(0, message["cores"])


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
