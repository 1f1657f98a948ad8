"""The agent backend for 26.9: a subclass of the published "dummy", which starts nothing."""

from pathlib import Path
from typing import override

from ai.backend.agent.dummy import DummyAgentDiscovery
from ai.backend.agent.dummy.agent import DummyAgent, DummyKernelCreationContext
from ai.backend.agent.dummy.config import dummy_local_config
from ai.backend.agent.resources import KernelResourceSpec, Mount
from ai.backend.agent.types import Container, Port
from ai.backend.common.docker import LabelName
from ai.backend.common.events.event_types.kernel.types import KernelLifecycleEventReason
from ai.backend.common.types import ContainerId, ContainerStatus
from session_files import HostKernel
from session_processes import (
    CORES,
    MEMORY,
    PORTS_A_SESSION,
    SessionProcesses,
    describe,
    make_mounts,
    write_environ,
    write_ports,
)

_DELAYS = (
    "scan-image",
    "pull-image",
    "push-image",
    "purge-images",
    "destroy-kernel",
    "clean-kernel",
    "create-network",
    "destroy-network",
)


def settings():
    """The published dummy's settings: no made-up delays, and a machine that is always the same."""
    asked = {
        "agent": {
            "delay": dict.fromkeys(_DELAYS, 0.0),
            "image": {},
            "resource": {"cpu": {"num-core": CORES}, "memory": {"size": MEMORY}},
        },
        "kernel-creation-ctx": {"delay": {}},
        "kernel": {"delay": {}},
    }
    return {**dummy_local_config.check(asked)}


class HostDiscovery(DummyAgentDiscovery):
    """Leads to `HostAgent`."""

    @override
    def get_agent_cls(self):
        return HostAgent


def get_agent_discovery():
    """What the agent's server asks a backend for."""
    return HostDiscovery()


class HostCreationContext(DummyKernelCreationContext):
    """How a session is made."""

    agent = None
    """The agent; set by `HostAgent.init_kernel_context`."""

    @property
    def scratch(self):
        """The session's folder."""
        return self.agent.scratch_of(self.kernel_id)

    @override
    async def prepare_resource_spec(self):
        if not self.restarting:
            return await super().prepare_resource_spec()
        with (self.scratch / "config" / "resource.txt").open() as file:
            return KernelResourceSpec.read_from_file(file), None

    @override
    async def prepare_scratch(self):
        for name in ("work", "config", "tmp"):
            (self.scratch / name).mkdir(parents=True, exist_ok=True)

    @override
    async def get_intrinsic_mounts(self):
        return make_mounts(self.scratch, Mount)

    @override
    async def prepare_ssh(self, cluster_info):
        pass

    @override
    async def mount_krunner(self, resource_spec, environ):
        pass

    @override
    async def prepare_container(self, resource_spec, environ, service_ports, cluster_info):
        write_environ(self.scratch, environ, self.kernel_config.get("bootstrap_script"))
        return HostKernel(
            self.ownership_data,
            self.kernel_config["network_id"],
            self.image_ref,
            self.kspec_version,
            "bridge",
            agent_config=self.local_config.model_dump(by_alias=True),
            service_ports=service_ports,
            resource_spec=resource_spec,
            environ=environ,
            data={},
        )

    @override
    async def start_container(
        self, kernel_obj, cmdargs, resource_opts, preopen_ports, cluster_info
    ):
        ports = [self.agent.port_pool.acquire() for _ in range(PORTS_A_SESSION)]
        write_ports(self.scratch, kernel_obj, ports)
        await self.agent.start_process(
            self.kernel_id, self.session_id, kernel_obj.environ, ports, cmdargs
        )
        container = self.local_config.container
        host = container.advertised_host or container.bind_host
        blocked = self.internal_data.get("block_service_ports", False)
        return describe(self.kernel_id, host, ports, blocked)


class HostAgent(SessionProcesses, DummyAgent):
    """An agent without a container engine."""

    reasons = KernelLifecycleEventReason

    # The published dummy answers "not-implemented"; its parent's is the real one.
    execute = DummyAgent.__mro__[1].execute

    @property
    def scratch_root(self):
        """Where the sessions' folders are."""
        return Path(self.local_config.container.scratch_root)

    def is_ending(self, kernel_id):
        """Whether somebody ends the session."""
        return kernel_id in self._ongoing_destruction_tasks

    @override
    async def shutdown(self, stop_signal):
        try:
            await self.end_sessions()
            await super().shutdown(stop_signal)
        finally:
            self.kill_all()

    @override
    async def enumerate_containers(self, status_filter=frozenset({ContainerStatus.RUNNING})):
        found = []
        for kernel_id, (process, ports) in [*self.procs.items()]:
            running = process.returncode is None
            status = ContainerStatus.RUNNING if running else ContainerStatus.EXITED
            kernel_obj = self.kernel_registry.get(kernel_id)
            if status not in status_filter or kernel_obj is None:
                continue
            labels = {
                LabelName.KERNEL_ID: str(kernel_id),
                LabelName.SESSION_ID: str(kernel_obj.session_id),
                LabelName.OWNER_AGENT: str(self.id),
            }
            container = Container(
                id=ContainerId(kernel_id.hex),
                status=status,
                image=kernel_obj.image,
                labels=labels,
                ports=[Port("127.0.0.1", port, port) for port in ports],
                backend_obj=kernel_obj.resource_spec,
            )
            found.append((kernel_id, container))
        return found

    @override
    async def sync_container_lifecycles(self):
        # Exits are seen elsewhere; what is left is the count that agents report.
        await self.set_container_count(self.running())

    @override
    def get_public_service_ports(self, service_ports):
        return [port for port in service_ports if port["protocol"] != "internal"]

    @override
    async def resolve_image_distro(self, image):
        return "ubuntu20.04"

    @override
    async def init_kernel_context(
        self,
        ownership_data,
        kernel_image,
        kernel_config,
        *,
        restarting=False,
        cluster_ssh_port_mapping=None,
    ):
        ctx = HostCreationContext(
            ownership_data,
            self.event_producer,
            kernel_image,
            kernel_config,
            await self.resolve_image_distro(kernel_config["image"]),
            self.local_config,
            self.computers,
            restarting=restarting,
            dummy_config=self.dummy_config,
        )
        ctx.agent = self
        return ctx
