"""23.09 and 26.9: manager, storage proxy, and an agent whose sessions are processes; from 26.9 on
a web server for logins, too."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from .base import DATA, KERNEL_PORTS, Lab
from .stores import HOST, tcp_open
from .toml import toml_of

__all__ = ["Modern23", "Modern26"]

REGISTRY = "lab.invalid"  # never contacted: the image is there already
_SECRET = "manager-and-storage-of-this-machine"

Settings = dict[str, Any]


class _Modern(Lab):
    """What 23.09 and 26.9 have in common."""

    services: tuple[str, ...] = ("storage", "manager", "agent")
    image = "python"
    tag = ""
    """Of the image."""

    def __init__(self, release: str, root: Any, port_base: int) -> None:
        super().__init__(release, root, port_base)
        self.storage_port = port_base + 21
        self.storage_manager_port = port_base + 22

    def environments(self) -> Mapping[str, str]:
        """The servers' packages, and the sessions' Python."""
        return {"venv": self.release, "runtime": f"runtime-{self.release}"}

    def install(self) -> None:
        """Install what is missing; the sessions' Python is made known to Jupyter."""
        super().install()
        # The package brings a description, too, which leaves open whose Python it is.
        described = self.folder / "runtime/share/jupyter/kernels/python3/kernel.json"
        python = str(self.runtime_python)
        if not described.is_file() or json.loads(described.read_text())["argv"][0] != python:
            prefix = str(self.folder / "runtime")
            command = [python, "-m", "ipykernel", "install"]
            self.run([*command, "--prefix", prefix, "--name", "python3"])

    def configure(self) -> None:
        """Write all settings."""
        for name in ("ipc", "var", "scratch", "commit", "folders/volume1"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "folders/volume1/version.txt").write_text("3\n")
        for name, settings in self.settings().items():
            (self.etc / f"{name}.toml").write_text(toml_of(settings))
        (self.etc / "alembic.ini").write_text(_ALEMBIC.format(url=self._async_database_url))

    @property
    def _async_database_url(self) -> str:
        return self.stores.database_url.replace("postgresql:", "postgresql+asyncpg:")

    def settings(self) -> dict[str, Settings]:
        """The settings files, by name."""
        return {"manager": self._manager(), "storage": self._storage(), "agent": self._agent()}

    def start_storage(self) -> None:
        """Start the storage proxy."""
        self._start("storage", "-m", "ai.backend.storage.server", "-f", self._file("storage"))
        self.processes.wait_ready("storage", lambda: tcp_open(self.storage_manager_port))

    def start_agent(self) -> None:
        """Start the agent; sessions of an earlier one are over."""
        self.stores.sql("update agents set status = 'LOST'")  # an earlier one may say ALIVE
        shutil.rmtree(self.folder / "scratch")
        (self.folder / "scratch").mkdir()
        for path in (self.folder / "var").glob("last_registry.*"):
            path.unlink()
        program = str(self.inside / "modern" / "agent.py")
        self._start("agent", program, "-f", self._file("agent"))
        alive = "select id from agents where status = 'ALIVE'"
        self.processes.wait_ready("agent", lambda: bool(self.stores.sql(alive)))

    def manage(self, *arguments: str) -> None:
        """Run the manager's own command."""
        self.run(self.program("-m", "ai.backend.cli", "mgr", *arguments))

    def _start(self, name: str, *arguments: str) -> None:
        # The manager makes a client of a container engine when it starts, and does not start
        # without an address of one. Nobody listens there.
        env = self.environ(DOCKER_HOST=f"tcp://{HOST}:1")
        self.processes.start(name, self.program(*arguments), cwd=self.etc, env=env)

    def _file(self, name: str) -> str:
        return str(self.etc / f"{name}.toml")

    def _make_rpc_keys(self) -> None:
        if not (self.etc / "manager.key_secret").is_file():
            self.manage("generate-rpc-keypair", str(self.etc), "manager")

    def _put_settings(self) -> None:
        self.stores.put(
            {
                "config/redis/addr": f"{HOST}:{self.stores.redis_port}",
                "config/docker/image/auto_pull": "none",
                f"config/docker/registry/{REGISTRY}": f"http://{HOST}:1",
                f"config/docker/registry/{REGISTRY}/type": "docker",
                "config/api/allow-graphql-schema-introspection": "yes",
                "volumes/_types/user": "",
                "volumes/_types/group": "",
                "volumes/default_host": "local:volume1",
                "volumes/exposed_volume_info": "percentage",
                "volumes/proxies/local/client_api": f"http://{HOST}:{self.storage_port}",
                "volumes/proxies/local/manager_api": f"http://{HOST}:{self.storage_manager_port}",
                "volumes/proxies/local/secret": _SECRET,
                "volumes/proxies/local/ssl_verify": "false",
            }
        )

    # -- settings files ---------------------------------------------------------------------------

    def _common(self, monitor: int) -> Settings:
        return {
            "ipc-base-path": str(self.folder / "ipc"),
            "event-loop": "asyncio",
            "aiomonitor-termui-port": self.port_base + monitor,
            "aiomonitor-webui-port": self.port_base + monitor + 1,
        }

    def _shared_tables(self) -> Settings:
        level = os.environ.get("LAB_LOG_LEVEL", "INFO")
        return {
            "etcd": {
                "namespace": "lab",
                "addr": _address(self.stores.etcd_port),
                "user": "",
                "password": "",
            },
            "logging": {
                "level": level,
                "drivers": ["console"],
                "pkg-ns": {
                    "": "WARNING",
                    "aiotools": "INFO",
                    "aiohttp": "INFO",
                    "ai.backend": level,
                },
                "console": {"colored": False, "format": "verbose"},
            },
            "debug": {"enabled": False},
        }

    def _manager(self) -> Settings:
        return {
            **self._shared_tables(),
            "db": {
                "type": "postgresql",
                "addr": _address(self.stores.database_port),
                "name": "backend",
                "user": "postgres",
                "password": self.stores.password,
                "pool-recycle": 50,
            },
            "manager": {
                **self._common(200),
                "num-proc": 1,
                "service-addr": _address(self.manager_port),
                "rpc-auth-manager-keypair": str(self.etc / "manager.key_secret"),
                "heartbeat-timeout": 40.0,
                "hide-agents": False,
                "id": "i-manager",
            },
            "docker-registry": {"ssl-verify": False},
        }

    def _storage(self) -> Settings:
        return {
            **self._shared_tables(),
            "storage-proxy": {
                **self._common(220),
                "node-id": "i-storage",
                "num-proc": 1,
                "scandir-limit": 1000,
                "max-upload-size": "1g",
                "secret": "tokens-of-this-machine",
                "session-expire": "1d",
            },
            "api": {
                "client": {"service-addr": _address(self.storage_port), "ssl-enabled": False},
                "manager": {
                    "service-addr": _address(self.storage_manager_port),
                    "ssl-enabled": False,
                    "secret": _SECRET,
                },
            },
            "volume": {"volume1": {"backend": "vfs", "path": str(self.folder / "folders/volume1")}},
        }

    def _agent(self) -> Settings:
        first = self.port_base + 300
        return {
            **self._shared_tables(),
            "agent": {
                **self._common(210),
                "mode": "dummy",
                "id": "i-agent",
                "rpc-listen-addr": _address(self.port_base + 1),
                "agent-sock-port": self.port_base + 7,
                "metadata-server-bind-host": HOST,
                "metadata-server-port": self.port_base + 8,
                "var-base-path": str(self.folder / "var"),
                "mount-path": str(self.folder / "folders"),
                "image-commit-path": str(self.folder / "commit"),
                "allow-compute-plugins": [],
            },
            "container": {
                "port-range": [first, first + KERNEL_PORTS - 1],
                "kernel-uid": -1,
                "kernel-gid": -1,
                "bind-host": HOST,
                "sandbox-type": "docker",
                "stats-type": "docker",
                "scratch-type": "hostdir",
                "scratch-root": str(self.folder / "scratch"),
                "scratch-size": "1G",
            },
            "resource": {
                "reserved-cpu": 0,
                "reserved-mem": "64M",
                "reserved-disk": "64M",
                "allocation-order": ["cpu", "mem"],
            },
            "debug": {"enabled": False, "heartbeat-interval": 10.0, "kernel-runner": True},
        }


