"""What a cluster offers: resource groups, presets, limits of the own key pair, and what is free."""

from __future__ import annotations

import trio

from ..errors import ApiError, LocalProtocolError
from ..transport.client import Client
from ..transport.graphql import ask
from ..transport.own_account import own_projects
from ..transport.retry import is_refusal
from ..wire.json_fields import Fields
from ..wire.own_projects import DEFAULT_PROJECT
from ..wire.resources import (
    CHECKS_PRESETS_SINCE,
    KEY_PAIR_QUERY,
    CheckPresets,
    ClusterResources,
    KeyPairLimits,
    resource_groups_request,
)
from .releases import check_release

__all__ = ["check_resources", "key_pair_limits", "list_resource_groups"]

_GROUPS_SINCE = "v4.20190615"


async def check_resources(
    client: Client, *, project: str = "", resource_group: str = ""
) -> ClusterResources:
    """Ask for presets, limits, and what is free.

    Args:
        client: of the server.
        project: whose limits count beside the key pair's; empty for `Config.project`, the
            one called default, or the user's only one.
        resource_group: the only one that counts; empty for all that one may use.

    Returns:
        The amounts, in bytes for memory.

    Raises:
        LocalProtocolError: the server is older than 19.03, or the user has several projects, and
            none of them is named or called default.
        ApiError: there is no such project or group. Some managers answer 500 for that.
        ConnectionFailed: the server cannot be reached.

    Endpoint: ``POST /resource/check-presets`` (docs/protocol.md, section 9.2).
    """
    await check_release(client, CHECKS_PRESETS_SINCE, "resource presets", "19.03")
    reply = await client.call(
        CheckPresets(await _project(client, project), resource_group).request()
    )
    return ClusterResources.decode(reply.body)


async def list_resource_groups(client: Client, *, project: str = "") -> list[str]:
    """List the resource groups (scaling groups) whose machines may run a project's sessions.

    Args:
        client: of the server.
        project: its name; empty for `Config.project`, the one called default, or the user's only
            one.

    Returns:
        Their names.

    Raises:
        LocalProtocolError: the server is older than 19.09, or the user has several projects, and
            none of them is named or called default.
        ApiError: there is no such project.
        ConnectionFailed: the server cannot be reached.

    Endpoint: ``GET /scaling-groups`` (docs/protocol.md, section 9.2).
    """
    await check_release(client, _GROUPS_SINCE, "resource groups", "19.09")
    reply = await client.call(resource_groups_request(await _project(client, project)))
    items = Fields.parse(reply.body, "resource groups").items("scaling_groups")
    return [Fields(item, "resource group").text("name") for item in items]


async def key_pair_limits(client: Client) -> KeyPairLimits:
    """Ask for the own key pair: its resource policy, what that allows, and what is used.

    Args:
        client: of the server.

    Returns:
        Numbers of sessions and seconds, and slots.

    Raises:
        LocalProtocolError: the server is older than 19.03.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: GraphQL ``keypair`` and ``keypair_resource_policy`` (docs/protocol.md, section 8.3).
    """
    await check_release(client, CHECKS_PRESETS_SINCE, "resource policies", "19.03")
    return KeyPairLimits.decode(await ask(client, KEY_PAIR_QUERY))


async def _project(client: Client, name: str) -> str:
    """The project to ask for: that name, the one of the settings, or the user's only one.

    Raises:
        LocalProtocolError: the user has several, and none is called as managers' default.
    """
    if name or client.config.project:
        await trio.lowlevel.checkpoint()
        return name or client.config.project
    try:
        own = await own_projects(client)
    except ApiError as exc:
        if not is_refusal(exc):
            raise
        return DEFAULT_PROJECT  # the server need not say: the default may be right
    if not own.names or DEFAULT_PROJECT in own.names:
        return DEFAULT_PROJECT
    if len(own.names) > 1:
        raise LocalProtocolError(
            f"your projects are {', '.join(own.names)}: name one with -g, BACKEND_GROUP or project="
        )
    return own.names[0]
