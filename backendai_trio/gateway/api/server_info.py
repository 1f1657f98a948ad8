"""Handlers of small requests about the server.

Managers have them from 19.03 on (docs/protocol.md, section 9).
"""

from __future__ import annotations

from ...wire.json_fields import encode_json
from . import catalog
from .handlers import Answer, Call, Handler

__all__ = ["ROUTES"]


def manager_status(call: Call) -> Answer:
    """``GET /manager/status``."""
    running = len(call.sessions.running())
    return Answer(
        encode_json(
            {
                "status": "running",
                "active_sessions": running,
                "manager_id": catalog.AGENT,
                "num_proc": 1,
                "nodes": [],
            }
        )
    )


def announcement(_call: Call) -> Answer:
    """``GET /manager/announcement``."""
    return Answer(encode_json({"enabled": False, "message": ""}))


def resource_slots(_call: Call) -> Answer:
    """``GET /config/resource-slots``."""
    return Answer(encode_json({"cpu": "count", "mem": "bytes"}))


def scaling_groups(_call: Call) -> Answer:
    """``GET /scaling-groups``."""
    return Answer(encode_json({"scaling_groups": [{"name": catalog.SCALING_GROUP}]}))


def role(_call: Call) -> Answer:
    """``GET /auth/role``."""
    roles = {"global_role": "superadmin", "domain_role": "admin", "group_role": "admin"}
    return Answer(encode_json(roles))


def presets(_call: Call) -> Answer:
    """``GET /resource/presets``."""
    return Answer(encode_json({"presets": []}))


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/manager/status", manager_status),
    ("GET", "/manager/announcement", announcement),
    ("GET", "/config/resource-slots", resource_slots),
    ("GET", "/scaling-groups", scaling_groups),
    ("GET", "/auth/role", role),
    ("GET", "/resource/presets", presets),
)
