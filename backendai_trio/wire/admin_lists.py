"""The lists of the admin API, and the query for each of them in each generation of servers.

Source: docs/protocol.md, sections 8.2 (seed era) and 8.3. A query fails as a whole where the schema
lacks one of its fields, so each era is asked for the least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ..errors import LocalProtocolError, RemoteProtocolError
from .json_fields import Fields, decode_json
from .kernel_states import ENDED, reason_of
from .listings import LIST_FILTERS, REQUESTED_SLOTS, Listing, columns_of
from .project_types import project_types
from .versions import SEED, SESSION_5, SESSION_6, TRANSITION, Era, Hello

__all__ = ["KINDS", "Kind", "SessionRow", "listing", "only_living"]

Kind = Literal[
    "agents",
    "domains",
    "images",
    "keypairs",
    "projects",
    "resource-policies",
    "resource-presets",
    "scaling-groups",
    "sessions",
    "users",
    "vfolders",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


def listing(kind: Kind, era: Era, hello: Hello | None = None) -> Listing:
    """The query that lists one kind of object.

    Args:
        kind: of the objects.
        era: of the server.
        hello: what the server says of itself, for columns and abilities that came with a release.

    Raises:
        LocalProtocolError: there is no such kind, or servers of this era do not list it.
    """
    if kind not in KINDS:
        raise LocalProtocolError(f"{kind!r} cannot be listed; use one of {', '.join(KINDS)}")
    by_era = _LISTINGS[kind]
    generation = era.name
    if generation == TRANSITION.name and era.version < _LISTS_SINCE:
        generation = _BEFORE_LISTS
    found = by_era.get(generation)
    if found is None and generation not in (SEED.name, _BEFORE_LISTS):
        found = by_era[SESSION_6.name]
    if found is None:
        server = f"a server of API {era.version}" if hello is None else hello.name
        since = "1.4" if _BEFORE_LISTS in by_era else "19.03"
        raise LocalProtocolError(
            f"{server} has no list of {kind}; managers have that from {since} on"
        )
    keys = _keys(kind)
    found = _of_release(kind, found, era, hello)
    if not found.paged:
        own = replace(found.own, keys=keys) if found.own is not None else None
        return replace(found, keys=keys, own=own)
    filters = era.graphql_enveloped or (hello is not None and LIST_FILTERS in hello.features)
    sorts: Literal["columns", "column"] = "columns" if filters else "column"
    return replace(found, keys=keys, filters=filters, sorts=sorts)


def _of_release(kind: Kind, found: Listing, era: Era, hello: Hello | None) -> Listing:
    """The list with what came within its era."""
    if hello is None or kind not in _ADDED:
        return found
    columns = dict(found.columns) | columns_of(_ADDED[kind])
    if kind == "sessions" and era.names_session and REQUESTED_SLOTS in hello.features:
        return replace(found, columns=columns)
    if hello.release < _ADDED_SINCE:
        return found
    if kind != "projects":
        return replace(found, columns=columns)
    fixed = {"type": ("[String]", project_types(hello.release))}
    return replace(found, columns=columns, fixed=fixed)


def only_living(
    question: Listing, era: Era, arguments: Mapping[str, str], filter: str
) -> tuple[Mapping[str, str], str]:
    """The arguments and the filter that leave out sessions that have ended.

    A status that a release does not know fails the whole query, so later releases are told which
    not to list, and earlier ones those that all of them have.

    Args:
        question: the list of sessions.
        era: of the server.
        arguments: further ones.
        filter: a condition to combine it with.
    """
    if question.filters:
        living = " & ".join(f'(status != "{status}")' for status in sorted(ENDED))
        return arguments, f"({filter}) & ({living})" if filter else living
    queued = era.names_session or (question.paged and era.version >= _QUEUES_SINCE)
    return {**arguments, "status": _LIVING if queued else "RUNNING"}, filter


def _keys(kind: Kind) -> Sequence[str]:
    """The names of the columns in all eras, those of the newest first."""
    listings = reversed([*_LISTINGS[kind].values()])
    names = dict.fromkeys(name for item in listings for name in item.columns)
    return [*names, *columns_of(_ADDED.get(kind, ""))]


_LISTS_SINCE = "v4.20190315"
_QUEUES_SINCE = "v4.20190615"
_ADDED_SINCE = (24, 3)
_ADDED: Mapping[str, str] = {"sessions": "requested_slots", "projects": "type"}
"""Columns that came with that release."""
_BEFORE_LISTS = "18.12"
"""Managers 1.4 to 18.12: the transition era with a schema much like that of the seed era."""
_LIVING = "PENDING,PREPARING,PULLING,RUNNING,RESTARTING,TERMINATING,ERROR"
"""The states of sessions that have not ended, which all managers from 19.09 to 20.09 know."""
_STATUS = {"status": "String", "access_key": "String"}
_ACCESS_KEY = {"access_key": "String"}
_OLD_SESSIONS = Listing(
    "compute_sessions",
    columns_of(
        "name:sess_id id image:lang status status_info created_at terminated_at "
        "occupied_slots:mem_slot+cpu_slot+gpu_slot"
    ),
    arguments=_STATUS,
)
_SESSION_5_COLUMNS = (
    "name image status status_info created_at terminated_at occupied_slots access_key group_name "
    "scaling_group tag"
)
_OLD_AGENTS = Listing(
    "agents",
    columns_of(
        "id status region addr available_slots:mem_slots+cpu_slots+gpu_slots "
        "occupied_slots:used_mem_slots+used_cpu_slots+used_gpu_slots first_contact"
    ),
    arguments={"status": "String"},
)
_OLD_VFOLDERS = Listing(
    "vfolders",
    columns_of("name created_at last_used max_files max_size"),
    arguments=_ACCESS_KEY,
)
_USER_COLUMNS = columns_of("uuid username email full_name role domain_name created_at")
_PLACE_COLUMNS = "description is_active total_resource_slots created_at"
_OWN_KEYPAIR_COLUMNS = columns_of(
    "access_key is_active is_admin resource_policy created_at last_used rate_limit concurrency_used"
)
_KEYPAIR_COLUMNS = columns_of("user_id") | _OWN_KEYPAIR_COLUMNS
_OWN_KEYPAIR = Listing("keypair", _OWN_KEYPAIR_COLUMNS)
_LISTINGS: Mapping[Kind, Mapping[str, Listing]] = {
    "sessions": {
        SEED.name: _OLD_SESSIONS,
        _BEFORE_LISTS: _OLD_SESSIONS,
        TRANSITION.name: Listing(
            "compute_session_list",
            columns_of(
                "name:sess_id image:lang status status_info created_at terminated_at occupied_slots"
            ),
            paged=True,
            arguments=_STATUS,
        ),
        SESSION_5.name: Listing(
            "compute_session_list",
            columns_of(_SESSION_5_COLUMNS),
            paged=True,
            arguments=_STATUS,
        ),
        SESSION_6.name: Listing(
            "compute_session_list",
            columns_of(f"id {_SESSION_5_COLUMNS} status_data"),
            paged=True,
            arguments=_STATUS,
        ),
    },
    "agents": {
        SEED.name: _OLD_AGENTS,
        _BEFORE_LISTS: _OLD_AGENTS,
        SESSION_6.name: Listing(
            "agent_list",
            columns_of(
                "id status region scaling_group addr available_slots occupied_slots first_contact"
            ),
            paged=True,
            arguments={"status": "String"},
        ),
    },
    "domains": {
        SESSION_6.name: Listing("domains", columns_of(f"name {_PLACE_COLUMNS}")),
    },
    "projects": {
        SESSION_6.name: Listing("groups", columns_of(f"id name domain_name {_PLACE_COLUMNS}")),
    },
    "resource-presets": {
        SESSION_6.name: Listing(
            "resource_presets", columns_of("name resource_slots shared_memory")
        ),
    },
    "images": {
        _BEFORE_LISTS: Listing("images", columns_of("name tag digest:hash")),
        SESSION_6.name: Listing(
            "images", columns_of("name tag registry digest size_bytes aliases")
        ),
    },
    # Never the secret key, which every schema has.
    "keypairs": {
        SEED.name: _OWN_KEYPAIR,
        _BEFORE_LISTS: Listing("keypairs", _OWN_KEYPAIR_COLUMNS, own=_OWN_KEYPAIR),
        TRANSITION.name: Listing("keypairs", _KEYPAIR_COLUMNS),
        SESSION_6.name: Listing("keypair_list", _KEYPAIR_COLUMNS, paged=True),
    },
    "users": {
        TRANSITION.name: Listing("users", _USER_COLUMNS),
        SESSION_6.name: Listing("user_list", _USER_COLUMNS, paged=True),
    },
    "resource-policies": {
        SESSION_6.name: Listing(
            "keypair_resource_policies",
            columns_of(
                "name total_resource_slots max_concurrent_sessions max_containers_per_session "
                "idle_timeout created_at"
            ),
        ),
    },
    "scaling-groups": {
        SESSION_6.name: Listing(
            "scaling_groups", columns_of("name description is_active driver scheduler created_at")
        ),
    },
    "vfolders": {
        SEED.name: _OLD_VFOLDERS,
        _BEFORE_LISTS: _OLD_VFOLDERS,
        # `vfolder_list` fails on 19.09 as soon as there is a folder (docs/protocol.md,
        # section 12.1).
        TRANSITION.name: Listing(
            "vfolders",
            columns_of("name id host max_files max_size created_at last_used"),
            arguments=_ACCESS_KEY,
        ),
        SESSION_6.name: Listing(
            "vfolder_list",
            columns_of("name id host permission max_files max_size created_at last_used"),
            paged=True,
            arguments=_ACCESS_KEY,
        ),
    },
}


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A kernel in a list."""

    token: str
    runtime: str
    status: str
    created_at: str
    """ISO 8601, as the server wrote it."""
    terminated_at: str = ""
    session_id: str = ""
    """UUID of the session; empty if the server does not give it."""
    slots: Mapping[str, str] | None = None
    """Resources in use, or asked for while it waits, e.g. ``{"cpu": "1", "mem": "1073741824"}``;
    None if unknown."""
    reason: str = ""
    """Why it waits or has ended, in the server's words; empty if it does not say."""
    project: str = ""
    resource_group: str = ""
    tag: str = ""
    access_key: str = ""
    """Of its owner; empty if the server does not give it."""

    @classmethod
    def decode(cls, row: object) -> SessionRow:
        """Read a row of any era.

        Args:
            row: decoded JSON.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        fields = Fields(row, "session row")
        return cls(
            fields.text("name", "sess_id", "id", default=""),
            fields.text("image", "lang", default=""),
            fields.text("status", default=""),
            fields.text("created_at", default=""),
            fields.text("terminated_at", default=""),
            fields.text("id", default=""),
            _slots(fields),
            reason_of(fields),
            fields.text("group_name", default=""),
            fields.text("scaling_group", default=""),
            fields.text("tag", default=""),
            fields.text("access_key", default=""),
        )


def _slots(fields: Fields) -> Mapping[str, str] | None:
    for name in ("occupied_slots", "occupying_slots", "requested_slots"):
        found = fields.raw(name)
        if isinstance(found, str):
            try:
                found = decode_json(found.encode("utf-8", "replace"), "slots")
            except RemoteProtocolError:
                continue
        if isinstance(found, dict) and (found or fields.raw("requested_slots") is None):
            return {str(slot): str(amount) for slot, amount in found.items()}
    plain = {name: fields.raw(f"{name}_slot") for name in ("mem", "cpu", "gpu")}
    given = {name: str(value) for name, value in plain.items() if value is not None}
    return given or None
