"""The lists of the admin API, and the query for each of them in each generation of servers.

Source: docs/protocol.md, sections 8.2 (seed era) and 8.3. A query fails as a whole where the schema
lacks one of its fields, so each era is asked for the least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import LocalProtocolError, RemoteProtocolError
from .graphql import GraphQLQuery
from .json_fields import Fields, decode_json
from .versions import SEED, SESSION_5, SESSION_6, TRANSITION, Era

__all__ = ["KINDS", "Kind", "Listing", "SessionRow", "listing"]

Kind = Literal[
    "agents",
    "images",
    "keypairs",
    "resource-policies",
    "scaling-groups",
    "sessions",
    "users",
    "vfolders",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Listing:
    """The query that lists one kind of object in one era."""

    root: str
    """Name of the root field."""
    fields: str
    """Fields of each row."""
    paged: bool = False
    """Whether rows come page by page, or all at once."""
    arguments: Mapping[str, str] | None = None
    """Further arguments and their types."""
    own: Listing | None = None
    """The query of ordinary users, whose schema lacks the root field, for what is their own."""

    def query(
        self, *, offset: int = 0, limit: int = 100, arguments: Mapping[str, str] | None = None
    ) -> GraphQLQuery:
        """The query for a page of rows, or for all.

        Args:
            offset: rows to skip, if the listing is paged.
            limit: rows at most, 1-100, likewise.
            arguments: filters, e.g. ``{"status": "RUNNING"}``.

        Raises:
            LocalProtocolError: the listing does not take one of the arguments.
        """
        known = self.arguments or {}
        given = dict(arguments or {})
        for name in given:
            if name not in known:
                raise LocalProtocolError(f"{self.root} cannot be listed by {name} on this server")
        variables: dict[str, Any] = {"limit": limit, "offset": offset} if self.paged else {}
        types = dict.fromkeys(variables, "Int!") | {name: known[name] for name in given}
        declared = ", ".join(f"${name}: {kind}" for name, kind in types.items())
        passed = ", ".join(f"{name}: ${name}" for name in types)
        rows = (
            f"{{ items {{ {self.fields} }} total_count }}" if self.paged else f"{{ {self.fields} }}"
        )
        text = "query{} {{ {}{} {} }}".format(
            f"({declared})" if declared else "", self.root, f"({passed})" if passed else "", rows
        )
        return GraphQLQuery(text, variables | given)

    def decode(self, answer: Mapping[str, Any]) -> tuple[Sequence[Mapping[str, Any]], int]:
        """The rows in the data of a reply, and the number of rows in all."""
        top = Fields(answer, f"list of {self.root}")
        if not self.paged:
            found = answer.get(self.root)
            # A root field may give a single object: one's own key pair.
            rows = _rows(found if isinstance(found, list) else [found])
            return rows, len(rows)
        page = top.nested(self.root)
        rows = _rows(page.items("items"))
        return rows, page.integer("total_count", default=len(rows))


def listing(kind: Kind, era: Era) -> Listing:
    """The query that lists one kind of object.

    Args:
        kind: of the objects.
        era: of the server.

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
        raise LocalProtocolError(f"servers of API {era.version} have no list of {kind}")
    return found


