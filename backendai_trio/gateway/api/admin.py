"""The admin API: GraphQL about the gateway's kernels, folders, users and the machine."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema, execute_sync, validate

from ...wire.graphql import GraphQLQuery
from ..kernels.queue import QueuedSession
from ..kernels.registry import SessionRegistry
from ..kernels.session import Session
from ..releases import OURS, Release
from ..storage.database import EndedSession
from ..storage.folder_refusals import HOST
from ..storage.index import Folder
from ..storage.vfolder_files import measure
from ..storage.vfolders import VFolders
from . import catalog
from .graphql_filters import filtered, ordered
from .graphql_limits import parse_query
from .graphql_mutations import refusals
from .graphql_schema import schema_of
from .session_rows import ended_row, queued_row, running_row

__all__ = ["answer"]

Row = dict[str, Any]
_FILTERS_SINCE = (6, "20210815")
_BEFORE_MUTATIONS = (1,)
"""Stands for releases that do not say which they are."""
_PAGE_LIMIT = 100


def answer(
    query: GraphQLQuery, sessions: SessionRegistry, access_key: str, images: Sequence[Row]
) -> tuple[dict[str, Any], list[str]]:
    """Execute a query.

    Args:
        query: the query.
        sessions: the kernels.
        access_key: of the client. It sees its own kernels, and those of a key pair that it names:
            all of them belong to the gateway's one user.
        images: the result of `catalog.images`, which may take a while.

    Returns:
        The data, and the error messages.
    """
    schema = _schema(sessions.release)
    try:
        document = parse_query(query.text, sessions.limits.query)
    except GraphQLError as exc:
        return {}, [exc.message]
    if errors := validate(schema, document):
        return {}, [error.message for error in errors]
    # Variables that the query does not declare are ignored: client 1.1.1 always sends one.
    result = execute_sync(
        schema,
        document,
        root_value=_roots(sessions, access_key, images),
        variable_values=dict(query.variables),
    )
    return result.data or {}, [error.message for error in result.errors or ()]


@cache
def _schema(release: Release) -> GraphQLSchema:
    """The schema of a release, as far as lists differ (docs/protocol.md, section 8.3)."""
    if release is OURS:
        return build_schema(schema_of())
    filters = release.hello.key >= _FILTERS_SINCE
    named = release.hello.release or _BEFORE_MUTATIONS
    return build_schema(schema_of(filters=filters, order_keys=not filters, release=named))


_Roots = dict[str, Callable[..., Any]]
"""Root fields by name: functions of (info, **arguments)."""


def _roots(sessions: SessionRegistry, access_key: str, images: Sequence[Row]) -> _Roots:
    return {
        **_session_roots(sessions, access_key),
        **_machine_roots(sessions, images),
        **_user_roots(sessions, access_key),
        **_folder_roots(sessions.folders, access_key),
        **refusals(),
    }


def _session_roots(sessions: SessionRegistry, access_key: str) -> _Roots:
    def kernels(arguments: dict[str, Any]) -> list[Row]:
        key = arguments.get("access_key") or access_key
        rows = [queued_row(item, sessions.state_of(item)) for item in sessions.queued(key)]
        rows += [running_row(item) for item in sessions.running(key)]
        rows += [ended_row(item) for item in sessions.store.ended(key)]
        status = arguments.get("status")
        names = {name.strip() for name in status.split(",")} if status else None
        return [row for row in rows if names is None or row["status"] in names]

    def kernel(_info: object, id: str | None = None, sess_id: str | None = None) -> Row | None:
        def asked(kernel: Session | QueuedSession | EndedSession) -> bool:
            return sess_id == kernel.token or id == kernel.session_id

        # Clients that wait for a kernel ask for it again and again.
        for item in filter(asked, sessions.queued(access_key)):
            return queued_row(item, sessions.state_of(item))
        for session in filter(asked, sessions.running(access_key)):
            return running_row(session)
        ended = filter(asked, sessions.store.ended(access_key))
        return next(map(ended_row, ended), None)

    def node(_info: object, id: str) -> Row | None:
        try:
            name = b64decode(id, validate=True).decode().partition(":")[2]
        except ValueError:
            name = id  # managers take an id as it is, too
        return kernel(_info, id=name)

    return {
        "compute_sessions": _listed(kernels),
        "compute_session_list": _paged(kernels),
        "legacy_compute_session_list": _paged(kernels),
        "compute_session": kernel,
        "compute_session_node": node,
    }


def _machine_roots(sessions: SessionRegistry, images: Sequence[Row]) -> _Roots:
    def agents(arguments: dict[str, Any]) -> list[Row]:
        status = arguments.get("status")
        row = catalog.agent(sessions)
        return [row] if status in (None, "", row["status"]) else []

    def agent(_info: object, agent_id: str | None = None) -> Row | None:
        return catalog.agent(sessions) if agent_id in (None, catalog.AGENT) else None

    def image(_info: object, reference: str, architecture: str | None = None) -> Row | None:
        name, _, tag = reference.rpartition("/")[2].partition(":")
        return next((r for r in images if r["name"] == name and tag in ("", r["tag"])), None)

    scaling_group = catalog.scaling_group()
    return {
        "agents": _listed(agents),
        "agent": agent,
        "agent_list": _paged(agents),
        "agent_summary_list": _paged(agents),
        "images": lambda _info, **_arguments: list(images),
        "image": image,
        "scaling_groups": _all_of(scaling_group),
        "scaling_group": _named(scaling_group),
    }


def _user_roots(sessions: SessionRegistry, access_key: str) -> _Roots:
    owner = {**catalog.user(), "main_access_key": access_key}

    def users(arguments: dict[str, Any]) -> list[Row]:
        status = arguments.get("status")
        inactive = arguments.get("is_active") is False or status not in (None, "active")
        return [] if inactive else [owner]

    def user(_info: object, domain_name: str | None = None, email: str | None = None) -> Row | None:
        return owner if email in (None, owner["email"]) else None

    def user_from_uuid(
        _info: object, user_id: str | None = None, **_arguments: object
    ) -> Row | None:
        return owner if user_id in (None, owner["uuid"]) else None

    def keypairs(arguments: dict[str, Any]) -> list[Row]:
        inactive = arguments.get("is_active") is False
        foreign = arguments.get("email") not in (None, owner["email"])
        return [] if inactive or foreign else [catalog.keypair(sessions, access_key)]

    def keypair(
        _info: object, domain_name: str | None = None, access_key: str | None = access_key
    ) -> Row | None:
        known = next(iter(keypairs({})))
        return known if access_key in (None, known["access_key"]) else None

    policy, group, domain = catalog.resource_policy(sessions), catalog.group(), catalog.domain()
    return {
        "users": _listed(users),
        "user": user,
        "user_from_uuid": user_from_uuid,
        "user_list": _paged(users),
        "keypairs": _listed(keypairs),
        "keypair": keypair,
        "keypair_list": _paged(keypairs),
        "keypair_resource_policies": _all_of(policy),
        "keypair_resource_policy": _named(policy),
        # A gateway has none.
        "resource_presets": lambda _info: [],
        "resource_preset": lambda _info, **_arguments: None,
        "domains": _all_of(domain),
        "domain": _named(domain),
        "groups": _all_of(group),
        "group": lambda _info, id, **_arguments: group if id == group["id"] else None,
        "groups_by_name": _all_of(group),
    }


def _folder_roots(folders: VFolders, access_key: str) -> _Roots:
    measured: dict[str, tuple[int, int]] = {}

    def rows(arguments: dict[str, Any], which: Callable[[Folder], bool]) -> list[Row]:
        found = folders.of_user(arguments.get("access_key") or access_key)
        return [_folder_row(item, folders, measured) for item in found if which(item)]

    own = partial(rows, which=lambda item: item.is_owner)
    return {
        "vfolders": _listed(own),
        "vfolder_list": _paged(partial(rows, which=lambda _item: True)),
        "vfolder_own_list": _paged(own),
        "vfolder_invited_list": _paged(partial(rows, which=lambda item: not item.is_owner)),
    }


def _listed(select: Callable[[dict[str, Any]], list[Row]]) -> Callable[..., list[Row]]:
    """A root field that gives the selected rows."""
    return lambda _info, **arguments: select(arguments)


def _named(row: Row) -> Callable[..., Row | None]:
    """A root field that gives the only row of its kind, unless another name is asked for."""
    return lambda _info, name=None, **_arguments: row if name in (None, row["name"]) else None


def _all_of(row: Row) -> Callable[..., list[Row]]:
    """A root field that gives a list with the only row of its kind."""
    return lambda _info, name=None, is_active=None, **_arguments: (
        [row] if name in (None, row["name"]) and is_active in (None, True) else []
    )


def _paged(select: Callable[[dict[str, Any]], list[Row]]) -> Callable[..., dict[str, Any]]:
    """A root field that gives a page of the selected rows, and the number of all."""

    def resolve(_info: object, limit: int, offset: int, **arguments: Any) -> dict[str, Any]:
        rows = filtered(select(arguments), arguments.get("filter"))
        order = arguments.get("order")
        if order is None and arguments.get("order_key"):
            order = ("+" if arguments.get("order_asc", True) else "-") + arguments["order_key"]
        page = ordered(rows, order)[max(offset, 0) :][: min(max(limit, 0), _PAGE_LIMIT)]
        return {"items": page, "total_count": len(rows)}

    return resolve


def _folder_row(folder: Folder, folders: VFolders, measured: dict[str, tuple[int, int]]) -> Row:
    """A folder as a row.

    Args:
        folder: the folder.
        folders: where its files are.
        measured: numbers of files and their sizes that this query knows already, by folder.
    """

    def measured_part(which: int) -> Callable[..., int]:
        # Called only when a query has the field, because it looks at every file.
        def resolve(_info: object) -> int:
            if folder.folder_id not in measured:
                measured[folder.folder_id] = measure(folders.files_of(folder))
            return measured[folder.folder_id][which]

        return resolve

    return {
        "id": folder.folder_id,
        "host": HOST,
        "name": folder.name,
        "user": folder.owner,
        "creator": folder.owner,
        "status": "ready",
        "usage_mode": folder.usage_mode,
        "permission": folder.permission,
        "ownership_type": "user",
        "max_files": 0,
        "max_size": folders.quota_of(folder) // 1024,  # KiB (docs/protocol.md, section 8.2)
        "created_at": folder.created_at,
        "num_files": measured_part(0),
        "cur_size": measured_part(1),
        "cloneable": folder.cloneable,
    }
