"""18.12 and 19.09 (paths with /kernel), 20.03 (/session): managers without agents.

No agent of that time runs without a container engine, so no session ever starts there.
"""

from __future__ import annotations

import os

from .base import Lab, options_of
from .stores import HOST, tcp_open
from .toml import toml_of

__all__ = ["Transition"]

_REGISTRY = "lab.invalid"  # never contacted
_PATH = f"images/{_REGISTRY}/lab%2Fpython"
_TAG = f"{_PATH}/3.6-debian"
_IMAGE = {
    _PATH: "1",
    _TAG: "sha256:" + "0" * 63 + "1",
    f"{_TAG}/size_bytes": "1000000",
    f"{_TAG}/resource/cpu/min": "1",
    f"{_TAG}/resource/mem/min": "64m",
    f"{_TAG}/labels/ai.backend.kernelspec": "1",
    f"{_TAG}/labels/ai.backend.resource.min.cpu": "1",
    f"{_TAG}/labels/ai.backend.resource.min.mem": "64m",
    "images/_aliases/python": f"{_REGISTRY}/lab/python:3.6-debian",
}
_IMAGE_OF_18_12 = {
    "images/python": "1",
    "images/python/cpu": "1",
    "images/python/mem": "1024",
    "images/python/gpu": "0",
    "images/python/tags/3.6-debian": "sha256:0001",
}


class Transition(Lab):
    """A manager between the eras."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.python = "3.8" if self.release.startswith("20.") else "3.6"

    def configure(self) -> None:
        """Settings of 19.03 and later; 18.12 has options."""
        (self.folder / "folders" / "local").mkdir(parents=True, exist_ok=True)
        level = os.environ.get("LAB_LOG_LEVEL", "INFO")
        settings = {
            "etcd": {
                "namespace": "lab",
                "addr": f"{HOST}:{self.stores.etcd_port}",
                "user": "",
                "password": "",
            },
            "db": {
                "type": "postgresql",
                "addr": f"{HOST}:{self.stores.database_port}",
                "name": "backend",
                "user": "postgres",
                "password": self.stores.password,
            },
            "manager": {
                "num-proc": 1,
                "service-addr": f"{HOST}:{self.manager_port}",
                "heartbeat-timeout": 40.0,
                "disabled-plugins": [],
                "hide-agents": False,
            },
            "docker-registry": {"ssl-verify": False},
            "logging": {
                "level": level,
                "drivers": ["console"],
                "pkg-ns": {
                    "": "WARNING",
                    "aiotools": "INFO",
                    "aiopg": "WARNING",
                    "aiohttp": "INFO",
                    "ai.backend": level,
                },
                "console": {"colored": False, "format": "verbose"},
            },
            "debug": {"enabled": False},
        }
        (self.etc / "manager.toml").write_text(toml_of(settings))

    def seed(self) -> None:
        """Tables and users, put in by the release's own models; images, in etcd."""
        self.run_inside("transition/populate.py", self.stores.database_url)
        self.stores.put(
            {
                "config/redis/addr": f"{HOST}:{self.stores.redis_port}",
                "config/docker/registry/lab.invalid": f"http://{HOST}:1",
                "config/docker/registry/lab.invalid/type": "docker",
                "config/resource_slots/cuda.device": "count",
                "nodes/docker_registry": _REGISTRY,
                "volumes/_mount": str(self.folder / "folders"),
                "volumes/_default_host": "local",
                "volumes/_fsprefix": "/",
                "volumes/_types/user": "",
                "volumes/_types/group": "",
                **(_IMAGE_OF_18_12 if self.release == "18.12.0" else _IMAGE),
            }
        )

    def start_manager(self) -> None:
        """Start the manager."""
        if self.release == "18.12.0":
            options = self.manager_options() | {"num-proc": "1", "advertised-manager-host": HOST}
            program = [str(self.inside / "early" / "manager.py"), *options_of(options)]
        else:
            program = ["-m", "ai.backend.gateway.server", "-f", str(self.etc / "manager.toml")]
        self.processes.start(
            "manager",
            self.program(*program),
            cwd=self.etc,
            env=self.environ(LAB_TAG=str(self.port_base)),
        )
        self.processes.wait_ready("manager", lambda: tcp_open(self.manager_port))
