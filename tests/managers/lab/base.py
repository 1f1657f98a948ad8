"""What the servers of all releases have in common: a folder, ports, and a life."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from .accounts import ACCOUNTS
from .processes import LabError, Processes, last_lines
from .pythons import find_python, install
from .stores import HOST, Stores

__all__ = ["DATA", "KERNEL_PORTS", "Lab", "options_of"]

_HERE = Path(__file__).resolve().parent.parent
DATA = _HERE / "fixtures"
"""Rows and settings that the servers are filled with."""
KERNEL_PORTS = 600
"""How many ports sessions have, from 300 above the first one on."""


class Lab(ABC):
    """One release's servers.

    Attributes:
        release: its number, as packages have it: ``23.9.10``.
        folder: where all of it is kept.
        port_base: its ports are from here on, up to 900 further.
        processes: what runs.
        stores: the database, Redis and etcd.
        inside: programs of ours that run on the servers' own Pythons: a copy, as sessions see
            another /home, which this repository may be below.
    """

    python = ""
    """Which Python the servers need."""
    services: tuple[str, ...] = ("manager",)
    """What runs beside the stores, in the order of starting."""
    image = ""
    """An image for Python sessions; ``""`` where no agent runs sessions."""

    def __init__(self, release: str, root: Path, port_base: int) -> None:
        self.release = release
        self.folder = root / release
        self.port_base = port_base
        self.manager_port = port_base + 81
        self.web_port: int | None = None
        self.processes = Processes(self.folder / "run", self.folder / "log")
        self.stores = Stores(self.folder, self.processes, port_base)
        self.venv = self.folder / "venv"
        self.etc = self.folder / "etc"
        self.inside = self.folder / "inside"

    # -- what the command and the fixtures call ---------------------------------------------------

    def check(self) -> None:
        """Look whether it can be installed and started here.

        Raises:
            LabError: something is missing; says what.
        """
        if find_python(self.python) is None:
            raise LabError(f"{self.release} needs Python {self.python}, which was not found")
        self.stores.check()

    def install(self) -> None:
        """Install what is missing.

        Raises:
            LabError: a Python or a program is missing, or pip failed.
        """
        self._make_folders()
        self.stores.check()
        for venv, requirements in self.environments().items():
            log = self.processes.log("pip")
            path = _HERE / "requirements" / f"{requirements}.txt"
            if install(self.folder / venv, self.python, path, log=log):
                self.say(f"installed {path.name} for Python {self.python}")

    def start(self) -> bool:
        """Install what is missing, and start what does not run.

        Returns:
            Whether anything was started.

        Raises:
            LabError: it cannot.
        """
        self.install()
        missing = [name for name in self.all_services if self.processes.pid(name) is None]
        if not missing:
            return False
        shutil.rmtree(self.inside, ignore_errors=True)
        shutil.copytree(_HERE / "inside", self.inside)
        self.configure()
        self.stores.start()
        if not self._seeded.exists():
            self.say("filling the database (once)")
            self.stores.create_database()
            self.seed()
            self._seeded.touch()
        for name in self.services:
            if self.processes.pid(name) is None:
                self._start_service(name)
                self.say(f"started {name}")
        return True

    def stop(self) -> None:
        """End everything that was started, and nothing else."""
        for name in reversed(self.services):
            if self.processes.end(name, signal.SIGTERM, seconds=20):
                self.say(f"{name} did not end within 20 s, and was killed")
            if name == "agent":
                for kernel in self.processes.names("kernel-*"):  # what it could not end itself
                    self.processes.end(kernel, signal.SIGKILL, seconds=2)
        self.stores.stop()

    def restart_manager(self) -> None:
        """Start the manager anew, and nothing else; sessions go on."""
        self.processes.end("manager", signal.SIGTERM, seconds=20)
        self._start_service("manager")

    def wipe(self) -> None:
        """Stop, and forget all data; the packages stay."""
        self.stop()
        keep = {*self.environments()}
        for path in self.folder.iterdir():
            if path.name not in keep:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    @property
    def all_services(self) -> tuple[str, ...]:
        """Everything that must run."""
        return ("postgres", "redis", "etcd", *self.services)

    @property
    def endpoint(self) -> str:
        """The manager's address."""
        return f"http://{HOST}:{self.manager_port}"

    @property
    def web_endpoint(self) -> str | None:
        """The web server's address, where there is one."""
        return None if self.web_port is None else f"http://{HOST}:{self.web_port}"

    def variables(self, account: str = "admin") -> dict[str, str]:
        """The environment variables with which a user reaches the manager."""
        user = ACCOUNTS[account]
        return {
            "BACKEND_ENDPOINT": self.endpoint,
            "BACKEND_ENDPOINT_TYPE": "api",
            "BACKEND_ACCESS_KEY": user.access_key,
            "BACKEND_SECRET_KEY": user.secret_key,
        }

    def logs(self, count: int = 25) -> dict[str, str]:
        """The last lines of each service's log."""
        return {name: last_lines(self.processes.log(name), count) for name in self.services}

    # -- what each generation says for itself -----------------------------------------------------

    def environments(self) -> Mapping[str, str]:
        """Virtual environments to make, and their requirements."""
        return {"venv": self.release}

    @abstractmethod
    def configure(self) -> None:
        """Write the servers' settings."""

    @abstractmethod
    def seed(self) -> None:
        """Fill the empty database, and etcd."""

    def _start_service(self, name: str) -> None:
        start: Callable[[], None] = getattr(self, f"start_{name}")
        start()

    # -- helpers ----------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Tell a person, on standard error."""
        print(f"{datetime.now():%H:%M:%S} {self.release}: {text}", file=sys.stderr, flush=True)

    @property
    def runtime_python(self) -> Path:
        """The Python of the sessions."""
        return self.folder / "runtime" / "bin" / "python"

    def program(self, *arguments: str) -> list[str]:
        """A command line of the servers' Python."""
        return [str(self.venv / "bin" / "python"), "-W", "ignore", *arguments]

    def environ(self, **variables: str) -> dict[str, str]:
        """The environment of the servers' programs: that of this process, less what is Python's."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BACKEND"))}
        return kept | {"PYTHONDONTWRITEBYTECODE": "1", "LAB_HOME": str(self.folder)} | variables

    def run_inside(self, program: str, *arguments: str) -> None:
        """Run one of the programs in `inside` on the servers' Python, to its end.

        Raises:
            LabError: it failed.
        """
        accounts = str(self.write_accounts())
        self.run(self.program(str(self.inside / program), *arguments), LAB_ACCOUNTS=accounts)

    def run(self, command: Sequence[str], **variables: str) -> None:
        """Run a program of the server's to its end.

        Raises:
            LabError: it failed.
        """
        log = self.processes.log("seed")
        with log.open("ab") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environ(**variables),
                cwd=self.etc,
                check=False,
            )
        if done.returncode:
            words = " ".join(command)
            raise LabError(f"failed: {words[:200]}; the end of {log}:\n{last_lines(log)}")

    def manager_options(self) -> dict[str, str]:
        """Options of managers before 19.03, which read no settings file."""
        return {
            "namespace": "lab",
            "etcd-addr": f"{HOST}:{self.stores.etcd_port}",
            "redis-addr": f"{HOST}:{self.stores.redis_port}",
            "db-addr": f"{HOST}:{self.stores.database_port}",
            "db-name": "backend",
            "db-user": "postgres",
            "db-password": self.stores.password,
            "service-ip": HOST,
            "service-port": str(self.manager_port),
            "events-port": str(self.port_base + 2),
            "heartbeat-timeout": "30",
        }

    def write_accounts(self) -> Path:
        """The users, for programs on other Pythons."""
        path = self.etc / "accounts.json"
        rows = [{**asdict(account), "email": account.email} for account in ACCOUNTS.values()]
        path.write_text(json.dumps(rows))
        return path

    def _make_folders(self) -> None:
        for path in (self.folder, self.etc, self.processes.notes, self.processes.logs):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)  # the database's user passes through

    @property
    def _seeded(self) -> Path:
        return self.folder / "seeded"


def options_of(values: Mapping[str, str]) -> list[str]:
    """Command line options."""
    return [word for name, value in values.items() for word in (f"--{name}", value)]
