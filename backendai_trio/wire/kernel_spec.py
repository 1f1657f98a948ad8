"""What kernel to create: its image, its place in the cluster, and what it gets.

Source: docs/protocol.md, sections 3.3 and 3.4, which say from which version on servers know what.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from ..errors import LocalProtocolError, RemoteProtocolError
from .json_fields import Fields
from .versions import Era, Hello

__all__ = [
    "MOUNT_PERMISSIONS",
    "WORK_FOLDER",
    "ClusterMode",
    "KernelSpec",
    "Mount",
    "check_spec",
    "config_of",
    "decode_amount",
    "encode_amount",
    "places_of",
    "spec_of",
]

ClusterMode = Literal["single-node", "multi-node"]
_MountPermission = Literal["ro", "rw", "wd"]

WORK_FOLDER = "/home/work"
"""Where a kernel's own files are in the API, wherever they are on disk."""
MOUNT_PERMISSIONS = "mount-permissions"
"""Feature: mounts have permissions, as on managers from 24.03 on."""
_RESOURCES_SINCE = "v4.20190315"
_PORTS = range(1024, 65536)


@dataclass(frozen=True, slots=True)
class Mount:
    """A virtual folder, or a part of one, in a kernel."""

    name: str
    """The folder's name; its id on 26.x as well."""
    path: str = ""
    """Where it appears; empty for below the work folder, under its own name."""
    permission: Literal["", "ro", "rw", "wd"] = ""
    """What programs may do: read, write, or delete as well; empty for what the user may."""
    subpath: str = ""
    """A folder in it that is mounted instead of the whole."""

    @classmethod
    def parse(cls, text: str) -> Mount:
        """Read ``NAME[/SUBPATH][:PATH][:ro|:rw|:wd]``.

        Raises:
            LocalProtocolError: it is not of that form.
        """
        source, *rest = text.split(":")
        name, slash, subpath = source.partition("/")
        permission: Literal["", "ro", "rw", "wd"] = ""
        if rest and rest[-1] in get_args(_MountPermission):
            permission = cast(_MountPermission, rest.pop())
        path = rest.pop() if rest else ""
        malformed = not name or rest or (slash and not subpath) or text.endswith(":")
        if malformed or path in get_args(_MountPermission):
            raise LocalProtocolError(
                f"mount {text!r}: write it as NAME, NAME:PATH, NAME/SUBPATH, each perhaps with "
                ":ro, :rw or :wd behind"
            )
        return cls(name, path, permission, subpath)

    @classmethod
    def of(cls, source: str, path: str, permission: str) -> Mount:
        """A mount from its parts on the wire.

        Raises:
            LocalProtocolError: they cannot be one.
        """
        return cls.parse(":".join(part for part in (source, path, permission) if part))

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return ":".join(part for part in (self.source, self.path, self.permission) if part)

    @property
    def absolute_path(self) -> str:
        """Its path; a relative one is below the work folder."""
        return self.path if self.path.startswith("/") else f"{WORK_FOLDER}/{self.path}"

    @property
    def source(self) -> str:
        """The folder, and the part of it."""
        return f"{self.name}/{self.subpath}" if self.subpath else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSpec:
    """The kind of kernel to create.

    What a server's release cannot do is an error before anything is created, never left out.
    """

    runtime: str
    """Image name or alias, optionally with a tag: ``python``, ``lua5``, ``python:3.11``. Empty for
    that of the template."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables of every program in the kernel."""
    mounts: tuple[str, ...] = ()
    """Virtual folders, each as `Mount.parse` reads it: ``data``, ``data:/mnt/data:ro``. Without a
    path a folder appears below the work folder."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """Amounts by resource slot, e.g. ``{"cpu": "1", "mem": "1g"}``; a bare number of ``mem`` counts
    MiB. Default: the least that the image needs."""
    resource_opts: Mapping[str, str] = field(default_factory=dict)
    """Options of resources, e.g. ``{"shmem": "1g"}``."""
    project: str = ""
    """The project (group) that it belongs to. Default: the one named ``default``."""
    domain: str = ""
    """The domain of the project. Default: the one named ``default``."""
    resource_group: str = ""
    """The resource group (scaling group) that runs it. Default: the server chooses."""
    architecture: str = ""
    """Of the image, such as ``aarch64``. Default: ``x86_64``."""
    cluster_size: int = 1
    """How many containers it has."""
    cluster_mode: ClusterMode = "single-node"
    """Whether these share a machine."""
    preopen_ports: tuple[int, ...] = ()
    """TCP ports, 1024 to 65535, on which programs in it will serve."""
    bootstrap_script: str = field(default="", repr=False)
    """A shell script, in UTF-8, that is run in it before all else."""
    tag: str = ""
    """A text to tell it from others in lists."""
    priority: int | None = None
    """Its place among sessions that wait: the higher, the sooner. Default: the server's."""
    dependencies: tuple[str, ...] = ()
    """Ids of sessions that must have succeeded before it starts."""
    callback_url: str = field(default="", repr=False)
    """Where the server tells of its states."""
    agents: tuple[str, ...] = ()
    """Ids of the agents that run its containers; for super-administrators."""
    owner: str = ""
    """Access key of the user for whom it is created; for administrators."""
    template: str = ""
    """Name or id of a session template, for what is not said here. Looked up before the create."""

    def __post_init__(self) -> None:
        sources = [mount.source for mount in self.mount_points]
        if twice := [source for source in sources if sources.count(source) > 1]:
            raise LocalProtocolError(f"mount {twice[0]!r}: a folder can be mounted once")
        if bad := [port for port in self.preopen_ports if port not in _PORTS]:
            raise LocalProtocolError(f"port {bad[0]} cannot be opened: use 1024 to 65535")
        try:
            self.bootstrap_script.encode()
        except UnicodeEncodeError:
            raise LocalProtocolError("the bootstrap script is not text in UTF-8") from None
        if not self.runtime and not self.template:
            raise LocalProtocolError("a kernel needs a runtime, such as python, or a template")
        if self.cluster_size < 1:
            raise LocalProtocolError("a session has at least one container: cluster_size")

    @property
    def mount_points(self) -> tuple[Mount, ...]:
        """The mounts, read."""
        return tuple(map(Mount.parse, self.mounts))


