"""OpenSSH's programs, connected to the SSH server of a kernel.

They connect through `backend.ai app ID sshd --stdio` as their ProxyCommand: no local port is
opened. The kernel's private key is kept in a file of this user's state folder, one for each kernel,
written anew by each `ssh` and `scp`, and removed when nobody has connected for a while; no argument
has a secret.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from backendai_trio import TrioKernel
from backendai_trio.config import read_profile_name, state_folder, write_private
from backendai_trio.kernels import ssh_login

from .configuration import chosen_profile
from .server import call_kernel

__all__ = [
    "Connection",
    "connect",
    "find_program",
    "host_block",
    "replace_process",
    "ssh_options",
    "touch_key",
]

_KEPT_SECONDS = 30 * 24 * 3600
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class Connection:
    """How OpenSSH reaches a kernel."""

    name: str
    """The name of the kernel that the user gave."""
    user: str
    key: Path
    """File with the private key."""


def connect(name: str, *, key: Path | None = None, user: str | None = None) -> Connection:
    """Find a kernel, start its SSH server, and fetch its key.

    Args:
        name: the kernel's token or id.
        key: the user's own key, if that is to be used.
        user: whom to log in as; default: whom the kernel names.

    Raises:
        BackendError: it cannot be reached, or has no SSH server or no key.
    """

    async def find(kernel: TrioKernel) -> Connection:
        login = await ssh_login(kernel, fetch_key=key is None)
        file = key or _save_key(kernel, login.private_key)
        return Connection(name, user or login.user, file)

    return call_kernel(name, f"log in to the kernel {name}", find)


def ssh_options(connection: Connection, *, profile: str | None = None) -> dict[str, str]:
    """Settings of OpenSSH's configuration.

    The host key is not checked: it is new in each kernel, and who is at the other end follows from
    the server's certificate.

    Args:
        connection: the kernel.
        profile: the profile to name in the command that connects; None where that command finds the
            same settings as this one.
    """
    return {
        "ProxyCommand": _proxy_command(connection.name, profile),
        "User": connection.user,
        "IdentityFile": f'"{_escaped(str(connection.key))}"',
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": os.devnull,
        "LogLevel": "ERROR",
    }


def touch_key(kernel: TrioKernel) -> None:
    """Note that the key of a kernel, if it is kept, is in use: by an entry of ``~/.ssh/config``."""
    with suppress(OSError):
        os.utime(_key_path(kernel))


def host_block(connection: Connection) -> str:
    """An entry of ``~/.ssh/config`` for the kernel."""
    settings = ssh_options(connection, profile=chosen_profile() or read_profile_name())
    settings = {"HostName": connection.name, **settings}
    lines = [f"    {name} {value}\n" for name, value in settings.items()]
    return f"Host {connection.name}\n{''.join(lines)}"


def find_program(name: str) -> Path:
    """One of OpenSSH's programs.

    Args:
        name: ``ssh`` or ``scp``.

    Raises:
        click.ClickException: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise click.ClickException(f"there is no {name} on PATH; install the OpenSSH client")
    return Path(path)


def replace_process(program: Path, connection: Connection, arguments: Sequence[str]) -> int:
    """Go on as one of OpenSSH's programs; signals and exit code are its own.

    Args:
        program: from `find_program`.
        connection: the kernel.
        arguments: arguments behind the settings.

    Returns:
        Its exit code, on Windows, where no process can become another one.
    """
    options = ssh_options(connection, profile=chosen_profile())
    settings = [f"-o{name}={value}" for name, value in options.items()]
    argv = [program.name, *settings, *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        import subprocess

        return subprocess.run(argv, executable=program, check=False).returncode
    os.execv(program, argv)  # noqa: S606 (no shell is wanted)
    raise AssertionError("this process is another program now")


def _proxy_command(name: str, profile: str | None) -> str:
    """The command that OpenSSH runs, with the shell, in place of a connection."""
    program = [sys.executable, "-P", "-m", "backendai_cli"]
    chosen = ["--profile", profile] if profile else []
    words = [*program, *chosen, "app", "--stdio", "--", name, "sshd"]
    return _escaped(shlex.join(words))


def _escaped(text: str) -> str:
    """Text without what OpenSSH would expand."""
    return text.replace("%", "%%")


def _save_key(kernel: TrioKernel, key: str) -> Path:
    path = _key_path(kernel)
    _remove_old(path.parent)
    write_private(path, key)
    return path


def _key_path(kernel: TrioKernel) -> Path:
    unique = f"{kernel.client.config.endpoint.url} {kernel.kernel_id}"
    digest = hashlib.sha256(unique.encode()).hexdigest()[:16]
    return state_folder() / "ssh" / f"{_UNSAFE.sub('_', kernel.token)}-{digest}"


def _remove_old(folder: Path) -> None:
    """Remove keys of kernels that were not logged in to for a while."""
    try:
        files = list(folder.iterdir())
    except OSError:
        return  # there is no key yet
    for file in files:
        try:
            if file.stat().st_mtime < time.time() - _KEPT_SECONDS:
                file.unlink()
        except OSError:
            pass  # somebody else has removed it
