"""Batch sessions without progress reports, which only Trio's channels can carry."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..files.sources import Upload
from ..kernels import batch
from ..kernels.batch import BatchResult
from ..transport.client import Client
from ..wire.batch_jobs import BatchJob
from ..wire.kernel_spec import KernelSpec

__all__ = ["run_batch"]


async def run_batch(
    client: Client,
    spec: KernelSpec,
    job: BatchJob,
    *,
    files: Iterable[str | os.PathLike[str] | Upload] = (),
    token: str | None = None,
) -> BatchResult:
    """Run a command in a session of its own, which ends with it; wait for its result.

    Args:
        client: of the server.
        spec: the session to create.
        job: the command, and its time limit.
        files: what to upload to the work folder before the command begins: paths, folders with all
            their content (see `plan_uploads` for names), and planned uploads.
        token: the session's client token. Default: a fresh one.

    Returns:
        The result, with what the command has printed. A command that fails is a result, no error.

    Raises:
        LocalProtocolError: the server has no batch sessions that can be followed (before 20.09), or
            no time limits (before 24.12); or cannot take the files.
        ServerError: the session could not be started; the text holds the server's reason.
        ExecutionError: the session was ended before its command.
        UploadError: a file cannot be read or uploaded.
        ApiError, ConnectionFailed: the server refused or failed, or could not be reached.

    Cancellation:
        Destroys the session and leaves nothing behind.

    Endpoint: ``POST /session`` with the type ``batch`` (docs/protocol.md, section 3.10).
    """
    return await batch.run_batch(client, spec, job, files=files, token=token)