_LISTS_SINCE = "v4.20190315"
_BEFORE_LISTS = "18.12"
"""Managers 1.4 to 18.12: the transition era with a schema much like that of the seed era."""
_STATUS = {"status": "String", "access_key": "String"}
_ACCESS_KEY = {"access_key": "String"}
_OLD_SESSIONS = Listing(
    "compute_sessions",
    "sess_id id lang status created_at terminated_at mem_slot cpu_slot gpu_slot",
    arguments=_STATUS,
)
_OLD_AGENTS = Listing(
    "agents",
    "id status region addr mem_slots cpu_slots gpu_slots first_contact",
    arguments={"status": "String"},
)
_OLD_VFOLDERS = Listing(
    "vfolders", "name created_at last_used max_files max_size", arguments=_ACCESS_KEY
)
_USER_FIELDS = "uuid username email full_name role domain_name created_at"
_KEYPAIR_FIELDS = (
    "access_key is_active is_admin resource_policy created_at last_used rate_limit concurrency_used"
)
_OWN_KEYPAIR = Listing("keypair", _KEYPAIR_FIELDS)
_LISTINGS: Mapping[Kind, Mapping[str, Listing]] = {
    "sessions": {
        SEED.name: _OLD_SESSIONS,
        _BEFORE_LISTS: _OLD_SESSIONS,
        TRANSITION.name: Listing(
            "compute_session_list",
            "sess_id lang status created_at terminated_at occupied_slots",
            paged=True,
            arguments=_STATUS,
        ),
        SESSION_5.name: Listing(
            "compute_session_list",
            "name image status created_at terminated_at occupied_slots",
            paged=True,
            arguments=_STATUS,
        ),
        SESSION_6.name: Listing(
            "compute_session_list",
            "name id image status created_at terminated_at occupied_slots",
            paged=True,
            arguments=_STATUS,
        ),
    },
    "agents": {
        SEED.name: _OLD_AGENTS,
        _BEFORE_LISTS: _OLD_AGENTS,
        SESSION_6.name: Listing(
            "agent_list",
            "id status region scaling_group addr available_slots occupied_slots first_contact",
            paged=True,
            arguments={"status": "String"},
        ),
    },
    "images": {
        _BEFORE_LISTS: Listing("images", "name tag hash"),
        SESSION_6.name: Listing("images", "name tag registry digest size_bytes aliases"),
    },
    # Never the secret key, which every schema has.
    "keypairs": {
        SEED.name: _OWN_KEYPAIR,
        _BEFORE_LISTS: Listing("keypairs", _KEYPAIR_FIELDS, own=_OWN_KEYPAIR),
        TRANSITION.name: Listing("keypairs", f"user_id {_KEYPAIR_FIELDS}"),
        SESSION_6.name: Listing(
            "keypair_list",
            f"user_id {_KEYPAIR_FIELDS}",
            paged=True,
        ),
    },
    "users": {
        TRANSITION.name: Listing("users", _USER_FIELDS),
        SESSION_6.name: Listing("user_list", _USER_FIELDS, paged=True),
    },
    "resource-policies": {
        SESSION_6.name: Listing(
            "keypair_resource_policies",
            "name total_resource_slots max_concurrent_sessions max_containers_per_session "
            "idle_timeout created_at",
        ),
    },
    "scaling-groups": {
        SESSION_6.name: Listing(
            "scaling_groups", "name description is_active driver scheduler created_at"
        ),
    },
    "vfolders": {
        SEED.name: _OLD_VFOLDERS,
        _BEFORE_LISTS: _OLD_VFOLDERS,
        # `vfolder_list` fails on 19.09 as soon as there is a folder (docs/protocol.md,
        # section 12.1).
        TRANSITION.name: Listing(
            "vfolders",
            "name id host max_files max_size created_at last_used",
            arguments=_ACCESS_KEY,
        ),
        SESSION_6.name: Listing(
            "vfolder_list",
            "name id host permission max_files max_size created_at last_used",
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
    """Resources in use, e.g. ``{"cpu": "1", "mem": "1073741824"}``; None if unknown."""

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
        )


def _slots(fields: Fields) -> Mapping[str, str] | None:
    text = fields.raw("occupying_slots", "occupied_slots")
    if isinstance(text, str):
        try:
            found = decode_json(text.encode("utf-8", "replace"), "slots")
        except RemoteProtocolError:
            return None
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else None
    plain = {name: fields.raw(f"{name}_slot") for name in ("mem", "cpu", "gpu")}
    given = {name: str(value) for name, value in plain.items() if value is not None}
    return given or None


def _rows(found: Sequence[object]) -> list[Mapping[str, Any]]:
    # An object that does not exist is null.
    return [row for row in found if isinstance(row, dict)]
