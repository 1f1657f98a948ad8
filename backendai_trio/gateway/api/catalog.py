"""Rows of the admin API about the gateway itself: its machine, its user, its runtimes.

A manager has many agents, users, groups and policies. A gateway has one of each.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import math
import os
import platform
import socket
import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ... import __version__
from ...wire.resources import ClusterResources, Quota, ResourceGroup
from ..kernels.registry import SessionRegistry
from ..kernels.runtimes import installed_versions
from ..resource_slots import encode_amounts, subtract

__all__ = [
    "AGENT",
    "DOMAIN",
    "GROUP",
    "GROUP_ID",
    "POLICY",
    "SCALING_GROUP",
    "agent",
    "domain",
    "group",
    "images",
    "keypair",
    "resource_policy",
    "resources",
    "scaling_group",
    "user",
]

Row = dict[str, Any]
AGENT = "i-local"
DOMAIN = GROUP = POLICY = SCALING_GROUP = "default"
GROUP_ID = str(uuid.uuid5(uuid.NAMESPACE_DNS, "group.backendai-trio"))
_STARTED = datetime.now(UTC).isoformat()
_MIB = 1 << 20


def agent(sessions: SessionRegistry) -> Row:
    """This machine."""
    cores = len(os.sched_getaffinity(0))
    page = os.sysconf("SC_PAGE_SIZE")
    memory = os.sysconf("SC_PHYS_PAGES") * page
    used = memory - os.sysconf("SC_AVPHYS_PAGES") * page
    load = 100.0 * os.getloadavg()[0]
    total, occupied = sessions.resources, sessions.occupied
    return {
        "id": AGENT,
        "status": "ALIVE",
        "status_changed": _STARTED,
        "region": "local",
        "architecture": platform.machine(),
        "scaling_group": SCALING_GROUP,
        "schedulable": True,
        "available_slots": json.dumps(encode_amounts(total)),
        "occupied_slots": json.dumps(encode_amounts(occupied)),
        "addr": socket.gethostname(),
        "first_contact": _STARTED,
        "live_stat": json.dumps(
            {
                "node": {
                    "cpu_util": _metric(load, 100.0 * cores, "percent"),
                    "mem": _metric(used, memory, "bytes"),
                },
                # Client 23.9.10 fails if a single core is listed, and if these keys are missing.
                "devices": {"cpu_util": {}, "mem": {}},
            }
        ),
        "version": __version__,
        "compute_plugins": "{}",
        "hardware_metadata": "{}",
        "local_config": "{}",
        "cpu_cur_pct": load,
        "mem_cur_bytes": used,
        "mem_slots": int(total["mem"]) // _MIB,
        "cpu_slots": math.ceil(total["cpu"]),
        "gpu_slots": 0,
        "used_mem_slots": int(occupied["mem"]) // _MIB,
        "used_cpu_slots": math.ceil(occupied["cpu"]),
        "used_gpu_slots": 0,
        "compute_containers": [],
        "computations": [],
    }


def _metric(current: float, capacity: float, unit: str) -> Row:
    return {
        "current": f"{current:.0f}",
        "capacity": f"{capacity:.0f}",
        "pct": f"{100 * current / capacity:.2f}",
        "unit_hint": unit,
    }


def images() -> list[Row]:
    """The installed runtimes. May run programs to find their versions: call it in a thread."""
    rows = []
    for runtime, version in installed_versions():
        tag = version or "latest"
        digest = hashlib.sha256(f"{runtime.name}:{tag}".encode()).hexdigest()
        rows.append(
            {
                "id": f"{runtime.name}:{tag}",
                "name": runtime.name,
                "humanized_name": runtime.name,
                "registry": "local",
                "architecture": platform.machine(),
                "tag": tag,
                "digest": f"sha256:{digest}",
                "hash": f"sha256:{digest}",
                "size_bytes": 0,
                "aliases": list(runtime.aliases),
                "labels": [],
                "installed": True,
                "supported_accelerators": [],
            }
        )
    return rows


@cache
def user() -> Row:
    """The user who runs the gateway."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        name = str(os.getuid())
    return {
        "id": _user_id(name),
        "uuid": _user_id(name),
        "username": name,
        "email": f"{name}@localhost",
        "full_name": name,
        "description": "",
        "need_password_change": False,
        "is_active": True,
        "status": "active",
        "status_info": "",
        "created_at": _STARTED,
        "modified_at": _STARTED,
        "domain_name": DOMAIN,
        "role": "superadmin",
        "groups": [{"id": GROUP_ID, "name": GROUP}],
        "totp_activated": False,
        "sudo_session_enabled": False,
    }