class Modern23(_Modern):
    """23.09."""

    python = "3.11"
    tag = "3.11-debian12"

    def seed(self) -> None:
        """Schema and example rows, by the manager's own commands."""
        self._make_rpc_keys()
        self._put_settings()
        self.manage("schema", "oneshot", "-f", str(self.etc / "alembic.ini"))
        for path in sorted((DATA / self.release).glob("[0-9]-*.json")):
            self.manage("fixture", "populate", str(path))
        self._insert_image()
        self.manage("image", "alias", "python", f"{REGISTRY}/lab/python:{self.tag}", "x86_64")

    def start_manager(self) -> None:
        """Start the manager."""
        self._start("manager", "-m", "ai.backend.manager.server", "-f", self._file("manager"))
        self.processes.wait_ready("manager", lambda: _serves(self.endpoint))

    def _insert_image(self) -> None:
        """The manager's commands only know images that are in a registry."""
        text = (DATA / self.release / "image.json").read_text()
        text = text.replace("@RUNTIME@", str(self.runtime_python)).replace("'", "''")
        self.stores.sql(
            "insert into images (name, image, tag, registry, architecture, config_digest,"
            " size_bytes, is_local, type, accelerators, labels, resources)"
            " select r->>'name', r->>'image', r->>'tag', r->>'registry', r->>'architecture',"
            " r->>'config_digest', (r->>'size_bytes')::bigint, true, (r->>'type')::imagetype, null,"
            f" r->'labels', (r->'resources')::jsonb from (select cast('{text}' as json) as r) as t"
        )

    def _agent(self) -> Settings:
        settings = super()._agent()
        settings["agent"]["scaling-group"] = "default"
        settings["watcher"] = {
            "service-addr": _address(self.port_base + 9),
            "ssl-enabled": False,
            "target-service": "none",
            "soft-reset-available": False,
        }
        return settings


