"""Following the states of a session: while it waits, and to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import trio

from ..errors import BackendError, NotFound, ServerError
from ..transport.client import Client
from ..transport.retry import backoff, is_transient
from ..wire.kernel_states import DEAD, KernelState
from ..wire.kernels import CreateReply
from .lookup import kernel_info, kernel_state

__all__ = ["StateReporter", "follow_states", "wait_until_up"]

_SILENT_SECONDS = 60.0
"""For how long a server may fail to say how a session stands."""


class StateReporter:
    """Sends the states of a session, each when it differs from the one before.

    Args:
        channel: where to send them; None for nowhere. It is not closed. When its receiving end has
            been closed, no more states are sent.
    """

    def __init__(self, channel: trio.MemorySendChannel[KernelState] | None) -> None:
        self._channel = channel
        self._last: KernelState | None = None

    async def report(self, state: KernelState) -> None:
        """Send a state; waits until the receiver takes it."""
        if self._channel is None or state == self._last:
            return
        self._last = state
        try:
            await self._channel.send(state)
        except trio.BrokenResourceError:
            self._channel = None


async def wait_until_up(
    client: Client,
    reply: CreateReply,
    progress: trio.MemorySendChannel[KernelState] | None = None,
) -> None:
    """Wait for a session that was created and does not run yet. Managers also hand out such ones
    that somebody else is just creating, and up to 25.x those that died while they were created.

    Args:
        client: of the kernel's server.
        reply: the answer to the create.
        progress: where to send the session's states while it waits.

    Raises:
        ServerError: it never will run; the text holds the server's reason.
        ApiError, ConnectionFailed: the server refuses to say, or has failed to for a minute.
    """
    state = KernelState(reply.status.upper())
    if state.is_coming:
        reporter = StateReporter(progress)
        await reporter.report(state)
        state = await follow_states(
            client, reply, reporter, until=lambda seen: not seen.is_coming, longest=1.0
        )
    elif state.status in DEAD and client.era.takes_ids:
        state = replace(await _state(client, reply), status=state.status)
    if not state.status or state.status in DEAD:
        raise ServerError(
            201,
            title=f"The server could not start the kernel {reply.token!r}: it is "
            f"{state.status or 'TERMINATED'}",  # sessions that have ended are hidden
            detail=state.reason,
            request=f"POST {client.era.create_path}",
        )


async def follow_states(
    client: Client,
    reply: CreateReply,
    reporter: StateReporter,
    *,
    until: Callable[[KernelState], bool],
    longest: float,
) -> KernelState:
    """Look at a session's state again and again.

    Args:
        client: of the kernel's server.
        reply: the answer to the session's create.
        reporter: where the states go.
        until: whether a state is the last one to wait for.
        longest: no pause between two looks is longer, in seconds.

    Returns:
        The last state.

    Raises:
        ApiError, ConnectionFailed: the server refuses to say, or has failed to for a minute.
    """
    pauses = backoff(0.2, longest=longest)
    silent_since = trio.current_time()
    while True:
        await trio.sleep(next(pauses))
        try:
            state = await _state(client, reply)
        except BackendError as exc:
            # A manager that restarts, or what stands before it: the session keeps its place.
            silence = trio.current_time() - silent_since
            if not is_transient(exc, also=(500,)) or silence > _SILENT_SECONDS:
                raise
            continue
        silent_since = trio.current_time()
        await reporter.report(state)
        if until(state):
            return state


async def _state(client: Client, reply: CreateReply) -> KernelState:
    if client.era.takes_ids:
        return await kernel_state(client, reply.token, reply.kernel_id)
    try:
        return (await kernel_info(client, reply.token)).state
    except NotFound:
        return KernelState()
