"""The logs of kernels, of their containers, and of batch jobs."""

from __future__ import annotations

import trio

from ..errors import LocalProtocolError, NotFound
from ..transport.client import Client
from ..transport.graphql import ask
from ..wire.containers import (
    Container,
    check_container_logs,
    containers_query,
    decode_containers,
)
from ..wire.http import Request
from ..wire.json_fields import Fields
from ..wire.uuids import is_uuid

__all__ = ["kernel_logs", "list_containers", "task_log"]


async def kernel_logs(client: Client, address: str, kernel_id: str, container: str = "") -> str:
    """What a kernel has printed, also one that has ended, as far as the server keeps it.

    Args:
        client: of the kernel's server.
        address: its token or id in paths.
        kernel_id: its id.
        container: the id or host name of one of its containers; empty for the main one.

    Returns:
        The text.

    Raises:
        NotFound: there is no such kernel, or no log of it.
        LocalProtocolError: a manager of before 24.03.7 has no logs of single containers.
        ApiError: the server refused or failed.
        ConnectionFailed: it could not be reached.

    Endpoint: ``GET /session/{name}/logs`` (docs/protocol.md, section 3.1).
    """
    query: tuple[tuple[str, str], ...] = ()
    if container:
        await trio.lowlevel.checkpoint()
        check_container_logs(client.hello)
        if not is_uuid(container):
            container = await _named_container(client, kernel_id, container)
        query = (("kernel_id", container),)
    request = Request("GET", client.era.session_path(address, "logs"), query)
    reply = await client.call(request)
    return Fields.parse(reply.body, "logs").nested("result").text("logs", default="")


async def list_containers(client: Client, kernel_id: str) -> list[Container]:
    """The containers of a kernel; those of a cluster are several.

    Args:
        client: of the kernel's server, 20.09 or later.
        kernel_id: the kernel's id.

    Raises:
        LocalProtocolError: the server is older, or the kernel's id is unknown.
        ApiError, ConnectionFailed: the server does not say.

    Endpoint: GraphQL ``compute_session`` (docs/protocol.md, section 8.3).
    """
    if not (client.era.takes_ids and is_uuid(kernel_id)):
        await trio.lowlevel.checkpoint()
        raise LocalProtocolError(
            f"the containers of {kernel_id!r} are not listed: name the kernel by its session id "
            "('backend.ai ps'); servers before 20.09 list none"
        )
    return decode_containers(await ask(client, containers_query(kernel_id)))


async def _named_container(client: Client, kernel_id: str, name: str) -> str:
    found = await list_containers(client, kernel_id)
    for item in found:
        if item.host_name == name:
            return item.container_id
    names = ", ".join(item.host_name for item in found) or "none"
    raise NotFound(404, title=f"There is no container {name!r} in the kernel; it has {names}")


async def task_log(client: Client, container_id: str) -> str:
    """What a container's commands have printed, from the user's virtual folder ``.logs``.

    A manager writes it there if that folder was mounted, and keeps it when the session has ended.

    Args:
        client: of the server.
        container_id: the id of the container; of a batch session with one container, that of its
            main container (see `list_containers`).

    Raises:
        LocalProtocolError: it is no UUID, or the server is of before 20.03.
        NotFound: there is no such log.
        ApiError, ConnectionFailed: the server refused or failed, or could not be reached.

    Endpoint: ``GET /session/_/logs`` (docs/protocol.md, section 3.10).
    """
    await trio.lowlevel.checkpoint()
    if not client.era.names_session:
        raise LocalProtocolError("this server keeps no logs of tasks; managers do from 20.03 on")
    if not is_uuid(container_id):
        raise LocalProtocolError(f"{container_id!r} is no id of a container: it must be a UUID")
    query = (("taskId", container_id),)
    reply = await client.call(Request("GET", client.era.session_path("_", "logs"), query))
    return reply.body.decode("utf-8", "replace")
