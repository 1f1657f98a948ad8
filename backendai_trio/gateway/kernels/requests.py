"""What a gateway makes of a create request: where its folders go, and what it must refuse."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePosixPath

from ...wire.kernel_spec import WORK_FOLDER, KernelSpec, Mount
from ...wire.kernels import CreateRequest
from ..refusals import Refused
from ..resource_slots import Amounts, format_amount, parse_amounts
from ..storage.index import Folder
from .runtimes import Runtime

__all__ = [
    "MountedFolder",
    "RequestedKernel",
    "check_supported",
    "mounted_folders",
    "requested_amounts",
]

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class MountedFolder:
    """A virtual folder in a kernel's work folder."""

    folder: Folder
    path: str
    """Relative to the work folder."""
    writable: bool


@dataclass(frozen=True, slots=True)
class RequestedKernel:
    """A kernel that is to be made."""

    create: CreateRequest
    access_key: str
    """Of its owner."""
    runtime: Runtime
    mount_points: tuple[MountedFolder, ...] = ()
    amounts: Amounts = field(default_factory=dict)
    """The resources that it occupies from its start to its end."""
    session_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def mounts(self) -> tuple[Folder, ...]:
        """Its virtual folders."""
        return tuple(item.folder for item in self.mount_points)


def check_supported(create: CreateRequest) -> None:
    """Refuse what one machine cannot do, instead of leaving it out.

    Projects, domains and tags are texts that lists show; ports take no effort, since all ports of a
    kernel can be reached.

    Raises:
        Refused: 400 or 404, as managers answer.
    """
    spec = create.spec
    if spec.resource_group not in ("", "default"):
        detail = f"this gateway has the one called 'default' only, not {spec.resource_group!r}"
        raise Refused(404, "scaling-group-not-found", "No such resource group", detail)
    own = platform.machine()
    if spec.architecture and spec.architecture not in (own, _ARCHITECTURES.get(own, own)):
        detail = f"this gateway runs on {own}, not on {spec.architecture}"
        raise Refused(404, "image-not-found", "No such runtime", detail)
    for what, asked in (
        ("several containers", spec.cluster_size > 1),
        ("chosen agents", spec.agents),
        ("another owner", spec.owner),
        ("dependencies", spec.dependencies),
        ("a bootstrap script", spec.bootstrap_script),
        ("a callback", spec.callback_url),
        ("a time to start", create.job is not None and create.job.starts_at),
    ):
        if asked:
            detail = f"this gateway makes no kernels with {what}; a manager does"
            raise Refused(400, "invalid-api-params", "Not on this server", detail)


def requested_amounts(texts: Mapping[str, str], total: Amounts) -> dict[str, Decimal]:
    """The resources that a kernel occupies.

    Args:
        texts: the resources that it asks for; those in which it asks for nothing are left out.
        total: how much there is in all.

    Raises:
        Refused: 400, there is no such slot, or an amount is malformed; 412, there will never be
            enough.
    """
    try:
        amounts = parse_amounts(texts)
    except ValueError as exc:
        detail = "ask for resources such as -r cpu=2 -r mem=1g"
        raise Refused(400, "invalid-api-params", str(exc), detail) from None
    for slot, amount in amounts.items():
        if amount > total[slot]:
            asked, most = format_amount(slot, amount), format_amount(slot, total[slot])
            detail = (
                f"{slot}: {asked} asked for, {most} in all; ask for at most -r {slot}={most}, or "
                "start the gateway with more (--resources)"
            )
            raise Refused(412, "quota-exceeded", "More than this gateway has", detail)
    return amounts


def mounted_folders(spec: KernelSpec, find: Callable[[str], Folder]) -> list[MountedFolder]:
    """The folders that a kernel gets, each once.

    Args:
        spec: the kernel.
        find: gives the folder of a name or id, or raises `Refused`.

    Raises:
        Refused: a folder is not there, or cannot be where it was asked for.
    """
    found: dict[str, MountedFolder] = {}
    for mount in spec.mount_points:
        folder = find(mount.name)
        if folder.folder_id in found:
            raise _refused(mount, "a folder can be mounted once")
        if mount.subpath:
            raise _refused(mount, "this gateway mounts whole folders")
        path = folder.name
        if mount.path:
            target = PurePosixPath(mount.absolute_path)
            if not target.is_relative_to(WORK_FOLDER) or ".." in target.parts:
                raise _refused(mount, f"it must lie below {WORK_FOLDER}")
            path = str(target.relative_to(WORK_FOLDER))
        # One below another would be made in the other's files.
        if path == "." or any(_overlap(path, other.path) for other in found.values()):
            raise _refused(mount, "something else is there")
        writable = folder.writable and mount.permission != "ro"
        found[folder.folder_id] = MountedFolder(folder, path, writable)
    return list(found.values())


def _overlap(one: str, other: str) -> bool:
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


def _refused(mount: Mount, why: str) -> Refused:
    return Refused(400, "invalid-api-params", "The folder cannot be mounted", f"{mount}: {why}")
