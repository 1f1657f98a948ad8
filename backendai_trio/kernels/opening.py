"""Kernels with an owner: how they begin, and what ends them.

There are two ways to own a kernel, and they are the same function underneath::

    async with open_kernel(client, KernelSpec(runtime="python")) as kernel: ...

    kernel = await nursery.start(run_kernel, client, KernelSpec(runtime="python"))

`attach_kernel` and `find_kernel` give kernels that live on.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ..errors import ApiError, NotFound, RemoteProtocolError, api_error
from ..transport.client import Client
from ..transport.graphql import call_again
from ..transport.retry import is_refusal
from ..wire.http import Request
from ..wire.kernel_names import decode_matches
from ..wire.kernel_spec import KernelSpec
from ..wire.kernel_states import COMING, DEAD, KernelState
from ..wire.kernels import CreateReply, CreateRequest, check_name
from ..wire.resumable import RESUMABLE_STREAMS
from .creation import own_kernel
from .kernel import TrioKernel
from .lookup import kernel_info
from .templates import prepare_spec
from .waiting import wait_until_up

__all__ = ["attach_kernel", "find_kernel", "new_token", "open_kernel", "run_kernel"]


def new_token() -> str:
    """A fresh client token: ``bt-`` and 32 hexadecimal digits.

    Bare hexadecimal digits would parse as a UUID, which managers from 26.4.4 on take for a session
    id and nothing else (docs/protocol.md, section 3.9).
    """
    return f"bt-{secrets.token_hex(16)}"


@asynccontextmanager
async def open_kernel(
    client: Client,
    spec: KernelSpec,
    *,
    token: str | None = None,
    reuse: bool = False,
    progress: trio.MemorySendChannel[KernelState] | None = None,
) -> AsyncIterator[TrioKernel]:
    """Create a kernel that ends with the block, whatever ends the block.

    Args:
        client: of the server to create it on.
        spec: what to create. A project, a domain and virtual folders of the settings are added
            (`Config.project`, `Config.domain`, `Config.mounts`).
        token: its client token: letters, digits, ``_``, ``.``, ``-``; managers want 4 to 64.
            Default: a fresh one.
        reuse: whether a kernel that has the token already may be joined. It then outlives the
            block: only a kernel that was created here ends with it (`TrioKernel.created`).
        progress: where to send the kernel's states, each with its reason, while it waits for its
            turn and is prepared. Nothing is sent of a kernel that runs at once.

    Raises:
        NotFound: the server has no such runtime, or no such folder to mount.
        InvalidRequest: the token is taken, with `reuse` by a kernel of another runtime.
        LocalProtocolError: the token is malformed, or reads as a UUID on a manager that takes such
            names for session ids (26.4.4 and later); or the server's release cannot do what `spec`
            asks for.
        ConfigError: a virtual folder of the settings cannot be mounted.
        QuotaExceeded: the key pair has as many kernels as it may have.
        ServerError: it could not be started.
        ConnectionFailed: the server could not be reached.

    Cancellation:
        Leaves no kernel behind, at whatever point it comes: the token is chosen before the create
        is sent, the create's answer is waited for, and what it made is destroyed, all under a
        shield. A kernel that runs takes the grace time (`Config.grace_seconds`) at most. A manager
        refuses to destroy a session that it is starting, and up to 25.x may start one that was
        destroyed before: so from 20.09 on, a create that is not answered and a kernel that does not
        run yet take up to six times as long (twelve once its manager is ending it), and 3 to 10 s
        on a server that is not busy. Running out of time is reported as a `KernelLeftBehindWarning`
        with the token, and the kernel stays in the client's journal.

    Endpoint: ``POST /session`` (docs/protocol.md, section 3.2).
    """
    token = new_token() if token is None else check_name(client.hello, token)
    spec = await prepare_spec(client, spec)
    async with own_kernel(client, CreateRequest(token, spec, reuse)) as (kernel, reply):
        await wait_until_up(client, reply, progress)
        kernel.started = True
        yield kernel


async def run_kernel(
    client: Client,
    spec: KernelSpec,
    *,
    progress: trio.MemorySendChannel[KernelState] | None = None,
    task_status: trio.TaskStatus[TrioKernel] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Hold a kernel until cancelled; for ``kernel = await nursery.start(run_kernel, ...)``.

    Args:
        client: of the server to create it on.
        spec: what to create.
        progress: as for `open_kernel`.
        task_status: gets the kernel when it runs.

    Raises:
        BackendError: as `open_kernel` does.
    """
    async with open_kernel(client, spec, progress=progress) as kernel:
        task_status.started(kernel)
        await trio.sleep_forever()


