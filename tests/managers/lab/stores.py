"""What every release keeps its data in: PostgreSQL, Redis and etcd of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from .processes import LabError, Processes

__all__ = ["HOST", "Stores", "tcp_open"]

HOST = "127.0.0.1"
_DATABASE = "backend"
_PACKAGES = {
    "psql": "postgresql",
    "redis-server": "redis-server",
    "redis-cli": "redis-tools",
    "etcd": "etcd-server",
    "etcdctl": "etcd-client",
    "unshare": "util-linux",
}


def tcp_open(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


class Stores:
    """The three of one server.

    Attributes:
        database_port, redis_port, etcd_port: where they listen.
        password: of the database's user ``postgres``.
    """

    def __init__(self, folder: Path, processes: Processes, port_base: int) -> None:
        self.database_port = port_base + 100
        self.redis_port = port_base + 110
        self.etcd_port = port_base + 120
        self.password = "loopback-only"
        self._folder = folder
        self._processes = processes

    @property
    def database_url(self) -> str:
        """Address of the database, for SQLAlchemy."""
        return f"postgresql://postgres:{self.password}@{HOST}:{self.database_port}/{_DATABASE}"

    def check(self) -> None:
        """See that the programs are there.

        Raises:
            LabError: some are not.
        """
        missing = [package for program, package in _PACKAGES.items() if not shutil.which(program)]
        if not missing and _postgres() is None:
            missing = ["postgresql"]
        if missing:
            raise LabError(f"not installed; as root: apt-get install {' '.join(missing)}")
        if os.geteuid() != 0:
            raise LabError(
                "this needs root: the database runs as a user of its own, and sessions have mount "
                "namespaces"
            )

    def start(self) -> None:
        """Start those that do not run."""
        for name in ("postgres", "redis", "etcd"):
            if self._processes.pid(name) is None:
                getattr(self, f"_start_{name}")()

    def stop(self) -> None:
        """End all three."""
        self._processes.end("etcd", signal.SIGTERM, seconds=10)
        self._processes.end("redis", signal.SIGTERM, seconds=10)
        self._processes.end("postgres", signal.SIGINT, seconds=20)

    def sql(self, statement: str, *, database: str = _DATABASE) -> str:
        """Run a statement; its rows, a line each, columns between ``|``.

        Raises:
            LabError: it failed.
        """
        done = self._psql(statement, database)
        if done.returncode:
            raise LabError(f"{statement[:80]}: {done.stderr.strip()}")
        return done.stdout.strip()

    def etcd(self, *arguments: str) -> str:
        """Run `etcdctl`.

        Raises:
            LabError: it failed.
        """
        done = self._etcdctl(*arguments)
        if done.returncode:
            raise LabError(f"etcdctl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def put(self, values: dict[str, str]) -> None:
        """Replace all settings of the servers by these."""
        self.etcd("del", "--prefix", "/sorna/lab/")
        for key, value in values.items():
            self.etcd("put", f"/sorna/lab/{key}", "--", value)

    def create_database(self) -> None:
        """Make the database, empty."""
        found = self.sql(
            f"select 1 from pg_database where datname = '{_DATABASE}'", database="postgres"
        )
        if not found:
            self.sql(f"create database {_DATABASE}", database="postgres")
        self.sql("drop schema public cascade; create schema public")

    def _start_postgres(self) -> None:
        data, sockets = self._folder / "postgres", self._processes.notes / "postgres"
        bin_folder = _postgres()
        assert bin_folder is not None
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        sockets.mkdir(parents=True, exist_ok=True)
        shutil.chown(sockets, "postgres", "postgres")
        if not (data / "PG_VERSION").exists():
            data.mkdir(exist_ok=True)
            shutil.chown(data, "postgres", "postgres")
            secret = sockets / "password"
            secret.touch(0o600)
            secret.write_text(self.password)
            shutil.chown(secret, "postgres", "postgres")
            command = [*as_postgres, str(bin_folder / "initdb"), "-D", str(data)]
            command += ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(secret)]
            made = subprocess.run(
                [*command, "-E", "UTF8", "--locale=C.UTF-8"],
                cwd=sockets,
                capture_output=True,
                text=True,
                check=False,
            )
            secret.unlink()
            if made.returncode:
                raise LabError(f"initdb: {made.stderr.strip()}")
        settings = {
            "listen_addresses": HOST,
            "port": self.database_port,
            "unix_socket_directories": sockets,
            "max_connections": 200,
            # Nothing in it is worth a disk's wait.
            "fsync": "off",
            "synchronous_commit": "off",
        }
        self._processes.start(
            "postgres",
            [*as_postgres, str(bin_folder / "postgres"), "-D", str(data)]
            + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")],
            cwd=data,
            env=os.environ,
        )
        self._processes.wait_ready(
            "postgres", lambda: self._psql("select 1", "postgres").returncode == 0
        )

    def _start_redis(self) -> None:
        folder = self._folder / "redis"
        folder.mkdir(exist_ok=True)
        command = ["redis-server", "--bind", HOST, "--port", str(self.redis_port), "--save", ""]
        command += ["--appendonly", "no", "--daemonize", "no", "--dir", str(folder)]
        self._processes.start("redis", command, cwd=folder, env=os.environ)
        self._processes.wait_ready("redis", lambda: tcp_open(self.redis_port))

    def _start_etcd(self) -> None:
        client, peer = (f"http://{HOST}:{port}" for port in (self.etcd_port, self.etcd_port + 1))
        command = ["etcd", "--name", "lab", "--data-dir", str(self._folder / "etcd")]
        command += ["--log-level", "warn", "--unsafe-no-fsync", "--initial-cluster", f"lab={peer}"]
        for option, url in (
            ("listen-client-urls", client),
            ("advertise-client-urls", client),
            ("listen-peer-urls", peer),
            ("initial-advertise-peer-urls", peer),
        ):
            command += [f"--{option}", url]
        self._processes.start("etcd", command, cwd=self._folder, env=os.environ)
        self._processes.wait_ready(
            "etcd", lambda: self._etcdctl("endpoint", "health").returncode == 0
        )

    def _psql(self, statement: str, database: str) -> subprocess.CompletedProcess[str]:
        command = ["psql", "-qAtX", "-h", HOST, "-p", str(self.database_port), "-U", "postgres"]
        command += ["-d", database, "-v", "ON_ERROR_STOP=1", "-c", statement]
        env = {**os.environ, "PGPASSWORD": self.password}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def _etcdctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["etcdctl", "--endpoints", f"http://{HOST}:{self.etcd_port}", *arguments]
        env = {**os.environ, "ETCDCTL_API": "3"}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def _postgres() -> Path | None:
    """Folder of the newest installed PostgreSQL's programs; distributions keep it off the PATH."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return max(found, key=lambda path: int(path.parts[-3])).parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None
