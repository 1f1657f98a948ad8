"""Kernels that are left in the queue of their server."""

from __future__ import annotations

import trio

from ..errors import LocalProtocolError
from ..transport.client import Client
from ..wire.batch_jobs import BatchJob, check_job
from ..wire.kernel_spec import KernelSpec
from ..wire.kernels import CreateRequest, check_name
from .creation import own_kernel
from .kernel import TrioKernel
from .templates import prepare_spec

__all__ = ["check_enqueues", "enqueue_kernel"]


def check_enqueues(client: Client) -> None:
    """Check that the server makes kernels whose id is known before they run.

    Args:
        client: of the server.

    Raises:
        LocalProtocolError: it does not.
    """
    if not client.era.takes_ids:
        raise LocalProtocolError(
            f"{client.hello.name} does not list kernels that wait; managers do from 20.09 on"
        )


async def enqueue_kernel(
    client: Client,
    spec: KernelSpec,
    *,
    token: str,
    job: BatchJob | None = None,
    reuse: bool = True,
) -> TrioKernel:
    """Create a kernel without waiting until it runs, or join the one that has this token.

    It stays until it is destroyed, whether it runs by then or not. `TrioKernel.info` tells its
    state, and why it waits.

    Args:
        client: of the server to create it on.
        spec: what to create if it is not there; the runtime must be that of the existing one.
        token: its client token: letters, digits, ``_``, ``.``, ``-``; managers want 4 to 64.
        job: what it does, if it is a batch session, which is always new; `run_batch` would follow
            that.
        reuse: whether one that exists may be joined; else the token must not be taken.

    Returns:
        The kernel. Other requests than `TrioKernel.info` and `TrioKernel.destroy` fail until it
        runs.

    Raises:
        LocalProtocolError: the server is of before 20.09, or as for `open_kernel`.
        ConfigError, ApiError, ConnectionFailed: as for `open_kernel`. That the kernel cannot be
            started shows later.

    Cancellation:
        A kernel that was joined stays; one that was created does not.

    Endpoint: ``POST /session`` with ``enqueueOnly`` (docs/protocol.md, section 3.4).
    """
    await trio.lowlevel.checkpoint()
    check_enqueues(client)
    check_name(client.hello, token)
    spec = await prepare_spec(client, spec)
    if job is not None:
        check_job(client.hello, client.era, job)
    create = CreateRequest(token, spec, reuse=reuse and job is None, job=job)
    async with own_kernel(client, create) as (kernel, _):
        kernel.release()
        return kernel
