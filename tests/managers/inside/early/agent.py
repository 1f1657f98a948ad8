"""Starts the published agent (1.1, 1.3) with ordinary processes in the place of containers.

Real: the agent's RPC, events, heartbeats, statistics keys, the aggregation of results (its
KernelRunner). Ours: `Docker` below, the part of the container engine's client library that the
agent calls, which starts the published kernel runner in mount and process namespaces of its own;
and the numbers of `collect_stats`.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path

from aiodocker.exceptions import DockerError
from loopback import HOST, answer

HERE = Path(__file__).resolve().parent
LAB = Path(os.environ["LAB_HOME"])
PYTHON = LAB / "runtime" / "bin" / "python"
FIRST, LAST = map(int, os.environ["LAB_KERNEL_PORTS"].split("-"))
LANGUAGES = json.loads((LAB / "etc" / "languages.json").read_text())


def starttime(pid):
    try:
        return Path("/proc/%d/stat" % pid).read_text().rsplit(") ", 1)[1].split()[19]
    except OSError:
        return None


class Ports:
    """Blocks of five neighbouring ports."""

    taken = set()

    @classmethod
    def take(cls):
        for base in range(FIRST, LAST - 4, 5):
            if base in cls.taken:
                continue
            try:
                for port in range(base, base + 5):
                    with socket.socket() as s:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        s.bind((HOST, port))
            except OSError:
                continue
            cls.taken.add(base)
            return base
        raise RuntimeError("no ports left")


class Container:
    def __init__(self, docker, config, name):
        self.docker, self.config, self.name = docker, config, name
        self._id = self.id = uuid.uuid4().hex * 2
        self.image = config["Image"]
        self.console = LAB / "console" / (self._id[:12] + ".log")
        self.pidfile = LAB / "run" / ("kernel-%s.pid" % self._id[:12])
        self.base, self.proc = None, None

    def __getitem__(self, key):
        return {
            "Id": self._id,
            "Names": ["/" + self.name],
            "Image": self.image,
            "State": "running" if self.alive else "exited",
        }[key]

    @property
    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    async def start(self):
        self.base = Ports.take()
        mounts = [b.rsplit(":", 2) for b in self.config["HostConfig"]["Binds"]]
        mounts = [m for m in mounts if m[0].startswith("/")]
        env = {k: v for k, v in os.environ.items() if k in ("LANG", "LC_ALL")}
        env.update(e.split("=", 1) for e in self.config["Env"])
        env.update(
            PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            LAB_HOME=str(LAB),
            LAB_PYTHON=str(PYTHON),
            LAB_CHILD=str(HERE / "child"),
            LAB_PORTS=str(self.base),
            LAB_MOUNTS="\n".join("\t".join(m) for m in mounts),
        )
        self.console.parent.mkdir(exist_ok=True)
        language = LANGUAGES[self.image]
        with open(str(self.console), "wb") as log:
            self.proc = subprocess.Popen(
                [
                    "unshare",
                    "--mount",
                    "--propagation",
                    "private",
                    "--pid",
                    "--fork",
                    "--kill-child",
                    "--mount-proc",
                    "--ipc",
                    "sh",
                    str(HERE / "inside.sh"),
                    str(HERE / "kernel.py"),
                    language,
                ],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pidfile.write_text("%d %s\n" % (self.proc.pid, starttime(self.proc.pid)))
        loop = asyncio.get_event_loop()
        threading.Thread(target=self._wait, args=(loop,), daemon=True).start()

    def _wait(self, loop):
        code = self.proc.wait()
        Ports.taken.discard(self.base)
        try:
            self.pidfile.unlink()
        except OSError:
            pass
        loop.call_soon_threadsafe(self.docker.died, self, code)

    async def port(self, number):
        return [{"HostIp": HOST, "HostPort": str(self.base + number - 2000)}]

    async def kill(self):
        if not self.alive:
            raise DockerError(409, {"message": "Container %s is not running" % self._id})
        os.kill(self.proc.pid, signal.SIGKILL)

    async def delete(self, **kwargs):
        self.docker.all.pop(self._id, None)

    async def log(self, **kwargs):
        return [self.console.read_text(errors="replace")]

    async def show(self):
        return {"HostConfig": self.config["HostConfig"]}


class Containers:
    def __init__(self, docker):
        self.docker = docker

    async def list(self, **kwargs):
        return list(self.docker.all.values())

    async def create(self, config, name=None):
        if config["Image"] not in LANGUAGES:
            raise DockerError(404, {"message": "No such image"})
        c = Container(self.docker, config, name)
        self.docker.all[c._id] = c
        return c

    def container(self, cid):
        try:
            return self.docker.all[cid]
        except KeyError:
            raise DockerError(404, {"message": "No such container"})

    async def get(self, cid):
        return self.container(cid)


class Images:
    async def list(self, **kwargs):
        return [
            {"Id": "sha256:" + uuid.uuid5(uuid.NAMESPACE_URL, n).hex, "RepoTags": [n]}
            for n in LANGUAGES
        ]

    async def get(self, name):
        if name not in LANGUAGES:
            raise DockerError(404, {"message": "No such image"})
        labels = {
            "io.sorna.version": "1",
            "io.sorna.timeout": os.environ.get("LAB_EXEC_TIMEOUT", "0"),
            "io.sorna.features": "batch query uid-match user-input",
            "io.sorna.envs.corecount": "OPENBLAS_NUM_THREADS",
        }
        return {"ContainerConfig": {"Labels": labels}}


class Volumes:
    async def list(self):
        return {"Volumes": []}


class Events:
    def __init__(self):
        self.queues = []

    def subscribe(self, **kwargs):
        q = asyncio.Queue()
        self.queues.append(q)
        return q

    async def run(self, **kwargs):
        await asyncio.Event().wait()

    async def stop(self):
        pass


class Docker:
    def __init__(self, *args, **kwargs):
        self.all = {}
        self.containers, self.images = Containers(self), Images()
        self.volumes, self.events = Volumes(), Events()

    async def version(self):
        return {"Version": "(processes)", "ApiVersion": "0"}

    def died(self, container, code):
        for q in self.events.queues:
            q.put_nowait(
                {
                    "Type": "container",
                    "Action": "die",
                    "Actor": {
                        "ID": container._id,
                        "Attributes": {"name": container.name, "exitCode": str(code)},
                    },
                }
            )

    async def close(self):
        for c in list(self.all.values()):
            if c.alive:
                await c.kill()


async def collect_stats(containers):
    """Made-up zeros but for memory and CPU: nothing meters these processes."""
    out = []
    for c in containers:
        ticks = rss = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                f = stat.read_text().rsplit(") ", 1)[1].split()
            except (OSError, IndexError):
                continue
            if c.proc and f[3] == str(c.proc.pid):  # the session's own process session
                ticks += int(f[11]) + int(f[12])
                rss += int(f[21]) * 4096
        out.append(
            {
                "cpu_used": ticks * 10.0,
                "mem_max_bytes": rss,
                "mem_cur_bytes": rss,
                "net_rx_bytes": 0,
                "net_tx_bytes": 0,
                "io_read_bytes": 0,
                "io_write_bytes": 0,
                "io_max_scratch_size": 0,
                "io_cur_scratch_size": 0,
            }
        )
    return out


from ai.backend.agent import resources
from ai.backend.common import identity

resources.libnuma.get_available_cores = staticmethod(lambda: set(range(os.cpu_count())))
resources.libnuma.node_of_cpu = staticmethod(lambda core: 0)
resources.libnuma.num_nodes = staticmethod(lambda: 1)
from ai.backend.agent import server

identity.get_instance_id = answer("i-agent")
identity.get_instance_ip = answer(HOST)
identity.get_instance_type = answer("lab")
identity.get_instance_region = answer("local/lab")
server.Docker = Docker
server.collect_stats = collect_stats
server.detect_slots = lambda: (32768, 16, 0)

sys.exit(server.main())