def _user_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.user.backendai-trio"))


def keypair(sessions: SessionRegistry, access_key: str) -> Row:
    """A key pair, with its secret key: only clients that have it can sign the request."""
    owner = user()
    running = sessions.running(access_key)
    return {
        "id": access_key,
        "user_id": owner["email"],
        "user_info": {"email": owner["email"], "full_name": owner["full_name"]},
        "projects": [GROUP],
        "access_key": access_key,
        "secret_key": sessions.store.secret_key_of(access_key),
        "is_active": True,
        "is_admin": True,
        "created_at": _STARTED,
        "modified_at": _STARTED,
        "last_used": datetime.now(UTC).isoformat(),
        "resource_policy": POLICY,
        "rate_limit": 0,
        "concurrency_limit": sessions.max_sessions,
        "concurrency_used": len(running),
        "num_queries": sum(session.queries for session in running),
        "ssh_public_key": "",
        "dotfiles": "[]",
        "bootstrap_script": "",
    }


def resource_policy(sessions: SessionRegistry) -> Row:
    """The resource policy of each key pair."""
    return {
        "name": POLICY,
        "created_at": _STARTED,
        "default_for_unspecified": "UNLIMITED",
        "total_resource_slots": "{}",
        "max_session_lifetime": 0,
        "max_concurrent_sessions": sessions.max_sessions,
        "max_containers_per_session": 1,
        "idle_timeout": int(sessions.idle_seconds),
        "max_vfolder_count": 0,
        "max_vfolder_size": 0,
        "allowed_vfolder_hosts": json.dumps({"local": []}),
    }


def resources(sessions: SessionRegistry) -> ClusterResources:
    """The machine as a cluster: key pairs and projects have no limits of their own."""
    using = encode_amounts(sessions.occupied)
    remaining = encode_amounts(subtract(sessions.resources, sessions.occupied))
    quota = Quota(dict.fromkeys(using, "Infinity"), using, remaining)
    here = ResourceGroup(SCALING_GROUP, using, remaining)
    return ClusterResources(quota, quota, remaining, [here])


def scaling_group() -> Row:
    """The one group of machines."""
    return {
        "name": SCALING_GROUP,
        "description": "this machine",
        "is_active": True,
        "is_public": True,
        "created_at": _STARTED,
        "driver": "static",
        "driver_opts": "{}",
        "scheduler": "fifo",
        "scheduler_opts": "{}",
        "use_host_network": True,
        "wsproxy_addr": None,
    }


def domain() -> Row:
    """The one domain."""
    return _place(DOMAIN) | {"allowed_docker_registries": []}


def group() -> Row:
    """The one group of users."""
    return _place(GROUP) | {"id": GROUP_ID, "domain_name": DOMAIN, "type": "GENERAL"}


def _place(name: str) -> Row:
    return {
        "name": name,
        "description": "",
        "is_active": True,
        "created_at": _STARTED,
        "modified_at": _STARTED,
        "total_resource_slots": "{}",
        "allowed_vfolder_hosts": json.dumps({"local": []}),
        "integration_id": None,
        "scaling_groups": [SCALING_GROUP],
    }
