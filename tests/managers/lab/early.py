"""1.1 and 1.3: the seed era, with an agent whose container engine is a stand-in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping

from .base import DATA, KERNEL_PORTS, Lab, options_of
from .stores import HOST, tcp_open

__all__ = ["Early"]

_LANGUAGES = {
    "lablup/kernel-python:3.6-debian": "python",
    "lablup/kernel-python:latest": "python",
    "lablup/kernel-git:latest": "git",
    "lablup/kernel-c:gcc-debian": "c",
    "lablup/kernel-c:latest": "c",
}
# Releases before 1.3 keep virtual folders under /mnt, whatever is configured: manager and agent
# get a /mnt of their own. (unshare and sh exec, so that the process id stays.)
_OWN_MNT = 'mount --bind "$LAB_HOME/folders" /mnt && exec "$@"'


class Early(Lab):
    """A manager of the seed era and its agent."""

    python = "3.6"
    services = ("manager", "agent")
    image = "python"

    def environments(self) -> Mapping[str, str]:
        """The servers' packages, and the kernel runner's."""
        return {"venv": self.release, "runtime": f"runtime-{self.release}"}

    def configure(self) -> None:
        """Which image is run by which part of the kernel runner."""
        for name in ("scratch", "console", "folders/azure-shard01"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.etc / "languages.json").write_text(json.dumps(_LANGUAGES))

    def seed(self) -> None:
        """Tables, example users and images, put in by the release's own models."""
        folders = self.folder / "folders"
        self.stores.put(
            {"volumes/_mount": str(folders), "volumes/_vfroot": "azure-shard01"}  # 1.3; before
        )
        etcd = f"{HOST}:{self.stores.etcd_port}"
        self.run_inside("early/populate.py", self.stores.database_url, etcd, str(DATA / "early"))

    def start_manager(self) -> None:
        """Start the manager."""
        arguments = self.manager_options()
        if self._is_1_3:
            arguments |= {"num-proc": "1", "advertised-manager-host": HOST}
        self._start("manager", "manager.py", arguments)
        self.processes.wait_ready("manager", lambda: tcp_open(self.manager_port))

    def start_agent(self) -> None:
        """Start the agent; sessions of an earlier one are over."""
        self.stores.sql(
            "update agents set status = 'LOST', used_mem_slots = 0, used_cpu_slots = 0,"
            " used_gpu_slots = 0;"
            " update kernels set status = 'TERMINATED' where status <> 'TERMINATED';"
            " update keypairs set concurrency_used = 0"
        )
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch)
        scratch.mkdir()
        arguments = {
            "namespace": "lab",
            "etcd-addr": f"{HOST}:{self.stores.etcd_port}",
            "agent-port": str(self.port_base + 1),
            "scratch-root": str(scratch),
            "idle-timeout": "86400",
        }
        if self._is_1_3:
            arguments |= {"agent-host-override": HOST, "kernel-host-override": HOST}
        else:
            arguments |= {"agent-ip-override": HOST}
        self._start("agent", "agent.py", arguments)
        alive = "select id from agents where status = 'ALIVE'"
        self.processes.wait_ready("agent", lambda: bool(self.stores.sql(alive)))

    @property
    def _is_1_3(self) -> bool:
        return self.release.startswith("1.3.")

    def _start(self, name: str, program: str, arguments: Mapping[str, str]) -> None:
        own_mnt = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _OWN_MNT, "-"]
        first, last = self.port_base + 300, self.port_base + 300 + KERNEL_PORTS - 1
        self.processes.start(
            name,
            [*own_mnt, *self.program(str(self.inside / "early" / program), *options_of(arguments))],
            cwd=self.etc,
            env=self.environ(LAB_KERNEL_PORTS=f"{first}-{last}", LAB_TAG=str(self.port_base)),
        )
