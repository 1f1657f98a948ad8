"""Who may use a resource group (scaling group): a domain, a project or a key pair."""

from __future__ import annotations

from typing import Literal

from ..transport.client import Client
from ..transport.projects import project_id
from .requests import send_call

__all__ = ["Whom", "allow_resource_group", "forbid_resource_group"]

Whom = Literal["domain", "project", "keypair"]
_NAMES: dict[Whom, tuple[str, str]] = {
    "domain": ("domain", "domain"),
    "project": ("user_group", "user_group"),
    "keypair": ("keypair", "access_key"),
}


async def allow_resource_group(client: Client, resource_group: str, whom: Whom, key: str) -> None:
    """Let a domain, a project or a key pair use a resource group.

    Args:
        client: of the server.
        resource_group: its name.
        whom: ``"domain"``, ``"project"`` or ``"keypair"``.
        key: name of the domain, id or name of the project, or access key.

    Raises:
        LocalProtocolError: the server is older than 19.09, or several projects have that name.
        AuthError: the key pair is not a super-administrator's.
        NotFound: there is no such project.
        ApiError: the server refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: GraphQL ``associate_scaling_group_with_domain`` and others (docs/protocol.md, section
    8.4).
    """
    await _associate(client, "associate", resource_group, whom, key)


async def forbid_resource_group(client: Client, resource_group: str, whom: Whom, key: str) -> None:
    """Take back what `allow_resource_group` has allowed.

    Args:
        client: of the server.
        resource_group: its name.
        whom: ``"domain"``, ``"project"`` or ``"keypair"``.
        key: name of the domain, id or name of the project, or access key.

    Raises:
        LocalProtocolError, AuthError, NotFound, ApiError, ConnectionFailed: likewise.

    Endpoint: GraphQL ``disassociate_scaling_group_with_domain`` and others (docs/protocol.md,
    section 8.4).
    """
    await _associate(client, "disassociate", resource_group, whom, key)


async def _associate(client: Client, verb: str, resource_group: str, whom: Whom, key: str) -> None:
    suffix, argument = _NAMES[whom]
    if whom == "project":
        key = await project_id(client, key)
    values = {"scaling_group": resource_group, argument: key}
    await send_call(client, f"{verb}_scaling_group_with_{suffix}", values)
