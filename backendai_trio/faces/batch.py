"""`run_batch` without progress reports, which only Trio's channels can carry."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..files.sources import Upload
from ..kernels import batch
from ..kernels.batch import BatchResult
from ..transport.client import Client
from ..wire.batch_jobs import BatchJob
from ..wire.kernel_spec import KernelSpec
from .binding import without_progress

__all__ = ["run_batch"]


@without_progress(batch.run_batch, "output", "task_status")
async def run_batch(
    client: Client,
    spec: KernelSpec,
    job: BatchJob,
    *,
    files: Iterable[str | os.PathLike[str] | Upload] = (),
    token: str | None = None,
) -> BatchResult:
    return await batch.run_batch(client, spec, job, files=files, token=token)
