"""Images, as administrators see them: what registries have, aliases, what is to be forgotten."""

from __future__ import annotations

from ..transport.background_tasks import TaskChannel, follow_task
from ..transport.client import Client
from ..wire.background_tasks import TaskEvent
from .requests import send_call

__all__ = ["alias_image", "dealias_image", "forget_image", "rescan_images"]


async def rescan_images(
    client: Client, *, registry: str = "", project: str = "", progress: TaskChannel | None = None
) -> TaskEvent:
    """Have the server read again what images the registries have, and wait until it has.

    Args:
        client: of the server.
        registry: name of the only one to read; empty for all.
        project: of that registry; empty for all. Managers take it from 25.1 on.
        progress: where to send events while the server reads; it stays open. Managers before 20.03
            send none.

    Returns:
        The last event; `TaskEvent.errors` tells what could not be read.

    Raises:
        LocalProtocolError: the server is older than 19.09, or does not take `project`.
        AuthError: the key pair is not an administrator's.
        ServerError: it failed.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Cancellation:
        The server goes on.

    Endpoint: GraphQL ``rescan_images``, ``GET /events/background-task`` (docs/protocol.md, sections
    8.4 and 6.4).
    """
    # Before 20.03 the reply comes when all is read.
    values = {"registry": registry, "project": project}
    reply = await send_call(client, "rescan_images", values, head_seconds=None)
    task_id = reply.text("task_id", default="")
    if task_id:
        return await follow_task(client, task_id, progress=progress)
    return TaskEvent("done", message=reply.text("msg", default=""))


async def alias_image(client: Client, alias: str, target: str, *, architecture: str = "") -> None:
    """Give an image another name.

    Args:
        client: of the server.
        alias: the new name.
        target: the image, with its registry and tag.
        architecture: of the image; empty for the server's default, which is x86_64 up to 25.x.
            Managers take it from 22.03 on.

    Raises:
        LocalProtocolError: the server is older than 19.09, or does not take `architecture`.
        AuthError: the key pair is not a super-administrator's.
        ApiError: there is no such image, or the server refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: GraphQL ``alias_image`` (docs/protocol.md, section 8.4).
    """
    values = {"alias": alias, "target": target, "architecture": architecture}
    await send_call(client, "alias_image", values)


async def dealias_image(client: Client, alias: str) -> None:
    """Take an alias away from its image.

    Args:
        client: of the server.
        alias: the name.

    Raises:
        LocalProtocolError: the server is older than 19.09.
        AuthError, ApiError, ConnectionFailed: as for `alias_image`.

    Endpoint: GraphQL ``dealias_image`` (docs/protocol.md, section 8.4).
    """
    await send_call(client, "dealias_image", {"alias": alias})


async def forget_image(client: Client, image: str, *, architecture: str = "") -> None:
    """Remove an image from the server's list. The registry keeps it; a rescan finds it again.

    Args:
        client: of the server.
        image: with its registry and tag.
        architecture: as for `alias_image`.

    Raises:
        LocalProtocolError: the server is older than 19.09.19, or does not take `architecture`.
        AuthError, ApiError, ConnectionFailed: as for `alias_image`.

    Endpoint: GraphQL ``forget_image`` (docs/protocol.md, section 8.4).
    """
    values = {"reference": image, "architecture": architecture}
    await send_call(client, "forget_image", values)
