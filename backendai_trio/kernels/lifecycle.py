"""Creating and destroying kernels, so that none is left whose fate nobody knows."""

from __future__ import annotations

import warnings

import trio

from .._groups import one_error
from ..errors import (
    ApiError,
    AuthError,
    BackendError,
    InvalidRequest,
    KernelLeftBehindWarning,
    NotFound,
    ServerError,
)
from ..transport.client import Client
from ..transport.pending_call import PendingCall
from ..transport.retry import backoff
from ..wire.http import JSON, Request
from ..wire.kernels import COMING, DEAD, NOT_NOW, CreateReply, CreateRequest, Statistics
from ..wire.resumable import RESUMABLE_STREAMS
from .lookup import kernel_info, living_state

__all__ = ["Creation", "address_of", "destroy_kernel", "end_kernel", "wait_until_up"]

_OVERTAKEN_SECONDS = 3.0
"""How long "not there" may still mean "not there yet" after a create that failed half-way. Measured
on manager 23.09.10: creates that were cut off after 20-100 ms came into being up to 0.5 s later."""
_LAST_SECONDS = 4.0
"""What is kept of the grace time for destroying by token when the create is not answered."""
_END_SECONDS = 60.0
"""Limit for the destroy at a block's ordinary end; a loaded manager takes more than 10 s."""


def address_of(client: Client, token: str, kernel_id: str) -> str:
    """What stands for a kernel in paths: its id from 20.09 on, before that its token."""
    return kernel_id if client.era.takes_ids else token


class Creation:
    """A create, from before it is sent until it is known what came of it.

    Attributes:
        unsure: whether a kernel may have been made, or may still be, that nobody will end.
    """

    def __init__(self, client: Client, create: CreateRequest) -> None:
        self.unsure = False
        self._client = client
        self._create = create

    async def run(self) -> CreateReply:
        """Send the create, and wait for its answer.

        Raises:
            ApiError, ConnectionFailed: the create failed, and made nothing as far as is known.
            InvalidRequest: the token is taken.

        Cancellation:
            Is raised when the answer has come and what it made is destroyed, or after the grace
            time. A manager's answer is waited for, since only that says what has become of the
            create: a kernel may come up long after a destroy found nothing.
        """
        client, create = self._client, self._create
        path = client.era.create_path
        request = Request("POST", path, (), create.encode(client.era), JSON)
        # No limit: some managers hold the answer back until the kernel runs.
        call = client.start_call(request, answer_seconds=None)
        try:
            reply = CreateReply.decode((await call.wait()).body, create.token)
        except BaseException as exc:
            if call.sent and not (isinstance(exc, ApiError) and exc.status < 500):
                await self._undo(call)  # noqa: ASYNC102 (it has a shield)
            raise
        finally:
            call.close()
        if not reply.created and not create.reuse:  # before 20.03 managers join all the same
            raise InvalidRequest(
                400,
                kind="kernel-already-exists",
                title=f"The token is taken: a kernel {create.token!r} exists; use another token",
                request=f"POST {path}",
            )
        return reply

    async def _undo(self, call: PendingCall) -> None:
        """Destroy what the create makes."""
        client, token = self._client, self._create.token
        grace = client.config.grace_seconds
        left = f"the server did not answer the create within {grace:g} s"
        with trio.move_on_after(grace, shield=True):
            try:
                with trio.move_on_after(max(grace - _LAST_SECONDS, grace / 2)):
                    await call.settle()
                if call.done:
                    await self._destroy_made(call)
                    return
                if not self._create.reuse:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_keep_destroying, client, token)
                        await call.settle()
                        nursery.cancel_scope.cancel()
                    await self._destroy_made(call)
                    return
            except BackendError as exc:
                left = str(exc)
        self.unsure = True
        _warn(client, token, left)

    async def _destroy_made(self, call: PendingCall) -> None:
        client, token = self._client, self._create.token
        try:
            reply = CreateReply.decode((await call.wait()).body, token)
        except ApiError as exc:
            if exc.status >= 500 and not self._create.reuse:
                await _destroy_unanswered(client, token)
            return
        except BackendError:
            if not self._create.reuse:
                await _destroy_unanswered(client, token)
            return
        if reply.created:
            await destroy_kernel(client, reply.token, reply.kernel_id)


