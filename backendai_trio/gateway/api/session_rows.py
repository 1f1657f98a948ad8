"""Rows of kernels in the admin API: those that run, those that wait, and those that have ended."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ...wire.json_fields import encode_json
from ...wire.kernel_spec import KernelSpec
from ...wire.kernel_states import KernelState
from ..kernels.queue import QueuedSession
from ..kernels.session import Session
from ..resource_slots import encode_amounts
from ..storage.database import EndedSession
from . import catalog

__all__ = ["ended_row", "queued_row", "running_row"]

Row = dict[str, Any]
_MIB = 1 << 20


def running_row(session: Session) -> Row:
    """A kernel that runs."""
    created = session.created_at.isoformat()
    row = _session_row(session, session.runtime.name) | _places(session.spec)
    row |= _slots(encode_amounts(session.amounts))
    kind = "INTERACTIVE" if session.job is None else "BATCH"
    return row | {
        "mounts": [folder.name for folder in session.mounts],
        "created_at": created,
        "terminated_at": None,
        "status": "RUNNING",
        "status_changed": created,
        "type": kind,
        "sess_type": kind,
        "startup_command": session.job.command if session.job else None,
        "num_queries": session.queries,
        "cpu_used": 0,
        "containers": [_container(session.session_id, "RUNNING", row["occupied_slots"])],
    }


def queued_row(item: QueuedSession, state: KernelState) -> Row:
    """A kernel that does not run yet, and its state."""
    created = item.created_at.isoformat()
    create = item.requested.create
    spec, job = create.spec, create.job
    row = _session_row(item, item.runtime.name) | _places(spec)
    row |= _slots(encode_amounts(item.amounts), occupied=state.status == "PREPARING")
    kind = "INTERACTIVE" if job is None else "BATCH"
    details = encode_json(state.details.as_json()).decode("ascii")
    return row | {
        "mounts": [folder.name for folder in item.mounts],
        "created_at": created,
        "terminated_at": None,
        "status": state.status,
        "status_info": state.info or None,
        "status_data": details,
        "status_changed": created,
        "queue_position": state.ahead,
        "type": kind,
        "sess_type": kind,
        "startup_command": job.command if job else None,
        "num_queries": 0,
        "cpu_used": 0,
        "containers": [_container(item.session_id, state.status, row["occupied_slots"], details)],
    }


def ended_row(session: EndedSession) -> Row:
    """A kernel that has ended."""
    row = _session_row(session, session.runtime)
    # Managers keep the slots after a session has ended, for accounting.
    row |= _slots(json.loads(session.slots), occupied=session.has_run)
    slots = row["occupied_slots"]
    return row | {
        "created_at": session.created_at,
        "terminated_at": session.terminated_at,
        "status": session.status,
        "status_info": session.status_info or None,
        "status_data": session.status_data,
        "status_changed": session.terminated_at,
        "type": session.kind,
        "sess_type": session.kind,
        "result": session.result,
        "num_queries": 0,
        "cpu_used": session.cpu_ms,
        "containers": [_container(session.session_id, session.status, slots, session.status_data)],
    }


def _places(spec: KernelSpec) -> Row:
    return {
        "tag": spec.tag or None,
        "group_name": spec.project or catalog.GROUP,
        "domain_name": spec.domain or catalog.DOMAIN,
    }


def _slots(amounts: Mapping[str, str], *, occupied: bool = True) -> Row:
    """The resources of a session.

    Args:
        amounts: what it asks for.
        occupied: whether it has got them.
    """
    asked = encode_json(amounts).decode("ascii")
    got = asked if occupied else "{}"
    return {
        "requested_slots": asked,
        "occupying_slots": got,
        "occupied_slots": got,
        "mem_slot": int(amounts.get("mem", "0")) // _MIB,
        "cpu_slot": math.ceil(Decimal(amounts.get("cpu", "0"))),
        "gpu_slot": 0,
    }


def _container(session_id: str, status: str, slots: str, details: str = "{}") -> Row:
    """The one container of a session, as far as there is one."""
    return {
        "id": session_id,
        "session_id": session_id,
        "idx": 0,
        "role": "master",
        "cluster_role": "main",
        "cluster_idx": 1,
        "cluster_hostname": "main1",
        "status": status,
        "status_data": details,
        "agent": catalog.AGENT,
        "container_id": session_id,
        "resource_opts": "{}",
        "occupied_slots": slots,
        "live_stat": "{}",
        "last_stat": "{}",
    }


def _session_row(session: Session | QueuedSession | EndedSession, runtime: str) -> Row:
    session_id, token, access_key = session.session_id, session.token, session.access_key
    owner = catalog.user()
    return {
        "id": session_id,
        "session_id": session_id,
        "main_kernel_id": session_id,
        "sess_id": token,
        "name": token,
        "tag": None,
        "lang": runtime,
        "image": runtime,
        "registry": "local",
        "access_key": access_key,
        "role": "master",
        "type": "INTERACTIVE",
        "sess_type": "INTERACTIVE",
        "cluster_mode": "SINGLE_NODE",
        "cluster_size": 1,
        "agent": catalog.AGENT,
        "agent_ids": [catalog.AGENT],
        "agents": [catalog.AGENT],
        "domain_name": catalog.DOMAIN,
        "group_name": catalog.GROUP,
        "group_id": catalog.GROUP_ID,
        "user_id": owner["uuid"],
        "user_email": owner["email"],
        "created_user_id": owner["uuid"],
        "created_user_email": owner["email"],
        "scaling_group": catalog.SCALING_GROUP,
        "result": "UNDEFINED",
        "status_info": None,
        "status_data": "{}",
        "resource_opts": "{}",
        "service_ports": "[]",
        "mounts": [],
        "idle_checks": "{}",
        "containers": [],
        "dependencies": [],
        "abusing_reports": [],
    }