# -- what servers know ----------------------------------------------------------------------------

_Test = Callable[[KernelSpec], object]

# What is asked for, from which API version on it is known, and the release that came with it.
_SINCE: tuple[tuple[str, _Test, tuple[int, str], str], ...] = (
    ("resources", lambda s: s.resources, (4, "20181215"), "18.12"),
    ("resource options (resource_opts)", lambda s: s.resource_opts, (4, "20190315"), "19.03"),
    ("a resource group", lambda s: s.resource_group, (4, "20190315"), "19.03"),
    ("a tag", lambda s: s.tag, (4, "20190315"), "19.03"),
    ("a project", lambda s: s.project, (4, "20190615"), "19.06"),
    ("a domain", lambda s: s.domain, (4, "20190615"), "19.06"),
    ("another owner", lambda s: s.owner, (4, "20190615"), "19.06"),
    (
        "a mount's path", lambda s: any(m.path for m in s.mount_points), (5, "20191215"), "20.03",
    ),
    ("preopened ports", lambda s: s.preopen_ports, (5, "20191215"), "20.03"),
    ("a bootstrap script", lambda s: s.bootstrap_script, (5, "20191215"), "20.03"),
    ("a template", lambda s: s.template, (5, "20191215"), "20.03"),
    ("several containers", lambda s: s.cluster_size > 1, (6, "20200815"), "20.09"),
    ("a cluster mode", lambda s: s.cluster_mode != "single-node", (6, "20200815"), "20.09"),
    ("dependencies", lambda s: s.dependencies, (6, "20200815"), "20.09"),
    ("chosen agents", lambda s: s.agents, (6, "20200815"), "20.09"),
    ("an architecture", lambda s: s.architecture, (6, "20220315"), "22.03"),
    ("a callback", lambda s: s.callback_url, (6, "20220615"), "22.09"),
    ("a priority", lambda s: s.priority is not None, (8, "20240915"), "24.09"),
)  # fmt: skip
# Manager 23.09.10 does not take it (measured), whatever version the request names.
_PERMISSIONS_SINCE = (8, "20240315")
_SUBPATHS_SINCE = (26, 4, 4)


def check_spec(hello: Hello, spec: KernelSpec) -> None:
    """Check that a server can create such a kernel.

    Args:
        hello: what the server says of itself.
        spec: the kernel.

    Raises:
        LocalProtocolError: it cannot; says what, and from which release on others can.
    """
    for what, is_asked_for, version, release in _SINCE:
        if is_asked_for(spec) and hello.key < version:
            raise LocalProtocolError(
                f"{hello.name} cannot create a session with {what}; managers can from {release} on"
            )
    if (
        any(mount.permission for mount in spec.mount_points)
        and hello.key < _PERMISSIONS_SINCE
        and MOUNT_PERMISSIONS not in hello.features
    ):
        raise LocalProtocolError(
            f"{hello.name} cannot create a session with a mount's permission; "
            "managers can from 24.03 on"
        )
    if any(mount.subpath for mount in spec.mount_points) and hello.release < _SUBPATHS_SINCE:
        raise LocalProtocolError(
            f"{hello.name} cannot mount a part of a folder; managers can from 26.4.4 on"
        )


# -- its place in a create request ----------------------------------------------------------------


def places_of(spec: KernelSpec) -> dict[str, object]:
    """The keys of a create request beside its ``config``: what is asked for, and no more."""
    found: dict[str, object] = {
        "group": spec.project,
        "domain": spec.domain,
        "architecture": spec.architecture,
        "bootstrap_script": spec.bootstrap_script,
        "tag": spec.tag,
        "dependencies": list(spec.dependencies),
        "callback_url": spec.callback_url,
        "owner_access_key": spec.owner,
    }
    found = {key: value for key, value in found.items() if value}
    if spec.cluster_size > 1 or spec.cluster_mode != "single-node":
        found |= {"cluster_size": spec.cluster_size, "cluster_mode": spec.cluster_mode}
    if spec.priority is not None:
        found["priority"] = spec.priority
    return found