async def wait_until_up(client: Client, reply: CreateReply) -> None:
    """Wait for a session that was created and does not run yet. Managers hand out such ones that
    somebody else is just creating, and up to 25.x those that died while they were created.

    Args:
        client: of the kernel's server.
        reply: the answer to the create.

    Raises:
        ServerError: it never will run.
    """
    address = address_of(client, reply.token, reply.kernel_id)
    status = reply.status.upper()
    pauses = backoff(0.1, longest=2.0)
    while status in COMING:
        await trio.sleep(next(pauses))
        try:
            status = (await kernel_info(client, address)).status.upper()
        except NotFound:
            status = "TERMINATED"  # such sessions are hidden
    if status in DEAD:
        raise ServerError(
            201,
            title=f"The server could not start the kernel {reply.token!r}: it is {status}",
            request=f"POST {client.era.create_path}",
        )


async def destroy_kernel(client: Client, token: str, kernel_id: str) -> Statistics | None:
    """Destroy a kernel that was there. One that is gone already is fine.

    A manager refuses as long as the kernel is being prepared, or is ending already (19.09 to
    25.12); it is asked again for the grace time.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        kernel_id: its id; the token where the server gives none.

    Returns:
        What it used in its life, where the server tells.

    Raises:
        ServerError: the server says that there is no such kernel, and lists it all the same.
        ApiError, ConnectionFailed: the server refused or failed, or could not be reached.

    Endpoint: ``DELETE /session/{name}`` (docs/protocol.md, section 3.6).
    """
    address = address_of(client, token, kernel_id)
    request = Request("DELETE", client.era.session_path(address))
    give_up = trio.current_time() + client.config.grace_seconds
    pauses = backoff(0.05, longest=0.5)
    while True:
        try:
            # No limit: managers answer when all that runs in the kernel has ended.
            reply = await client.call(request, answer_seconds=None)
            return Statistics.decode(reply.body)
        except NotFound:
            await _confirm_gone(client, token, kernel_id)
            return None
        except AuthError as exc:
            if exc.kind != NOT_NOW or trio.current_time() > give_up:
                raise
        await trio.sleep(next(pauses))


async def end_kernel(client: Client, token: str, kernel_id: str) -> tuple[bool, Statistics | None]:
    """Destroy a kernel at the end of its block. A failure is a `KernelLeftBehindWarning`.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        kernel_id: its id; the token where the server gives none.

    Returns:
        Whether the kernel has ended, and what it used.

    Cancellation:
        Leaves it the grace time (`Config.grace_seconds`). It is not raised.
    """
    limit, shield = _END_SECONDS, False
    left = ""
    for _ in range(2):
        try:
            with one_error(), trio.move_on_after(limit, shield=shield) as scope:
                return True, await destroy_kernel(client, token, kernel_id)
            if scope.cancelled_caught:
                left = f"it was not confirmed within {limit:g} s"
                break
        except trio.Cancelled:  # noqa: ASYNC103 (raised again by whatever comes next)
            limit, shield = client.config.grace_seconds, True
        except BackendError as exc:
            left = str(exc)
            break
    _warn(client, token, left)
    return False, None


async def _keep_destroying(client: Client, token: str) -> None:
    """Destroy by token, again and again, until cancelled.

    Not before it must be: a session that was still waiting for its resources may be started all
    the same, some time after its destroy was answered (docs/protocol.md, section 3.6).
    """
    request = Request("DELETE", client.era.session_path(token))
    for pause in backoff(0.1, longest=0.5):
        try:
            await client.call(request, answer_seconds=None)
        except BackendError:
            pass  # not there yet, or not to be destroyed yet
        await trio.sleep(pause)


async def _destroy_unanswered(client: Client, token: str) -> None:
    """Destroy what a create may have made that failed half-way."""
    request = Request("DELETE", client.era.session_path(token))
    give_up = trio.current_time() + _OVERTAKEN_SECONDS
    pauses = backoff(0.05, longest=0.5)
    while True:
        try:
            reply = await client.call(request, answer_seconds=None)
        except NotFound:
            gone = True
        except AuthError as exc:
            if exc.kind != NOT_NOW:
                raise
            gone = False
        else:
            # Seed servers answer 200 with null for a kernel that never was.
            gone = bool(client.era.prefix) and Statistics.decode(reply.body) is None
            if not gone:
                return
        if gone and trio.current_time() > give_up:
            return
        await trio.sleep(next(pauses))


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


def _warn(client: Client, token: str, left: str) -> None:
    warnings.warn(
        f"the kernel {token} at {client.config.endpoint.url} may still run, or come up later: "
        f"{left}. End it with: backend.ai rm {token}",
        KernelLeftBehindWarning,
        stacklevel=5,
    )
