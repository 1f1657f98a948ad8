"""A kernel's SSH server: the machine's OpenSSH, run in the kernel as one of its programs.

Managers have Dropbear in each session, with the user ``work``. A kernel of a gateway runs as the
user of the gateway, so that user logs in. The server listens on a loopback port, which the first
connection opens; it accepts one key, made for the kernel, whose private half lies in the work
folder, as on managers (docs/protocol.md, section 6.6).
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import trio

from ...errors import GatewayError
from ...wire.ssh import KEY_FILE
from ..limits import GatewayLimits
from ..processes.process_host import KernelHost
from ..processes.program_streams import PIPED

__all__ = ["SshServer"]

_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/lib/misc/sftp-server",
)
_NO_SHELLS = frozenset({"false", "nologin"})
_LISTENS = b"Server listening"
_KEPT_BYTES = 4096

# Runs in the kernel: its folders belong to the kernel's programs, which might have put links there.
# The environment goes through a file, since arguments of processes are public.
_PREPARE = f"""
set -eu
usual=$(umask)
umask 077
folder=$1
mkdir -p "$folder"
[ -f "$folder/host_key" ] || ssh-keygen -q -t ed25519 -N '' -C '' -f "$folder/host_key"
if [ ! -f "$folder/id" ]; then
  ssh-keygen -q -t ed25519 -N '' -C '' -f "$folder/id"
  cat "$folder/id.pub" >>"$folder/authorized_keys"
fi
cat "$folder/id" >{KEY_FILE}
{{ export -p; echo "umask $usual"; }} >"$folder/environment"
printf '%s\\n' "$2" >"$folder/login"
shift 2
umask "$usual"
exec "$@"
"""
_LOGIN = """
term=${TERM:-dumb}
. "${0%/*}/environment"
export TERM="$term"
cd "$1"
if [ -n "${SSH_ORIGINAL_COMMAND-}" ]; then exec "$SHELL" -c "$SSH_ORIGINAL_COMMAND"; fi
exec "$SHELL"
"""


class _Running:
    """A server from its start until its process is gone."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.scope = trio.CancelScope()
        self.listens = False
        self.gone = trio.Event()


