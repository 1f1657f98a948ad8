"""The states of a session: while it waits, and to its end."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import trio

from ..errors import BackendError, NotFound, RemoteProtocolError, ServerError
from ..transport.client import Client
from ..transport.retry import REPEATED, TWO_TRANSACTIONS, backoff, is_transient
from ..wire.kernel_states import DEAD, KernelState
from ..wire.kernels import CreateReply
from .lookup import kernel_info, kernel_state

__all__ = ["StatePoller", "StateReporter", "wait_until_up"]

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
        """Send a state; waits until the receiver takes it.

        Args:
            state: as it was seen.

        Cancellation:
            The state counts as not sent: the next call sends it, if it is still the same.
        """
        if self._channel is None or state == self._last:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._channel.send(state)
            self._last = state
        except trio.BrokenResourceError:
            self._channel = None


class StatePoller:
    """Polls the state of a session, with pauses between the requests.

    Args:
        client: of the session's server.
        reply: the answer to the session's create.
        longest: no pause is longer, in seconds.
        lasting: whether to go on for as long as the caller waits when the server fails to answer.
            A `RuntimeWarning` then tells what it waits for.
        silent_seconds: for how long the server may fail to answer, in seconds, before that.
    """

    def __init__(
        self,
        client: Client,
        reply: CreateReply,
        *,
        longest: float,
        lasting: bool = False,
        silent_seconds: float = _SILENT_SECONDS,
    ) -> None:
        self._client = client
        self._reply = reply
        self._pauses = backoff(0.2, longest=longest)
        self._lasting = lasting
        self._silent_seconds = silent_seconds

    async def poll(self) -> KernelState:
        """Pause, and ask for the state.

        Returns:
            The state.

        Raises:
            ApiError: the server refuses to say; or, without `lasting`, it has failed to for
                `silent_seconds`.
            ConnectionFailed: without `lasting`, it could not be reached for that long.
            RemoteProtocolError: without `lasting`, the answer is malformed.
        """
        give_up, warned = math.inf, False
        pauses = self._pauses
        while True:
            await trio.sleep(next(pauses))
            asked = trio.current_time()
            try:
                return await _state(self._client, self._reply)
            except BackendError as exc:
                # A manager that restarts, or what stands before it: the session keeps its place.
                malformed = isinstance(exc, RemoteProtocolError)
                if not (is_transient(exc, also=TWO_TRANSACTIONS) or (malformed and self._lasting)):
                    raise
                if pauses is self._pauses:
                    pauses = REPEATED.pauses()
                give_up = min(give_up, asked + self._silent_seconds)
                if trio.current_time() <= give_up or warned:
                    continue
                if not self._lasting:
                    raise
                warned = True
                warnings.warn(
                    f"the server has not given the state of session {self._reply.token} for "
                    f"{self._silent_seconds:g} s, and is asked again until it does: {exc}",
                    RuntimeWarning,
                    stacklevel=2,
                )


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
        poller = StatePoller(client, reply, longest=1.0)
        while state.is_coming:
            state = await poller.poll()
            await reporter.report(state)
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


async def _state(client: Client, reply: CreateReply) -> KernelState:
    if client.era.takes_ids:
        return await kernel_state(client, reply.token, reply.kernel_id)
    try:
        return (await kernel_info(client, reply.token)).state
    except NotFound:
        return KernelState()
