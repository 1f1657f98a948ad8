"""Starting and ending the process of a session; what both backends have in common."""

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from ai.backend.agent.types import LifecycleEvent
from ai.backend.common.types import ContainerId, MountPermission, MountTypes

HERE = Path(__file__).parent
LAB = Path(os.environ["LAB_HOME"])
CORES = 16
MEMORY = 32 * 2**30
PORTS_A_SESSION = 4


def start_time(pid):
    """When a process started: the 22nd field; the second, in parentheses, may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


def make_mounts(scratch, mount_class):
    """The folders that each session has."""
    return [
        mount_class(
            MountTypes.BIND, scratch / name, Path("/home") / name, MountPermission.READ_WRITE
        )
        for name in ("config", "work")
    ]


def write_environ(scratch, environ, bootstrap_script):
    """Files that the kernel runner reads before it starts."""
    lines = [f"{name}={value}\n" for name, value in environ.items()]
    (scratch / "config" / "environ.txt").write_text("".join(lines))
    if bootstrap_script:
        (scratch / "work" / "bootstrap.sh").write_text(bootstrap_script)


def write_ports(scratch, kernel_obj, ports):
    """Where the kernel runner and its services listen: nothing translates addresses here."""
    names = ("replin", "replout", "sshd", "ttyd")
    numbers = dict(zip(names, ports, strict=True))
    (scratch / "config" / "intrinsic-ports.json").write_text(json.dumps(numbers))
    for service in kernel_obj.service_ports:
        if service["name"] in numbers:
            service["container_ports"] = (numbers[service["name"]],)
        service["host_ports"] = tuple(service["container_ports"])
    with (scratch / "config" / "resource.txt").open("w") as file:
        kernel_obj.resource_spec.write_to_file(file)
    mounts = [
        f"{mount.source}\t{mount.target}\t{mount.permission.value}\n"
        for mount in kernel_obj.resource_spec.mounts
    ]
    (scratch / "config" / "mounts.txt").write_text("".join(mounts))


def describe(kernel_id, host, ports, block_service_ports):
    """What the agent keeps of a container that was started."""
    return {
        "container_id": kernel_id.hex,
        "kernel_host": host,
        "repl_in_port": ports[0],
        "repl_out_port": ports[1],
        "stdin_port": 0,
        "stdout_port": 0,
        "host_ports": ports,
        "domain_socket_proxies": [],
        "block_service_ports": block_service_ports,
    }


class SessionProcesses:
    """The part of an agent that stands for a container engine.

    A backend says `scratch_root`, `is_ending` and the reasons of `inject`.
    """

    reasons = None
    """The release's `KernelLifecycleEventReason`."""

    def __init__(self, *args, **kwargs):
        self.procs = {}  # kernel id -> process, ports
        self.watchers = set()
        super().__init__(*args, **kwargs)

    def scratch_of(self, kernel_id):
        """A session's folder."""
        return self.scratch_root / str(kernel_id)

    async def start_process(self, kernel_id, session_id, environ, ports, command):
        """Start the kernel runner in namespaces of its own."""
        scratch = self.scratch_of(kernel_id)
        env = {
            "PATH": f"{LAB}/runtime/bin:{os.environ['PATH']}",  # as in an image with one Python
            "LANG": "C.UTF-8",
            **environ,
            "LAB_HOME": str(LAB),
            "LAB_SCRATCH": str(scratch),
            "LAB_PYTHON": sys.executable,
            "JUPYTER_PATH": str(LAB / "runtime/share/jupyter"),
            "HOME": "/home/work",
        }
        runner_arguments = command[command.index("ai.backend.kernel") + 1 :]
        isolated = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child"]
        with (scratch / "console.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *isolated,
                "--mount-proc",
                "bash",
                str(HERE / "inside.sh"),
                str(HERE / "launch.py"),
                *runner_arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                start_new_session=True,
            )
        self.procs[kernel_id] = process, ports
        note = LAB / "run" / f"kernel-{kernel_id}.pid"
        note.write_text(f"{process.pid} {start_time(process.pid)}\n")
        task = asyncio.create_task(self._watch(kernel_id, session_id, process))
        self.watchers.add(task)
        task.add_done_callback(self.watchers.discard)

    async def _watch(self, kernel_id, session_id, process):
        code = await process.wait()
        (LAB / "run" / f"kernel-{kernel_id}.pid").unlink(missing_ok=True)
        if kernel_id not in self.kernel_registry or self.is_ending(kernel_id):
            return
        await self.inject_container_lifecycle_event(
            kernel_id,
            session_id,
            LifecycleEvent.CLEAN,
            self.reasons.SELF_TERMINATED,
            container_id=ContainerId(kernel_id.hex),
            exit_code=code,
        )

    async def _kill(self, process):
        if process.returncode is not None:
            return
        # To the namespace's first process: the kernel runner ends on SIGTERM.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        try:
            for pid in children.read_text().split():
                os.kill(int(pid), signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 3.0)
        except (OSError, asyncio.TimeoutError):
            pass
        if process.returncode is None:
            process.kill()  # --kill-child takes the whole namespace with it
            await process.wait()

    async def end_sessions(self):
        """End all sessions, before the agent itself is shut down."""
        done = []
        for kernel_id, kernel_obj in [*self.kernel_registry.items()]:
            done.append(asyncio.get_running_loop().create_future())
            await self.inject_container_lifecycle_event(
                kernel_id,
                kernel_obj.session_id,
                LifecycleEvent.DESTROY,
                self.reasons.AGENT_TERMINATION,
                done_future=done[-1],
            )
        if done:
            await asyncio.wait(done, timeout=6.0)

    def kill_all(self):
        """End what is left."""
        for process, _ in self.procs.values():
            if process.returncode is None:
                process.kill()

    def running(self):
        """How many processes there are."""
        return sum(1 for process, _ in self.procs.values() if process.returncode is None)

    # -- what the published agent calls -----------------------------------------------------------

    async def collect_process_stat(self, *args):
        """The published one asks the container engine."""

    async def check_image(self, image_ref, image_id, auto_pull):
        """No image has to be pulled."""
        return False

    async def destroy_kernel(self, kernel_id, container_id):
        """End a session's process."""
        if found := self.procs.get(kernel_id):
            await self._kill(found[0])

    async def clean_kernel(self, kernel_id, container_id, restarting):
        """Keep a session's log, and remove its files unless it is started anew."""
        if found := self.procs.pop(kernel_id, None):
            await self._kill(found[0])
        log_file = self.scratch_of(kernel_id) / "console.log"
        if container_id is not None and log_file.is_file():
            await self.collect_logs(kernel_id, container_id, self._read(log_file))
        if not restarting:
            shutil.rmtree(self.scratch_of(kernel_id), ignore_errors=True)

    async def _read(self, path):
        yield path.read_bytes()

    async def restart_kernel__load_config(self, kernel_id, name):
        """A settings file of a session."""
        return (self.scratch_of(kernel_id) / "config" / name).read_bytes()

    async def restart_kernel__store_config(self, kernel_id, name, data):
        """Write a settings file of a session."""
        (self.scratch_of(kernel_id) / "config" / name).write_bytes(data)
