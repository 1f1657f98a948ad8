"""Kernels whose clients were killed: found in the journal, and ended."""

from __future__ import annotations

from typing import Literal

import trio

from ..config.kernel_journal import LeftKernel
from ..errors import NotFound
from ..transport.client import Client
from ..transport.retry import backoff
from ..wire.resumable import RESUMABLE_STREAMS
from .creation import OVERTAKEN_SECONDS
from .kernel import TrioKernel
from .lookup import listed_kernel
from .opening import find_kernel

__all__ = ["end_left_kernel"]

_MAY_COME_SECONDS = 120.0
"""How long after its create a session may come up that a manager says is not there: one that was
destroyed while it waited for its resources, or whose create is still at work (docs/protocol.md,
section 3.6)."""


async def end_left_kernel(
    client: Client, left: LeftKernel
) -> Literal["ended", "ended before", "unsure"]:
    """End a kernel that a client has left behind.

    Where the client was killed before it had an answer to its create, the create may still be on
    its way to the server. A kernel that is not there is looked for again then, for 3 s.

    Args:
        client: of the kernel's server.
        left: its entry in the journal. It is not forgotten here.

    Returns:
        Whether it has ended now, or had ended before. ``"unsure"`` is the kernel of a manager that
        is not there and may still come up, since its create is so young.

    Raises:
        ApiError: the server refused or failed.
        ConnectionFailed: it could not be reached.

    Endpoint: ``DELETE /session/{name}`` (docs/protocol.md, section 3.6).
    """
    # An age below 0: the clock was set back since then.
    young = abs(left.age_seconds) < _MAY_COME_SECONDS
    answered = bool(left.kernel_id)
    pauses = backoff(0.05, longest=0.5)
    give_up = trio.current_time() + (OVERTAKEN_SECONDS if young and not answered else 0.0)
    while True:
        try:
            await (await _find(client, left)).destroy()
        except NotFound:
            if trio.current_time() >= give_up:
                return "unsure" if young and not client.has(RESUMABLE_STREAMS) else "ended before"
        else:
            return "ended"
        await trio.sleep(next(pauses))


async def _find(client: Client, left: LeftKernel) -> TrioKernel:
    """The kernel by its id, by its token, or in the server's own list.

    Raises:
        NotFound: it is nowhere.
    """
    by_id = bool(left.kernel_id) and client.era.takes_ids
    if by_id:
        try:
            return await find_kernel(client, left.kernel_id)
        except NotFound:
            pass
    try:
        return await find_kernel(client, left.token)
    except NotFound:
        if not client.era.takes_ids or client.has(RESUMABLE_STREAMS):
            raise
        token = left.kernel_id if by_id else left.token
        row = await listed_kernel(client, token)  # noqa: ASYNC120 (as it should)
        if row is None or not row.session_id:
            raise
    return await find_kernel(client, row.session_id)
