"""The agent backend for 23.09, whose package has no "dummy" of its own."""

import signal
import socket
from decimal import Decimal
from pathlib import Path

import ai.backend.agent
from ai.backend.agent.agent import AbstractAgent, AbstractKernelCreationContext
from ai.backend.agent.docker import intrinsic
from ai.backend.agent.exception import UnsupportedResource
from ai.backend.agent.resources import (
    ComputePluginContext,
    KernelResourceSpec,
    Mount,
    known_slot_types,
)
from ai.backend.agent.types import Container, ContainerStatus
from ai.backend.common.events import KernelLifecycleEventReason
from ai.backend.common.types import (
    ContainerId,
    DeviceId,
    DeviceName,
    MountPermission,
    MountTypes,
    ResourceSlot,
    SlotName,
    current_resource_slots,
)
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


def get_agent_cls():
    """What the agent's server asks a backend for."""
    return HostAgent


def is_free(port):
    """Whether nobody listens on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class NoContainerStatistics:
    """Nothing meters these processes."""

    async def gather_container_measures(self, ctx, container_ids):
        """None."""
        return []

    async def gather_process_measures(self, ctx, pid_map):
        """None."""
        return []

    async def restore_from_container(self, container, alloc_map):
        """Take a session's share into account again."""
        if share := container.backend_obj.allocations.get(self.key):
            alloc_map.apply_allocation(share)


class Cpu(NoContainerStatistics, intrinsic.CPUPlugin):
    """A number of CPU slots that does not depend on the machine."""

    async def list_devices(self):
        """The slots."""
        return [
            intrinsic.CPUDevice(
                device_id=DeviceId(str(number)),
                hw_location="root",
                numa_node=0,
                memory_size=0,
                processing_units=1,
            )
            for number in range(CORES)
        ]

    async def gather_node_measures(self, ctx):
        """None."""
        return []


class Memory(NoContainerStatistics, intrinsic.MemoryPlugin):
    """An amount of memory that does not depend on the machine."""

    async def list_devices(self):
        """All of it."""
        return [
            intrinsic.MemoryDevice(
                device_id=DeviceId("root"),
                device_name=self.key,
                hw_location="root",
                numa_node=0,
                memory_size=MEMORY,
                processing_units=0,
            )
        ]


class HostCreationContext(AbstractKernelCreationContext):
    """How a session is made."""

    def __init__(self, *args, agent, **kwargs):
        super().__init__(*args, **kwargs)
        self.agent = agent
        self.scratch = agent.scratch_of(self.kernel_id)

    async def get_extra_envs(self):
        """None."""
        return {}

    async def prepare_resource_spec(self):
        """What the session may use."""
        if self.restarting:
            with (self.scratch / "config" / "resource.txt").open() as file:
                spec = KernelResourceSpec.read_from_file(file)
            spec.slots = {**spec.slots}  # the event that reports it packs plain dicts only
            return spec, None
        asked = ResourceSlot.from_json(self.kernel_config["resource_slots"])
        if unknown := [k for k in asked if k not in known_slot_types and Decimal(asked[k])]:
            raise UnsupportedResource(unknown[0])
        current_resource_slots.set(known_slot_types)  # read by normalize_slots
        spec = KernelResourceSpec(
            container_id="",
            slots=dict(asked.normalize_slots(ignore_unknown=True)),
            allocations={},
            scratch_disk_size=0,
        )
        return spec, self.kernel_config.get("resource_opts", {})

    async def prepare_scratch(self):
        """Make the session's folders."""
        for name in ("work", "config", "tmp"):
            (self.scratch / name).mkdir(parents=True, exist_ok=True)

    async def get_intrinsic_mounts(self):
        """The session's folders."""
        return make_mounts(self.scratch, Mount)

    async def apply_network(self, cluster_info):
        """The machine's network."""

    async def prepare_ssh(self, cluster_info):
        """There is no sshd."""

    async def process_mounts(self, mounts):
        """Done when the process starts."""

    async def apply_accelerator_allocation(self, computer, device_alloc):
        """There are none."""

    async def generate_accelerator_mounts(self, computer, device_alloc):
        """There are none."""
        return []

    def resolve_krunner_filepath(self, filename):
        """Where the package has a file."""
        return Path(ai.backend.agent.__file__).parent.parent / filename

    def get_runner_mount(self, type, src, target, perm="ro", opts=None):
        """A mount of a file of the kernel runner."""
        return Mount(MountTypes.BIND, Path(src), Path(target), MountPermission(perm))

    async def mount_krunner(self, resource_spec, environ):
        """It is where it was installed."""

    async def spawn(self, resource_spec, environ, service_ports):
        """Write what the session reads, and describe it."""
        write_environ(self.scratch, environ, self.kernel_config.get("bootstrap_script"))
        return HostKernel(
            self.kernel_id,
            self.session_id,
            self.agent_id,
            self.image_ref,
            self.kspec_version,
            agent_config=self.local_config,
            service_ports=service_ports,
            resource_spec=resource_spec,
            environ=environ,
            data={},
        )

    async def start_container(self, kernel_obj, cmdargs, resource_opts, preopen_ports):
        """Start the session's process."""
        ports = self.agent.take_ports(PORTS_A_SESSION)
        kernel_obj.resource_spec.container_id = self.kernel_id.hex
        write_ports(self.scratch, kernel_obj, ports)
        await self.agent.start_process(
            self.kernel_id, self.session_id, kernel_obj.environ, ports, cmdargs
        )
        container = self.local_config["container"]
        host = container.get("advertised-host") or container["bind-host"]
        blocked = self.internal_data.get("block_service_ports", False)
        return describe(self.kernel_id, host, ports, blocked)


