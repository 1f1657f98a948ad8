"""Destroying kernels. A destroy is only believed when it is seen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from .._groups import one_error
from ..errors import (
    AuthError,
    BackendError,
    ConnectionFailed,
    KernelLeftBehindWarning,
    NotFound,
    ServerError,
)
from ..transport.client import Client
from ..transport.retry import TWO_TRANSACTIONS, backoff, is_transient
from ..wire.destroys import Query, destroy_query
from ..wire.http import Request
from ..wire.kernel_states import NOT_NOW, KernelState
from ..wire.kernels import Statistics
from ..wire.resumable import RESUMABLE_STREAMS
from .lookup import kernel_state, living_state
from .shields import finish_within

__all__ = [
    "address_of",
    "destroy_kernel",
    "end_kernel",
    "ending_seconds",
    "following_seconds",
    "warn_of_kernel",
]

_END_SECONDS = 60.0
"""Limit for the destroy at a block's ordinary end; a loaded manager takes more than 10 s."""
_FOLLOWING = 6
"""A session that is not started yet is followed to its end for this many grace times. Measured on
manager 23.09.10: up to 50 s from the destroy of a waiting session to its start."""
_ENDING = 12
"""One that was seen to be ended by its manager, for this many. Measured on 26.9.6 on a busy
machine: the start of the kernel is given up after 85 s. Until then the session does not end, and
then it may be listed as being started again, and be destroyed once more."""
_CALM_SECONDS = (3.0, 30.0)
_PASS = 10
"""A pass of a manager's scheduler starts what was destroyed since the pass began. It takes about as
long for each waiting session as a destroy does; so many are taken for granted, within limits."""

_UNREACHABLE_SECONDS = 2.0
"""For how long a destroy is tried after a connection that failed. A server that has gone does not
come back within any time that a person waits at the end of a command."""


def address_of(client: Client, token: str, kernel_id: str) -> str:
    """What stands for a kernel in paths: its id from 20.09 on, before that its token."""
    return kernel_id if client.era.takes_ids else token


def following_seconds(client: Client) -> float:
    """How long a session that has not been started yet is followed to its end, in seconds: six
    times `Config.grace_seconds`, since managers refuse to destroy one that they are starting."""
    return _FOLLOWING * client.config.grace_seconds


def ending_seconds(client: Client) -> float:
    """How long the end of a session that has not been started yet may take in all, in seconds:
    twelve times `Config.grace_seconds` where it is followed, which has limits of its own, and a
    moment; else `following_seconds`."""
    if not _follows(client):
        return following_seconds(client)
    return (_ENDING + 1) * client.config.grace_seconds


def _follows(client: Client) -> bool:
    """Whether sessions that have not been started yet are followed to their end."""
    return client.era.takes_ids and not client.has(RESUMABLE_STREAMS)


async def destroy_kernel(
    client: Client,
    token: str,
    kernel_id: str,
    *,
    started: bool = True,
    force: bool = False,
    recursive: bool = False,
) -> Statistics | None:
    """Destroy a kernel that was there. One that is gone already is fine.

    A manager refuses as long as the kernel is being prepared, or is ending already (19.09 to
    25.12); then, and after a failure that may pass, it is asked again for the grace time, or until
    it could not be reached for 2 s.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        kernel_id: its id; the token where the server gives none.
        started: whether the kernel has run. If not, its destroy is not the last word: up to 25.x
            the scheduler may start it all the same. So it is followed until the server lists it as
            ended, for `following_seconds` at most; twice that once its manager is ending it.
        force: whether it is destroyed in any state; see `TrioKernel.destroy`.
        recursive: whether the sessions that depend on it are destroyed as well.

    Returns:
        What it used in its life, where the server tells.

    Raises:
        LocalProtocolError: the server has no such way to destroy it.
        ServerError: the server says that there is no such kernel, and lists it all the same; or
            one that was not started has not ended in time.
        ApiError, ConnectionFailed: the server refused or failed, or could not be reached.

    Endpoint: ``DELETE /session/{name}`` (docs/protocol.md, section 3.6).
    """
    query = destroy_query(client.hello, client.era, force=force, recursive=recursive)
    if not started and _follows(client):
        return await _follow_to_end(client, token, kernel_id, force=force, recursive=recursive)
    give_up = trio.current_time() + client.config.grace_seconds
    give_up_unreachable = math.inf
    pauses = backoff(0.05, longest=0.5)
    while True:
        try:
            return await _destroy_once(client, token, kernel_id, query)
        except BackendError as exc:
            now = trio.current_time()
            if not isinstance(exc, ConnectionFailed):
                give_up_unreachable = math.inf  # it answers again
            elif give_up_unreachable == math.inf:
                give_up_unreachable = now + _UNREACHABLE_SECONDS
            may_pass = _is_not_now(exc) or is_transient(exc, also=TWO_TRANSACTIONS)
            if not may_pass or now > min(give_up, give_up_unreachable):
                raise
        await trio.sleep(next(pauses))


async def _destroy_once(
    client: Client, token: str, kernel_id: str, query: Query
) -> Statistics | None:
    path = client.era.session_path(address_of(client, token, kernel_id))
    try:
        # No limit: managers answer when all that runs in the kernel has ended.
        reply = await client.call(Request("DELETE", path, query), head_seconds=None)
    except NotFound:
        await _confirm_gone(client, token, kernel_id)
        return None
    return Statistics.decode(reply.body)


def _is_not_now(exc: BackendError) -> bool:
    """Whether a manager refuses a destroy as long as the kernel is in its state."""
    return isinstance(exc, AuthError) and exc.kind == NOT_NOW


