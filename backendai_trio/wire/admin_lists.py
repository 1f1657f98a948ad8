"""What the admin API lists, and how each generation of servers is asked for it.

Source: contract sections 8.2 (seed era) and 8.3. A field that an older schema lacks makes the whole
query fail there, so each era asks for the least it needs.
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
    """How an era lists one kind of thing."""

    root: str
    """Name of the root field."""
    fields: str
    """What is asked of each row."""
    paged: bool = False
    """Whether it is asked for page by page, or gives all rows at once."""
    arguments: Mapping[str, str] | None = None
    """Arguments it takes besides those of the page, and their types."""

    def query(
        self, *, offset: int = 0, limit: int = 100, arguments: Mapping[str, str] | None = None
    ) -> GraphQLQuery:
        """The query for a page of rows, or for all.

        Args:
            offset: rows to skip, for a paged listing.
            limit: rows at most, 1-100, likewise.
            arguments: which rows, e.g. ``{"status": "RUNNING"}``.

        Raises:
            LocalProtocolError: the listing does not take such an argument.
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
        """The rows in an answer's data, and how many there are in all."""
        top = Fields(answer, f"list of {self.root}")
        if not self.paged:
            found = answer.get(self.root)
            # A root field may give one thing: a key pair's own.
            rows = _rows(found if isinstance(found, list) else [found])
            return rows, len(rows)
        page = top.nested(self.root)
        rows = _rows(page.items("items"))
        return rows, page.integer("total_count", default=len(rows))


def listing(kind: Kind, era: Era) -> Listing:
    """How to list one kind of thing.

    Raises:
        LocalProtocolError: there is no such kind, or servers of this era do not list it.
    """
    if kind not in KINDS:
        raise LocalProtocolError(f"{kind!r} cannot be listed; use one of {', '.join(KINDS)}")
    by_era = _LISTINGS[kind]
    found = by_era.get(era.name, by_era.get(SESSION_6.name))
    if found is None or (era.name == SEED.name and SEED.name not in by_era):
        raise LocalProtocolError(f"servers of API {era.version} have no list of {kind}")
    return found


_STATUS = {"status": "String", "access_key": "String"}
_LISTINGS: Mapping[Kind, Mapping[str, Listing]] = {
    "sessions": {
        SEED.name: Listing(
            "compute_sessions",
            "sess_id id lang status created_at terminated_at mem_slot cpu_slot gpu_slot",
            arguments=_STATUS,
        ),
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
            "name id image status created_at terminated_at occupying_slots",
            paged=True,
            arguments=_STATUS,
        ),
    },
    "agents": {
        SEED.name: Listing(
            "agents",
            "id status region addr mem_slots cpu_slots gpu_slots first_contact",
            arguments={"status": "String"},
        ),
        SESSION_6.name: Listing(
            "agent_list",
            "id status region scaling_group addr available_slots occupied_slots first_contact",
            paged=True,
            arguments={"status": "String"},
        ),
    },
    "images": {
        SESSION_6.name: Listing("images", "name tag registry digest size_bytes aliases"),
    },
    # Never the secret key, which every schema offers.
    "keypairs": {
        SEED.name: Listing(
            "keypair",
            "access_key is_active is_admin resource_policy created_at last_used rate_limit "
            "concurrency_used",
        ),
        SESSION_6.name: Listing(
            "keypair_list",
            "access_key user_id is_active is_admin resource_policy created_at last_used rate_limit "
            "concurrency_used",
            paged=True,
        ),
    },
    "users": {
        SESSION_6.name: Listing(
            "user_list", "uuid username email full_name role domain_name created_at", paged=True
        ),
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
        SEED.name: Listing(
            "vfolders",
            "name created_at last_used max_files max_size",
            arguments={"access_key": "String"},
        ),
        SESSION_6.name: Listing(
            "vfolder_list",
            "name id host permission max_files max_size created_at last_used",
            paged=True,
            arguments={"access_key": "String"},
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
    """UUID of the session, where the server tells."""
    slots: Mapping[str, str] | None = None
    """Resources in use, e.g. ``{"cpu": "1", "mem": "1073741824"}``; None if it does not tell."""

    @classmethod
    def decode(cls, row: object) -> SessionRow:
        """Read a row of any era."""
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
    told = {name: str(value) for name, value in plain.items() if value is not None}
    return told or None


def _rows(found: Sequence[object]) -> list[Mapping[str, Any]]:
    # An absent thing is null; nothing else that is no object should come.
    return [row for row in found if isinstance(row, dict)]
