"""A virtual folder by name, and requests about it that only some managers know."""

from __future__ import annotations

import trio

from ..errors import LocalProtocolError, NotFound
from ..transport.client import Client
from ..wire.http import UNKNOWN_ROUTE, Request, Response

__all__ = ["VFolderReference", "call_since", "check_era", "path_of", "unsupported"]


class VFolderReference:
    """A virtual folder's name, and the client of its server; the base of `TrioVFolder`.

    The functions of this package whose first parameter is a reference are methods of `TrioVFolder`.
    """

    def __init__(self, client: Client, name: str) -> None:
        """Refer to a folder; no request is sent.

        Args:
            client: of the folder's server.
            name: of the folder.
        """
        self.client = client
        self.name = name

    def __repr__(self) -> str:
        return f"<virtual folder {self.name} at {self.client.config.endpoint.url}>"


def path_of(folder: VFolderReference, *tail: str) -> str:
    """The path of requests about a folder.

    Args:
        folder: the folder.
        tail: further components, such as ``files``.
    """
    return folder.client.era.folder_path(folder.name, *tail)


async def call_since(
    folder: VFolderReference,
    request: Request,
    action: str,
    release: str,
    *,
    in_kernels: bool = False,
) -> Response:
    """Send a request that not all managers know.

    Args:
        folder: the folder that it is about.
        request: what to send.
        action: what it does, for the error: "rename a folder".
        release: the first one that knows it, for the error: ``19.03``.
        in_kernels: whether programs in kernels that mount the folder can do the same, for the
            error.

    Raises:
        LocalProtocolError: the server does not know it.
        ApiError, ConnectionFailed: the request failed.
    """
    await check_era(folder, action, release, in_kernels=in_kernels)
    try:
        return await folder.client.call(request)
    except NotFound as exc:
        if exc.kind in UNKNOWN_ROUTE and not folder.client.hello.features:
            raise unsupported(folder, action, release, in_kernels=in_kernels) from exc
        raise


async def check_era(
    folder: VFolderReference, action: str, release: str = "1.4", *, in_kernels: bool = False
) -> None:
    """Refuse what managers before 1.4 cannot do.

    Args:
        folder: the folder, whose server is meant.
        action: as for `call_since`.
        release: likewise.
        in_kernels: likewise.

    Raises:
        LocalProtocolError: the server is such a manager.
    """
    await trio.lowlevel.checkpoint()
    if folder.client.era.prefix:
        raise unsupported(folder, action, release, in_kernels=in_kernels)


def unsupported(
    folder: VFolderReference, action: str, release: str, *, in_kernels: bool = False
) -> LocalProtocolError:
    """The error for what the server is too old for.

    Args:
        folder: the folder, whose server is meant.
        action: as for `call_since`.
        release: likewise.
        in_kernels: likewise.
    """
    advice = f"; mount {folder.name!r} in a kernel, and do it there" if in_kernels else ""
    return LocalProtocolError(
        f"this server cannot {action} (managers can from {release} on){advice}"
    )