async def attach_kernel(
    client: Client,
    spec: KernelSpec,
    *,
    token: str,
    reuse: bool = True,
    progress: trio.MemorySendChannel[KernelState] | None = None,
) -> TrioKernel:
    """Join the kernel that has this token, or create it. It stays until it is destroyed.

    Args:
        client: of the kernel's server.
        spec: what to create if it is not there; the runtime must be that of the existing one.
        token: its client token: letters, digits, ``_``, ``.``, ``-``; managers want 4 to 64.
        reuse: whether one that exists may be joined; else the token must not be taken.
        progress: as for `open_kernel`.

    Raises:
        BackendError: as `open_kernel` does.

    Cancellation:
        A kernel that was joined stays; one that was created does not.

    Endpoint: ``POST /session`` (docs/protocol.md, section 3.2).
    """
    async with open_kernel(client, spec, token=token, reuse=reuse, progress=progress) as kernel:
        kernel.release()
        return kernel


async def find_kernel(client: Client, token: str) -> TrioKernel:
    """A kernel that exists. It stays until it is destroyed.

    Args:
        client: of the kernel's server.
        token: its token, or (from 20.09 on) its id.

    Returns:
        The kernel, with its token and, from 20.09 on where the server tells it, its id.

    Raises:
        NotFound: there is none.
        ApiError: the server refused or failed.
        ConnectionFailed: it could not be reached.

    Endpoint: ``GET /session/{name}`` (docs/protocol.md, section 3.5); on managers from 20.09 on
    also ``GET /session/_/match`` (section 3.1).
    """
    try:
        # By its id: before 21.09.3 managers find nothing by a name with which another one begins.
        kernel = TrioKernel(client, await _names_of(client, token))
        status = (await kernel_info(client, kernel.address)).status.upper()
    except NotFound as exc:
        exc.advice = exc.advice or "'backend.ai ps' lists your kernels"
        raise
    kernel.started = status not in COMING
    return kernel


async def _names_of(client: Client, name: str) -> CreateReply:
    """Token and id of a kernel that exists; its name stands for both where that is not known.

    Managers need it: a name may stand for another kernel there (docs/protocol.md, section 3.9), and
    the runs of a kernel have to take turns here, by whichever of its names it was found.

    Raises:
        NotFound: only longer names were found, for one of which the name may stand.
        ApiError, ConnectionFailed: the server fails to say. That it refuses to, or has no such
            request, is none.
    """
    unknown = CreateReply(name, name, created=False)
    if not client.era.takes_ids or client.has(RESUMABLE_STREAMS):
        await trio.lowlevel.checkpoint()
        return unknown
    path = client.era.session_path("_", "match")
    try:
        reply = await call_again(client, Request("GET", path, (("id", name),)))
        matches = decode_matches(reply.body)
    except RemoteProtocolError:
        return unknown
    except ApiError as exc:
        if not is_refusal(exc):
            raise
        return unknown
    alive = [match for match in matches if match.status.upper() not in DEAD]
    found = [match for match in alive if match.is_named(name)]
    if len(found) == 1:
        return CreateReply(found[0].token, found[0].kernel_id, created=False)
    if alive and not found:
        # Managers 20.09 to 22.09 take a name for the beginning of one, in a destroy as well.
        others = ", ".join(sorted(match.token for match in alive))
        raise api_error(
            404,
            title=f"no session is named {name!r}; the server takes that for {others}",
            request=f"GET {path}",
        )
    return unknown
