"""What administrators make, change and remove: users, key pairs, projects, domains, policies,
presets and resource groups. It takes the key pair of a super-administrator."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import trio

from ..errors import ApiError, AuthError, LocalProtocolError, api_error
from ..transport.client import Client
from ..transport.graphql import ask
from ..transport.projects import project_id
from ..transport.retry import is_refusal
from ..wire.admin_kinds import ManagedKindName, kind_of
from ..wire.admin_settings import Action, ManagedKind, Release
from ..wire.administration import (
    HIDDEN,
    Mutation,
    SettingChange,
    changes_between,
    decode_outcome,
    decode_row,
    release_of,
    row_query,
    rows_query,
)
from ..wire.json_fields import Fields
from .lookups import unknown, user_id

__all__ = [
    "change_members",
    "create_row",
    "delete_row",
    "get_row",
    "preview_change",
    "purge_row",
    "update_row",
]

Values = Mapping[str, Any]


async def get_row(client: Client, kind: ManagedKindName, key: str) -> dict[str, Any]:
    """Get one object with all its settings.

    Args:
        client: of the server.
        kind: such as ``"users"``; `MANAGED_KINDS` has all.
        key: which one: an email address, an access key, or a name; a project's id or name.

    Returns:
        JSON values by the server's names; never secrets.

    Raises:
        LocalProtocolError: there is no such kind, the server's release does not have it, or several
            projects have that name.
        NotFound: there is no such object, or the key pair may not see it.
        ApiError: the key pair may not see it.
        ConnectionFailed: the server cannot be reached.

    Endpoint: GraphQL ``user``, ``keypair``, ``group``, ``domain``, ``keypair_resource_policy``,
    ``resource_preset`` and ``scaling_group`` (docs/protocol.md, section 8.4).
    """
    await trio.lowlevel.checkpoint()
    found = kind_of(kind)
    release = _release(client, found)
    return await _row(client, found, await _key(client, found, key), release)


async def create_row(
    client: Client, kind: ManagedKindName, key: str, values: Values | None = None
) -> dict[str, Any]:
    """Make an object.

    Args:
        client: of the server.
        kind: such as ``"users"``; `MANAGED_KINDS` has all.
        key: its email address or name; of a new key pair, the email address of its user.
        values: of its settings, by the server's names (docs/protocol.md, section 8.4). For the
            settings that are missing, the server gets the defaults of that table. Projects of a
            user (``group_ids``) are ids or names.

    Returns:
        The new object, as from `get_row`. That of a key pair has the secret key, which the server
        tells only now.

    Raises:
        LocalProtocolError: there is no such kind or setting, the server's release does not have it,
            or a value is missing or has the wrong type.
        AuthError: the key pair is not an administrator's.
        InvalidRequest: the server refuses, for instance since there is one already.
        ConnectionFailed: the server cannot be reached.

    Endpoint: GraphQL ``create_user`` and others (docs/protocol.md, section 8.4).
    """
    mutation, release = await _prepared(client, kind, "create", key, values or {})
    reply = await _send(client, mutation, release)
    item = reply.raw(mutation.kind.item)
    if item is None:  # policies of key pairs on 26.9.6
        return await _row(client, mutation.kind, mutation.key, release)
    return decode_row(mutation.kind, item, release)


async def update_row(client: Client, kind: ManagedKindName, key: str, values: Values) -> None:
    """Change settings of an object.

    Args:
        client: of the server.
        kind: such as ``"users"``; `MANAGED_KINDS` has all.
        key: which one, as for `get_row`.
        values: of the settings to change, as for `create_row`; None takes a value away where the
            table allows it.

    Raises:
        LocalProtocolError, AuthError, InvalidRequest, ConnectionFailed: as for `create_row`.
        NotFound: there is no such object.

    Endpoint: GraphQL ``modify_user`` and others (docs/protocol.md, section 8.4).
    """
    mutation, release = await _prepared(client, kind, "update", key, values)
    await _send(client, mutation, release)


async def delete_row(client: Client, kind: ManagedKindName, key: str) -> None:
    """Delete an object. Users, projects and domains only become inactive: see `purge_row`.

    Args:
        client: of the server.
        kind: such as ``"users"``; `MANAGED_KINDS` has all.
        key: which one, as for `get_row`.

    Raises:
        LocalProtocolError: there is no such kind, or the server's release does not have it.
        AuthError, NotFound, InvalidRequest, ConnectionFailed: as for `update_row`.

    Endpoint: GraphQL ``delete_user`` and others (docs/protocol.md, section 8.4).
    """
    mutation, release = await _prepared(client, kind, "delete", key, {})
    await _send(client, mutation, release)


async def purge_row(
    client: Client, kind: ManagedKindName, key: str, values: Values | None = None
) -> None:
    """Remove a user, a project or a domain for good, with all that belongs to it.

    Args:
        client: of the server.
        kind: ``"users"``, ``"projects"`` or ``"domains"``.
        key: which one, as for `get_row`.
        values: of users, ``purge_shared_vfolders`` and from 25.4 on
            ``delegate_endpoint_ownership``.

    Raises:
        LocalProtocolError: there is no such kind, others are deleted at once, or the server's
            release does not have it.
        AuthError, NotFound, InvalidRequest, ConnectionFailed: as for `update_row`.

    Endpoint: GraphQL ``purge_user`` and others (docs/protocol.md, section 8.4).
    """
    mutation, release = await _prepared(client, kind, "purge", key, values or {})
    await _send(client, mutation, release)


async def preview_change(
    client: Client, kind: ManagedKindName, action: Action, key: str, values: Values | None = None
) -> list[SettingChange]:
    """Tell what `create_row`, `update_row`, `delete_row` or `purge_row` would change.

    The server is asked for the object as it is, and gets nothing else.

    Args:
        client: of the server.
        kind: such as ``"users"``; `MANAGED_KINDS` has all.
        action: ``"create"``, ``"update"``, ``"delete"`` or ``"purge"``.
        key: as for the function of that action.
        values: likewise.

    Returns:
        The settings whose values differ, with both values. Of what is deleted or purged, all
        values, and no new ones.

    Raises:
        LocalProtocolError: as for the function of that action.
        NotFound: there is no such object.
        InvalidRequest: there is one already that is to be created.
        ApiError, ConnectionFailed: as for `get_row`.
    """
    mutation, release = await _prepared(client, kind, action, key, values or {})
    found = mutation.kind
    if action == "create":
        await _check_new(client, mutation, release)
        return changes_between(found, {}, mutation.values)
    row = await _row(client, found, mutation.key, release)
    if action == "update":
        return changes_between(found, row, mutation.values)
    told = {setting.name for setting in found.settings}
    return [SettingChange(name, value, None) for name, value in row.items() if name in told]


async def change_members(
    client: Client, project: str, users: Sequence[str], *, remove: bool = False
) -> None:
    """Add users to a project, or remove them from it.

    Args:
        client: of the server.
        project: its id or name.
        users: their email addresses or ids.
        remove: whether they are removed.

    Raises:
        LocalProtocolError: several projects have that name, or there are no users.
        NotFound: there is no such project or user.
        AuthError, InvalidRequest, ConnectionFailed: as for `update_row`.

    Endpoint: GraphQL ``modify_group`` with ``user_update_mode`` (docs/protocol.md, section 8.4).
    """
    if not users:
        await trio.lowlevel.checkpoint()
        raise LocalProtocolError("no users to add or remove")
    ids = [await user_id(client, user) for user in users]
    mode = "remove" if remove else "add"
    await update_row(client, "projects", project, {"user_update_mode": mode, "user_uuids": ids})


def _release(client: Client, kind: ManagedKind) -> Release:
    return release_of(client.hello, f"administration of a {kind.noun}", kind.since)


async def _prepared(
    client: Client, name: ManagedKindName, action: Action, key: str, values: Values
) -> tuple[Mutation, Release]:
    """The mutation, complete: checked, with ids for names and values that have to stay."""
    await trio.lowlevel.checkpoint()
    kind = kind_of(name)
    release = _release(client, kind)
    checked = Mutation(kind, action, key, values).check(release)
    values = dict(checked.values)
    if action != "create":
        key = await _key(client, kind, key)
    if values.get("group_ids"):
        domain = values.get("domain_name", "")
        values["group_ids"] = [
            await project_id(client, project, domain=domain) for project in values["group_ids"]
        ]
    kept = [item for item in kind.settings if item.kept and item.exists(release)]
    if action == "update" and kept:
        row = await _row(client, kind, key, release)
        values |= {item.name: row[item.name] for item in kept if item.name not in values}
    return Mutation(kind, action, key, values), release


async def _send(client: Client, mutation: Mutation, release: Release) -> Fields:
    kind = mutation.kind
    secrets = {
        str(value) for name, value in mutation.values.items() if value and kind.setting(name).secret
    }
    try:
        data = await ask(client, mutation.query(release))
        return decode_outcome(data, mutation.name)
    except ApiError as exc:
        # Servers quote what they refuse.
        raise _without(exc, secrets) from None


def _without(exc: ApiError, secrets: Collection[str]) -> ApiError:
    texts = [exc.title, exc.detail, str(exc.data)]
    if not any(secret in text for secret in secrets for text in texts):
        return exc
    title, detail = exc.title, exc.detail
    for secret in secrets:
        title, detail = title.replace(secret, HIDDEN), detail.replace(secret, HIDDEN)
    return api_error(exc.status, kind=exc.kind, title=title, detail=detail, request=exc.request)


async def _row(client: Client, kind: ManagedKind, key: str, release: Release) -> dict[str, Any]:
    data = await ask(client, row_query(kind, key, release))
    item = data.get(kind.root)
    if item is None and kind.list_root:
        rows = Fields(await ask(client, rows_query(kind, release)), kind.noun).items(kind.list_root)
        item = next((row for row in rows if row.get(kind.root_key) == key), None)
    if item is None:
        raise unknown(kind.noun, key)
    return decode_row(kind, item, release)


async def _check_new(client: Client, mutation: Mutation, release: Release) -> None:
    """Refuse what exists already. New key pairs have no key yet, and names of projects repeat.

    Raises:
        InvalidRequest: there is one already.
        ApiError, ConnectionFailed: the server does not say.
    """
    kind = mutation.kind
    if kind.create_key:
        return
    try:
        await _row(client, kind, mutation.key, release)
    except ApiError as exc:
        if isinstance(exc, AuthError) or not is_refusal(exc):
            raise
        return  # older managers refuse to look for what is not there
    raise api_error(400, title=f"there is a {kind.noun} {mutation.key} already")


async def _key(client: Client, kind: ManagedKind, key: str) -> str:
    return await project_id(client, key) if kind.name == "projects" else key
