"""The files of a batch session, which come before its command begins.

The command has the session's only turn, so nothing that needs code to run there can be uploaded
(docs/protocol.md, section 3.10).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from ..errors import LocalProtocolError
from ..files.progress import ProgressReporter
from ..files.sources import Upload
from ..files.upload_plan import plan_items
from ..transport.client import Client
from ..wire.files import ARCHIVES
from .upload import upload_items
from .upload_form import FormFile, send_form

__all__ = ["plan_files", "upload_files"]


async def plan_files(
    client: Client, files: Iterable[str | os.PathLike[str] | Upload]
) -> list[Upload]:
    """Plan the files of a batch session, and check that its server takes them.

    Args:
        client: of the server.
        files: paths, folders with all their content, and planned uploads.

    Returns:
        The files, and the folders before their content.

    Raises:
        LocalProtocolError: the server does not take one of them before a command runs, or one is a
            stream.
        UploadError: as for `plan_uploads`.
    """
    planned: list[Upload] = []
    for item in await plan_items(files, base=None):
        if not isinstance(item, Upload):
            raise LocalProtocolError(
                f"{item.error_path}: a batch session takes files and folders, and no streams; "
                "write it to a file, and name that"
            )
        planned.append(item)
    _check_files(client, planned)
    return planned


def _check_files(client: Client, files: Sequence[Upload]) -> None:
    """Refuse what the server does not take without running code."""
    if client.has(ARCHIVES):
        return
    made = {
        str(parent)
        for file in files
        if not file.is_folder
        for parent in PurePosixPath(file.name).parents
    }
    limit = client.era.upload_max_bytes
    for file in files:
        if file.size > limit:
            why = f"this server takes files of {limit:,} bytes at most before a command runs"
        elif file.link or (file.is_folder and file.name not in made):
            why = "this server takes neither links nor empty folders before a command runs"
        else:
            continue
        raise LocalProtocolError(
            f"{file.error_path}: {why}; put it into a virtual folder, and mount that "
            "(-m, KernelSpec.mounts)"
        )


async def upload_files(client: Client, address: str, files: Sequence[Upload], order: str) -> None:
    """Upload files, and let the command begin that waits for them.

    Args:
        client: of the session's server.
        address: the session's id.
        files: what to upload.
        order: the name of the file for which the command waits.

    Raises:
        UploadError: a file cannot be read, or was refused.
        ApiError, ConnectionFailed: the requests failed.
    """
    if client.has(ARCHIVES):
        await upload_items(client, address, files, reporter=ProgressReporter(None))
    else:
        most = client.era.upload_max_files
        sent = [file for file in files if not file.is_folder]
        for first in range(0, len(sent), most):
            part = sent[first : first + most]
            await send_form(client, address, [FormFile(file.name, file) for file in part])
    await send_form(client, address, [FormFile(order, b"begin\n")])