class Modern26(_Modern):
    """26.9."""

    python = "3.13"
    services = ("storage", "manager", "agent", "web")
    tag = "3.13-debian12"

    def __init__(self, release: str, root: Any, port_base: int) -> None:
        super().__init__(release, root, port_base)
        self.web_port = port_base + 90

    def environments(self) -> Mapping[str, str]:
        """With the web server's packages, which do not agree with the manager's."""
        return {**super().environments(), "web": f"web-{self.release}"}

    def seed(self) -> None:
        """Schema and rows, by the release's own commands and write operations.

        A row alone is not enough: each has its place in a graph of permissions.
        """
        self._make_rpc_keys()
        self._put_settings()
        self.stores.etcd(
            "put", "/sorna/lab/config/api/allow-openapi-schema-introspection", "--", "yes"
        )
        self.manage("schema", "oneshot", "-f", str(self.etc / "alembic.ini"))
        presets = self.folder / "presets"
        (presets / "fixtures/manager").mkdir(parents=True, exist_ok=True)
        self.manage("permissions", "emit", "--repository", str(presets))
        self.manage(
            "fixture", "populate", str(presets / "fixtures/manager/example-role-presets.json")
        )
        for path in sorted((DATA / self.release).glob("[0-9]-*.json")):
            self.manage("fixture", "populate", str(path))
        self.manage("permissions", "provision")
        self.run_inside(
            "modern/populate_26.py",
            self._file("manager"),
            REGISTRY,
            f"python:{self.tag}",
            str(self.runtime_python),
        )

    def manage(self, *arguments: str) -> None:
        """Run the manager's own command, which wants its settings file first."""
        super().manage("-f", self._file("manager"), *arguments)

    def start_manager(self) -> None:
        """Start the manager."""
        arguments = ("mgr", "-f", self._file("manager"), "start-server")
        self._start("manager", "-m", "ai.backend.cli", *arguments)
        self.processes.wait_ready("manager", lambda: _serves(self.endpoint))

    def start_web(self) -> None:
        """Start the web server."""
        python = str(self.folder / "web" / "bin" / "python")
        command = [python, "-m", "ai.backend.web.server", "-f", self._file("webserver")]
        self.processes.start("web", command, cwd=self.etc, env=self.environ())
        self.processes.wait_ready("web", lambda: _serves(f"{self.web_endpoint}/func/"))

    def settings(self) -> dict[str, Settings]:
        """With the web server's."""
        return {**super().settings(), "webserver": self._web()}

    def _shared_tables(self) -> Settings:
        nowhere = f"http://{HOST}:1"
        return {
            **super()._shared_tables(),
            "otel": {"enabled": False, "log-level": "INFO", "endpoint": nowhere},
            "pyroscope": {"enabled": False},
        }

    def _manager(self) -> Settings:
        settings = super()._manager()
        internal = _address(self.port_base + 82)
        settings["manager"] |= {
            "internal-addr": internal,
            "announce-addr": _address(self.manager_port),
            "announce-internal-addr": internal,
        }
        return settings

    def _storage(self) -> Settings:
        settings = super()._storage()
        settings["api"]["manager"]["internal-addr"] = _address(self.port_base + 23)
        return settings

    def _agent(self) -> Settings:
        settings = super()._agent()
        settings["agent"] |= {
            "service-addr": _address(self.port_base + 3),
            "announce-internal-addr": _address(self.port_base + 3),
            "initial-resource-group-name": "default",
        }
        settings["resource"]["affinity-policy"] = "INTERLEAVED"
        return settings

    def _web(self) -> Settings:
        nowhere = f"http://{HOST}:1"
        tables = self._shared_tables()
        return {
            "service": {
                "ip": HOST,
                "port": self.web_port,
                "wsproxy": {"url": ""},
                "mode": "webui",
                "enable_signup": False,
            },
            "resources": {},
            "security": {"cookie_secure": False},
            "environments": {},
            "plugin": {},
            "pipeline": {"endpoint": nowhere, "frontend-endpoint": nowhere},
            "ui": {},
            "api": {
                "domain": "default",
                "endpoint": self.endpoint,
                "text": "lab",
                "ssl_verify": False,
                "auth_token_name": "sToken",
            },
            "session": {
                "redis": {
                    "addr": f"{HOST}:{self.stores.redis_port}",
                    "redis_helper_config": {},
                }
            },
            "webserver": {"event-loop": "asyncio", "ipc-base-path": str(self.folder / "ipc")},
            "apollo-router": {"enabled": False, "endpoint": nowhere},
            **{name: tables[name] for name in ("logging", "debug", "otel")},
        }


def _address(port: int) -> dict[str, object]:
    return {"host": HOST, "port": port}


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


_ALEMBIC = """\
[alembic]
script_location = ai.backend.manager.models:alembic
sqlalchemy.url = {url}
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARN
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(levelname)s %(name)s %(message)s
"""