class HostAgent(SessionProcesses, AbstractAgent):
    """An agent without a container engine."""

    reasons = KernelLifecycleEventReason

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.next_port = self.local_config["container"]["port-range"][0]

    @property
    def scratch_root(self):
        """Where the sessions' folders are."""
        return Path(self.local_config["container"]["scratch-root"])

    def is_ending(self, kernel_id):
        """Whether somebody ends the session."""
        return kernel_id in self.terminating_kernels

    def take_ports(self, count):
        """Free ports.

        In turns, not the lowest first: a socket that was left connected to an ended session's port
        must not find the next session there.
        """
        low, high = self.local_config["container"]["port-range"]
        ports = []
        for _ in range(high - low + 1):
            port, self.next_port = self.next_port, self.next_port + 1
            if self.next_port > high:
                self.next_port = low
            if port in self.port_pool and is_free(port):
                ports.append(port)
            if len(ports) == count:
                self.port_pool.difference_update(ports)
                return ports
        raise RuntimeError("no ports left")

    async def shutdown(self, stop_signal):
        """End all sessions, then the agent.

        The published code waits for its sessions' ends while it holds the lock that ending them
        takes; so they end before, and it is told to leave them.
        """
        try:
            await self.end_sessions()
            await super().shutdown(signal.SIGINT)
        finally:
            self.kill_all()

    async def scan_running_kernels(self):
        """Sessions end with the agent: there is nothing to take up again."""

    async def load_resources(self):
        """CPU and memory."""
        ctx = ComputePluginContext(self.etcd, self.local_config)
        await ctx.init(allowlist=set(), blocklist=set())
        for plugin in (Cpu({}, self.local_config), Memory({}, self.local_config)):
            ctx.attach_intrinsic_device(plugin)
        return {DeviceName(plugin.key): plugin for plugin in ctx.plugins.values()}

    async def scan_available_resources(self):
        """How much there is of them."""
        slots = {}
        for computer in self.computers.values():
            known_slot_types.update(computer.instance.slot_types)
            slots.update(await computer.instance.available_slots())
        return {SlotName(name): Decimal(amount) for name, amount in slots.items()}

    async def enumerate_containers(self, status_filter=frozenset({ContainerStatus.RUNNING})):
        """The sessions' processes."""
        found = []
        for kernel_id, (process, _) in [*self.procs.items()]:
            running = process.returncode is None
            status = ContainerStatus.RUNNING if running else ContainerStatus.EXITED
            kernel_obj = self.kernel_registry.get(kernel_id)
            if status not in status_filter or kernel_obj is None:
                continue
            labels = {
                "ai.backend.kernel-id": str(kernel_id),
                "ai.backend.session-id": str(kernel_obj.session_id),
                "ai.backend.owner": str(self.id),
            }
            container = Container(
                id=ContainerId(kernel_id.hex),
                status=status,
                image=kernel_obj.image.canonical,
                labels=labels,
                ports=[],
                backend_obj=kernel_obj.resource_spec,
            )
            found.append((kernel_id, container))
        return found

    async def sync_container_lifecycles(self, interval):
        """Exits are seen elsewhere; what is left is the count that agents report."""
        await self.set_container_count(self.running())

    async def scan_images(self):
        """None are kept here."""
        return {}

    async def pull_image(self, image_ref, registry_conf):
        """No image is needed."""
        raise RuntimeError(f"images cannot be pulled: {image_ref}")

    async def init_kernel_context(
        self,
        kernel_id,
        session_id,
        kernel_config,
        *,
        restarting=False,
        cluster_ssh_port_mapping=None,
    ):
        """How a session is made."""
        return HostCreationContext(
            kernel_id,
            session_id,
            self.id,
            self.event_producer,
            kernel_config,
            self.local_config,
            self.computers,
            restarting=restarting,
            agent=self,
        )

    async def create_local_network(self, network_name):
        """The machine's network is used."""

    async def destroy_local_network(self, network_name):
        """The machine's network is used."""
