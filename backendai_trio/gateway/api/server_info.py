"""Handlers of small requests about the server (docs/protocol.md, section 9)."""

from __future__ import annotations

from collections.abc import Iterator

from ...wire.announcements import ANNOUNCEMENT_PATH, decode_announcement, encode_announcement
from ...wire.dotfiles import DOTFILES_SINCE
from ...wire.json_fields import Fields, encode_json
from ...wire.resources import CheckPresets
from ...wire.ssh_keypair import SSH_KEYPAIR_PATH
from ...wire.versions import Era
from ..refusals import Refused
from . import catalog, dotfiles, ssh_keypair
from .handlers import NO_CONTENT, Answer, Call, Handler

__all__ = ["routes_of"]

_ANNOUNCEMENT = "announcement"
"""Name of the setting, which is no key pair's."""


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


def announcement(call: Call) -> Answer:
    """``GET /manager/announcement``."""
    text = call.sessions.store.setting("", _ANNOUNCEMENT)
    return Answer(encode_announcement(text or ""))


def announce(call: Call) -> Answer:
    """``POST /manager/announcement``: the gateway's user may."""
    text = decode_announcement(call.body)
    if not text and Fields.parse(call.body, "announcement").flag("enabled", default=False):
        title = "Empty message not allowed to enable announcement"
        raise Refused(400, "invalid-api-params", title)
    call.sessions.store.set_setting("", _ANNOUNCEMENT, text)
    return NO_CONTENT


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


def presets(call: Call) -> Answer:
    """``GET /resource/presets``."""
    return Answer(encode_json({"presets": []}))


def check_presets(call: Call) -> Answer:
    """``POST /resource/check-presets``: the machine. Every project may use all of it."""
    asked = CheckPresets.decode(call.body)
    if asked.resource_group not in ("", catalog.SCALING_GROUP):
        raise Refused(400, "invalid-api-params", "Unknown scaling group", asked.resource_group)
    return Answer(catalog.resources(call.sessions).encode())


_ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("v4.20181215", "GET", "/manager/status", manager_status),
    ("v4.20190615", "GET", ANNOUNCEMENT_PATH, announcement),
    ("v4.20190615", "POST", ANNOUNCEMENT_PATH, announce),
    ("v4.20190315", "GET", "/config/resource-slots", resource_slots),
    ("v4.20190615", "GET", "/scaling-groups", scaling_groups),
    ("v4.20190615", "GET", "/auth/role", role),
    ("v4.20190315", "GET", "/resource/presets", presets),
    ("v4.20190315", "POST", "/resource/check-presets", check_presets),
    *(
        (DOTFILES_SINCE, method, "/user-config/dotfiles", handler)
        for method, handler in dotfiles.ROUTES
    ),
    ("v4.20190615", "GET", SSH_KEYPAIR_PATH, ssh_keypair.get),
    ("v4.20190615", "PATCH", SSH_KEYPAIR_PATH, ssh_keypair.generate),
    ("v4.20190615", "POST", SSH_KEYPAIR_PATH, ssh_keypair.upload),
)


def routes_of(era: Era) -> Iterator[tuple[str, str, Handler]]:
    """The method, path and handler of each route that managers of an era have.

    Args:
        era: one without a prefix.
    """
    for since, method, path, handler in _ROUTES:
        if era.version >= since:  # as text, as managers compare them
            yield method, path, handler