async def end_kernel(
    client: Client,
    token: str,
    kernel_id: str,
    *,
    started: bool = True,
    force: bool = False,
    recursive: bool = False,
) -> tuple[bool, Statistics | None]:
    """Destroy a kernel at the end of its block. A failure is a `KernelLeftBehindWarning`.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        kernel_id: its id; the token where the server gives none.
        started: as for `destroy_kernel`.
        force: as for `destroy_kernel`.
        recursive: as for `destroy_kernel`.

    Returns:
        Whether the kernel has ended, and what it used.

    Cancellation:
        Leaves it the grace time (`Config.grace_seconds`). A kernel that was not started is left
        `following_seconds`, or twice that once its manager is ending it. It is not raised.
    """
    grace = client.config.grace_seconds
    limit, shield = (_END_SECONDS if started else ending_seconds(client)), False
    left = ""
    for _ in range(2):
        try:
            with one_error(), _within(limit, shield=shield) as scope:
                used = await destroy_kernel(
                    client, token, kernel_id, started=started, force=force, recursive=recursive
                )
                return True, used
            if scope.cancelled_caught:
                left = f"it was not confirmed within {limit:g} s"
                break
        except trio.Cancelled:  # noqa: ASYNC103 (raised again by whatever comes next)
            limit, shield = grace if started else limit, True
        except BackendError as exc:
            left = str(exc)
            break
    warn_of_kernel(client, token, left)
    return False, None


@contextmanager
def _within(seconds: float, *, shield: bool) -> Iterator[trio.CancelScope]:
    if shield:
        with finish_within(seconds) as scope:
            yield scope
    else:
        with trio.move_on_after(seconds) as scope:
            yield scope


async def _follow_to_end(
    client: Client, token: str, kernel_id: str, *, force: bool, recursive: bool
) -> Statistics | None:
    """Destroy a session that may not have been started yet, and see that it ends."""
    began = trio.current_time()
    pauses = backoff(0.3, longest=3.0)
    state = KernelState("PENDING")  # to look first would be one more request for a busy server
    statistics: Statistics | None = None
    tried: tuple[str, bool] | None = None
    calm_at, longest = 0.0, 0.0
    with trio.CancelScope(deadline=began + following_seconds(client)) as scope:
        while not state.ended or (state.status != "TERMINATED" and trio.current_time() < calm_at):
            kind = state.status, state.is_stuck
            if state.status == "TERMINATING":
                scope.deadline = began + _ENDING * client.config.grace_seconds
                tried = None  # should it be started again after this
            elif not state.ended and kind != tried:
                # Without force a manager refuses it in these states to the end of time.
                query = destroy_query(
                    client.hello,
                    client.era,
                    force=force or state.status == "ERROR" or state.is_stuck,
                    recursive=recursive,
                )
                asked = trio.current_time()
                answered, used = await _try_to_destroy(client, token, kernel_id, query)
                statistics = used or statistics
                tried = kind if answered else None
                if answered and client.hello.revives_cancelled:
                    longest = max(longest, trio.current_time() - asked)
                    shortest, most = _CALM_SECONDS
                    calm_at = trio.current_time() + min(max(shortest, _PASS * longest), most)
            await trio.sleep(next(pauses))
            try:
                state = await kernel_state(client, token, kernel_id)
            except BackendError as exc:
                if not is_transient(exc, also=TWO_TRANSACTIONS):
                    raise
        return statistics
    title = (
        "may still be started: it was destroyed while it waited for its resources"
        if state.ended
        else f"has not ended: the server lists it as {state.status}"
    )
    raise ServerError(
        200,
        title=f"The kernel {token!r} {title}",
        request=f"DELETE {client.era.session_path(kernel_id)}",
    )


async def _try_to_destroy(
    client: Client, token: str, kernel_id: str, query: Query
) -> tuple[bool, Statistics | None]:
    """Ask for the destroy of a session that may not have been started yet.

    Returns:
        Whether the server has taken it, or refuses it for as long as the session is in its state;
        and the statistics.

    Raises:
        ApiError, ConnectionFailed: the server refuses it for good, or cannot be reached.
    """
    path = client.era.session_path(address_of(client, token, kernel_id))
    try:
        reply = await client.call(Request("DELETE", path, query), head_seconds=None)
    except NotFound:
        return False, None  # not there yet, or just gone
    except BackendError as exc:
        refused = _is_not_now(exc)
        if not refused and not is_transient(exc, also=TWO_TRANSACTIONS):
            raise
        return refused, None
    return True, Statistics.decode(reply.body)


async def _confirm_gone(client: Client, token: str, kernel_id: str) -> None:
    """A 404 for a kernel that was there does not prove that it is gone (docs/protocol.md,
    section 3.6)."""
    if client.has(RESUMABLE_STREAMS):
        return
    status = await living_state(client, token, kernel_id)
    if status is not None:
        raise ServerError(
            404,
            title=f"The server says that there is no kernel {token!r} to destroy, and lists it as "
            f"{status}; try again with: backend.ai rm {kernel_id}",
            request=f"DELETE {client.era.session_path(address_of(client, token, kernel_id))}",
        )


def warn_of_kernel(client: Client, token: str, left: str) -> None:
    """Tell that a kernel may be left, as a `KernelLeftBehindWarning`.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        left: what speaks for it.
    """
    warnings.warn(
        f"the kernel {token} at {client.config.endpoint.url} may still run, or come up later: "
        f"{left}. End it with: backend.ai rm {token}",
        KernelLeftBehindWarning,
        stacklevel=5,
    )