class SshServer:
    """A kernel's SSH server. The kernel's nursery owns it.

    Attributes:
        user: whom to log in as; empty where the kernel has no server.
        lacking: why it has none.
    """

    def __init__(
        self,
        host: KernelHost,
        environ: Mapping[str, str],
        nursery: trio.Nursery,
        limits: GatewayLimits,
        check_alive: Callable[[], None],
    ) -> None:
        """
        Args:
            host: the kernel's process host.
            environ: the environment of the kernel's programs.
            nursery: the server's task lives in it.
            limits: how long the server may take to start.
            check_alive: raises `Refused` when the kernel has ended, and its nursery is closed.
        """
        self._program, self.lacking = _find_server(separate=host.separate)
        self.user = _own_name() if self._program else ""
        if self._program and not self.user:
            self.lacking = "the user that runs the gateway cannot log in"
        self._host = host
        self._environ = environ
        self._nursery = nursery
        self._limits = limits
        self._check_alive = check_alive
        self._lock = trio.Lock()
        self._running: _Running | None = None
        self._last: _Running | None = None
        """The last one, which may not be gone yet."""

    @property
    def port(self) -> int:
        """The loopback port that it listens on; 0 while it does not run."""
        return self._running.port if self._running is not None and self._running.listens else 0

    @property
    def occupied_port(self) -> int:
        """The same also of a server that is about to end."""
        return self._last.port if self._last is not None and not self._last.gone.is_set() else 0

    async def start(self) -> int:
        """Start the server, unless it runs. One that was stopped is gone before.

        Returns:
            Its port.

        Raises:
            GatewayError: it did not start.
            Refused: 404, the kernel has ended.
        """
        async with self._lock:
            if self.port:
                return self.port
            if self._last is not None:
                await self._last.gone.wait()
            # In all that time the kernel may have ended.
            self._check_alive()
            server = self._running = self._last = _Running(_free_port())
            seconds = self._limits.service_start_seconds
            with trio.move_on_after(seconds) as timeout:
                await self._nursery.start(self._run, server)
            if timeout.cancelled_caught:
                raise GatewayError(f"{self._program} did not start within {seconds:g} s")
            return server.port

    def stop(self) -> None:
        """End the server and its connections; it is not found any more."""
        if self._running is not None:
            self._running.scope.cancel()
            self._running = None

    async def _run(self, server: _Running, *, task_status: trio.TaskStatus[None]) -> None:
        shell = shutil.which("bash") or "/bin/sh"
        environment = {**self._environ, "SHELL": shell, "PS1": r"\w\$ "}
        # Not the user's HOME, which may be anywhere.
        folder = self._host.home / ".ssh"
        arguments = self._command(folder, server.port)
        command = ["/bin/sh", "-c", _PREPARE, "sh", str(folder), _LOGIN, *arguments]
        output = b""

        async def watch(_kind: Literal["stdout", "stderr"], data: bytes) -> None:
            nonlocal output
            output = (output + data)[-_KEPT_BYTES:]
            if not server.listens and _LISTENS in output:
                server.listens = True
                task_status.started()
            await trio.lowlevel.checkpoint()

        try:
            with server.scope:
                async with self._host.open_process(
                    command, env=environment, cwd=self._host.work, stdio=PIPED
                ) as process:
                    await process.run(watch, None)
        except GatewayError:
            if not server.listens:
                raise
        finally:
            if self._running is server:
                self._running = None
            server.gone.set()
        if server.scope.cancelled_caught and not server.listens:
            raise GatewayError(f"{self._program} was stopped before it had started")
        if not server.listens:
            reason = " ".join(output.decode(errors="replace").split()) or "it gave no reason"
            raise GatewayError(f"{self._program} ended: {reason}")

    def _command(self, folder: Path, port: int) -> list[str]:
        login = f"exec /bin/sh {shlex.quote(f'{folder}/login')} {shlex.quote(str(self._host.work))}"
        settings = {
            "ListenAddress": "127.0.0.1",
            "Port": str(port),
            "HostKey": _quoted(folder / "host_key"),
            "AuthorizedKeysFile": _quoted(folder / "authorized_keys").replace("%", "%%"),
            "ForceCommand": login,
            "AllowUsers": self.user,
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "PrintMotd": "no",
            "PrintLastLog": "no",
            "PermitUserRC": "no",
            "X11Forwarding": "no",
            "MaxStartups": "100",
            "ClientAliveInterval": "15",
        }
        if sftp := next((path for path in _SFTP_SERVERS if Path(path).is_file()), None):
            settings["Subsystem"] = f"sftp {sftp}"
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        return [self._program, "-D", "-e", "-f", "/dev/null", *options]


def _quoted(path: Path) -> str:
    return f'"{path}"'


def _find_server(*, separate: bool) -> tuple[str, str]:
    """The path of an SSH server that can run in the kernel, and why there is none.

    Args:
        separate: whether the kernel has namespaces of its own. Root has no privileges there, and
            the server gives up when it cannot drop them.
    """
    if separate and os.geteuid() == 0:
        command = "backend.ai serve --isolation process-group"
        return "", f"a gateway that root runs has one only with '{command}'"
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_FOLDERS))
    server = shutil.which("sshd", path=path)
    if server and shutil.which("ssh-keygen"):
        return server, ""
    missing = "ssh-keygen" if server else "sshd"
    return "", f"{missing} is not installed on the gateway's machine"


def _own_name() -> str:
    """The gateway's user; empty for one who cannot log in."""
    try:
        user = pwd.getpwuid(os.geteuid())
    except KeyError:
        return ""
    return "" if Path(user.pw_shell).name in _NO_SHELLS else user.pw_name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
