"""The installed commands, run as a person runs them: in a folder and with a HOME of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..local_kernels import kernel_processes
from .terminal import TIMEOUT_SECONDS, Running, eventually, on_pipes, on_terminal

__all__ = ["ACCESS_KEY", "SECRET_KEY", "Commands", "Result"]

#: A key pair for gateways that are served in tests.
ACCESS_KEY = "AKIATESTTESTTESTTEST"
SECRET_KEY = "Secret-key-of-tests-0123456789-abcdefghi"

NO_SERVER = "∙ No server is configured (BACKEND_ENDPOINT): running on this machine.\n"


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    def problem(self, *codes: int) -> str:
        """The one line it had to say, checked to be one, and to be all there is but status."""
        assert self.code in codes, (self.code, self.stderr)
        assert self.stdout == b"", self.stdout
        assert "Traceback" not in self.stderr, self.stderr
        problems = [line for line in self.stderr.splitlines() if not line.startswith(("∙ ", "! "))]
        assert len(problems) == 1 and problems[0].startswith("✘ "), self.stderr
        return problems[0]


class Commands:
    """A person's account on this machine: HOME, folder for temporary files, work folder.

    Attributes:
        work: the current folder of the commands.
        tmp: their TMPDIR; a gateway puts its kernels there.
        env: their environment.
    """

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.tmp = folder / "tmp"
        self.home = folder / "home"
        for made in (self.work, self.tmp, self.home):
            made.mkdir()
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.tmp),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
        }

    def argv(self, *arguments: str, program: str = "backend.ai") -> list[str]:
        """The command line, with the program as it was installed beside this Python."""
        return [str(Path(sysconfig.get_path("scripts")) / program), *arguments]

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        program: str = "backend.ai",
        seconds: float = TIMEOUT_SECONDS,
    ) -> Result:
        """Run a command to its end, on pipes; standard input is /dev/null or a pipe."""
        done = subprocess.run(
            self.argv(*arguments, program=program),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=self.env | dict(env or {}),
            cwd=self.work,
            timeout=seconds,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr.decode())

    def shell(self, script: str, env: Mapping[str, str] | None = None) -> Result:
        """Run lines of shell in which the commands are found by name."""
        path = f"{sysconfig.get_path('scripts')}:{self.env['PATH']}"
        with subprocess.Popen(
            ["/bin/sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.env | {"PATH": path} | dict(env or {}),
            cwd=self.work,
            start_new_session=True,
        ) as shell:
            try:
                stdout, stderr = shell.communicate(timeout=TIMEOUT_SECONDS)
            except BaseException:  # the time limit, or Ctrl-C; raised again
                os.killpg(shell.pid, signal.SIGKILL)  # the shell, and all that it started
                raise
        return Result(shell.returncode, stdout, stderr.decode())

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL
    ) -> AbstractContextManager[Running]:
        """Start a command on pipes."""
        return on_pipes(
            self.argv(*arguments), env=self.env | dict(env or {}), cwd=self.work, stdin=stdin
        )

    def terminal(
        self, *arguments: str, env: Mapping[str, str] | None = None, window: Sequence[int] = ()
    ) -> AbstractContextManager[Running]:
        """Start a command on a terminal, whose size is that of `on_terminal`."""
        variables = self.env | dict(env or {})
        return on_terminal(self.argv(*arguments), env=variables, cwd=self.work, window=window)

    @contextmanager
    def serve(self, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
        """`backend.ai serve` on a free port; its URL has been read when the block begins."""
        with self.start("serve", "--port", "0", *options, env=env) as running:
            running.expect("✔ Serving on ", on="stderr")
            running.expect("\n", on="stderr")
            yield running

    def kernel_processes(self) -> list[int]:
        """The living processes of all kernels whose files are below `tmp`, hosts included."""
        return kernel_processes(self.tmp)

    def nothing_is_left(self, seconds: float = 2.0) -> bool:
        """Whether all kernels end in time, processes and files."""
        return eventually(lambda: not self.kernel_processes() and not self.kernel_files(), seconds)

    def kernel_files(self) -> list[Path]:
        """The folders of kernels, and what is in them."""
        return list(self.tmp.glob("backendai-gateway-*/*"))


def url_of(gateway: Running) -> str:
    """Where a gateway said that it serves."""
    match = re.search(r"Serving on (http://\S+)", gateway.text("stderr"))
    assert match is not None, gateway.text("stderr")
    return match[1]


def variables_of(gateway: Running) -> dict[str, str]:
    """What leads to a gateway that has the key pair of the tests."""
    return {
        "BACKEND_ENDPOINT": url_of(gateway),
        "BACKEND_ACCESS_KEY": ACCESS_KEY,
        "BACKEND_SECRET_KEY": SECRET_KEY,
    }