def config_of(spec: KernelSpec, era: Era) -> dict[str, object]:
    """The ``config`` of a create request.

    Args:
        spec: the kernel.
        era: of the server.
    """
    mounts = spec.mount_points
    config: dict[str, object] = {}
    if mounts:
        config["mounts"] = [mount.source for mount in mounts]
    if paths := {mount.source: mount.absolute_path for mount in mounts if mount.path}:
        config["mount_map"] = paths
    options = {
        mount.source: {"type": "bind", "permission": mount.permission}
        for mount in mounts
        if mount.permission
    }
    if options:
        config["mount_options"] = options
    if spec.environ:
        config["environ"] = dict(spec.environ)
    # Managers from 19.03 to 23.03.4 fail without the key; an empty map will do
    # (docs/protocol.md, section 3.3).
    if era.metric_statistics and (spec.resources or era.version >= _RESOURCES_SINCE):
        amounts = {slot: encode_amount(slot, text) for slot, text in spec.resources.items()}
        config["resources"] = amounts
    if spec.resource_opts:
        config["resource_opts"] = {
            name: encode_amount("mem", text) if name == "shmem" else text
            for name, text in spec.resource_opts.items()
        }
    if spec.resource_group:
        config["scaling_group"] = spec.resource_group
    if spec.preopen_ports:
        config["preopen_ports"] = list(spec.preopen_ports)
    if spec.agents:
        config["agent_list"] = list(spec.agents)
    return config


def spec_of(top: Fields, config: Fields, environ: Mapping[str, str]) -> KernelSpec:
    """The inverse of `places_of` and `config_of`, for every spelling of the keys.

    Args:
        top: a create request.
        config: its ``config``.
        environ: the environment in it.

    Raises:
        LocalProtocolError: it asks for what cannot be.
        RemoteProtocolError: it is malformed.
    """
    paths = config.mapping("mount_map", "mountMap")
    options = config.nested("mount_options", "mountOptions")
    mounts = [
        Mount.of(source, paths.get(source, ""), options.nested(source).text(
            "permission", "perm", default=""))
        for source in config.texts("mounts")
    ]  # fmt: skip
    mode: ClusterMode = "single-node"
    if top.text("cluster_mode", "clusterMode", default=mode) == "multi-node":
        mode = "multi-node"
    priority = top.integer("priority") if top.raw("priority") is not None else None
    return KernelSpec(
        runtime=top.text("image", "lang"),
        environ=environ,
        mounts=tuple(str(mount) for mount in mounts),
        resources=config.mapping("resources"),
        resource_opts=config.mapping("resource_opts", "resourceOpts"),
        project=top.text("group", "groupName", "group_name", default=""),
        domain=top.text("domain", "domainName", "domain_name", default=""),
        resource_group=config.text("scaling_group", "scalingGroup", default=""),
        architecture=top.text("architecture", "arch", default=""),
        cluster_size=top.integer("cluster_size", "clusterSize", default=1),
        cluster_mode=mode,
        preopen_ports=tuple(map(_port, config.items("preopen_ports", "preopenPorts"))),
        bootstrap_script=top.text("bootstrap_script", "bootstrapScript", default=""),
        tag=top.text("tag", default=""),
        priority=priority,
        dependencies=top.texts("dependencies"),
        callback_url=top.text("callback_url", "callbackUrl", "callbackURL", default=""),
        agents=config.texts("agent_list", "agentList"),
        owner=top.text("owner_access_key", default=""),
    )


def _port(value: object) -> int:
    """A port of a create request. Official clients send it as text, which manager 26.9.6 takes.

    Raises:
        RemoteProtocolError: it is no number.
    """
    if type(value) is int:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{1,5}", value, re.ASCII):
        return int(value)
    raise RemoteProtocolError("create request: preopen_ports must be numbers")


def encode_amount(slot: str, text: str) -> str:
    """An amount as servers take it: they count a bare number of memory in bytes.

    Args:
        slot: its resource slot.
        text: the amount, as in `KernelSpec.resources`.
    """
    return f"{text}m" if slot == "mem" and re.fullmatch(r"\d+", text, re.ASCII) else text


def decode_amount(slot: str, text: str) -> str:
    """An amount as a specification has it, of a server's: its bare numbers of memory are bytes.

    Args:
        slot: its resource slot.
        text: the amount, as the server writes it.
    """
    if slot != "mem" or not re.fullmatch(r"\d+", text, re.ASCII):
        return text
    whole, rest = divmod(int(text), 1024)
    if not rest:
        return f"{whole}k"
    # Ten decimals are exact. Managers take no "b" behind a number.
    return f"{whole}.{rest * 10**10 // 1024:010}k"
