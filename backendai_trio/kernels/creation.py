"""Creating kernels, so that none is left whose fate nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from ..config.kernel_journal import Note
from ..errors import ApiError, AuthError, BackendError, InvalidRequest, NotFound
from ..transport.client import Client
from ..transport.pending_call import PendingCall
from ..transport.retry import backoff
from ..wire.http import JSON, Request
from ..wire.kernel_states import NOT_NOW
from ..wire.kernels import CreateReply, CreateRequest, Statistics
from ..wire.resumable import RESUMABLE_STREAMS
from .kernel import TrioKernel
from .lifecycle import destroy_kernel, ending_seconds, following_seconds, warn_of_kernel
from .lookup import living_state
from .own_project import with_known_project, with_own_project
from .refused_creates import advice_for
from .shields import finish_within

__all__ = ["OVERTAKEN_SECONDS", "own_kernel"]

OVERTAKEN_SECONDS = 3.0
"""How long "not there" may still mean "not there yet" after a create that failed half-way. Measured
on manager 23.09.10: creates that were cut off after 20-100 ms came into being up to 0.5 s later."""
_LAST_SECONDS = 4.0
"""What is kept of the grace time for destroying by token when the create is not answered."""


@asynccontextmanager
async def own_kernel(
    client: Client, create: CreateRequest
) -> AsyncIterator[tuple[TrioKernel, CreateReply]]:
    """Create a kernel that ends with the block, whatever ends the block.

    One that was joined, or is released in the block, lives on. While the block lasts, a kernel that
    was to be created anew is in the client's journal; it stays there if it may be left.

    Args:
        client: of the server to create it on.
        create: what to create.

    Yields:
        The kernel, and the answer to its create. It may not run yet: `waiting.wait_until_up` waits
        for that.

    Raises:
        ApiError, ConnectionFailed: the create failed, and made nothing as far as is known.
        InvalidRequest: the token is taken.

    Cancellation:
        Leaves no kernel behind, at whatever point it comes; see `open_kernel`.

    Endpoint: ``POST /session`` (docs/protocol.md, section 3.2).
    """
    creation = _Creation(client, create)
    note = None if create.reuse else _note_of(client, create.token)
    kernel: TrioKernel | None = None
    ended = True
    try:
        reply = await creation.run()
        kernel = TrioKernel(client, reply)
        if note is not None:
            note.identify(kernel.kernel_id)
        yield kernel, reply
    finally:
        if kernel is not None and kernel.created and not kernel.released:
            ended = await kernel.destroy_or_warn()  # noqa: ASYNC102 (shielded if need be)
        if note is not None:
            note.close(forget=ended and not creation.unsure)


class _Creation:
    """A create, from before it is sent until it is known what came of it.

    Managers from 20.09 on are asked to answer at once, with the id of a session that waits for its
    resources: whatever ends the wait, the session can be destroyed by its id. Our own gateway is
    asked, too, and answers at once only if the kernel has to wait. Others answer when it runs.

    Attributes:
        unsure: whether a kernel may have been made, or may still be, that nobody will end.
    """

    def __init__(self, client: Client, create: CreateRequest) -> None:
        self.unsure = False
        self._client = client
        self._follows = client.era.takes_ids and not client.has(RESUMABLE_STREAMS)
        self._create = replace(create, enqueue_only=client.era.takes_ids)

    async def run(self) -> CreateReply:
        """Send the create, and wait for its answer.

        Returns:
            The answer. The kernel may not run yet: `waiting.wait_until_up` waits for that.

        Raises:
            ApiError, ConnectionFailed: the create failed, and made nothing as far as is known.
            InvalidRequest: the token is taken.

        Cancellation:
            Is raised when the answer has come and what it made is destroyed, or when the time for
            that is over (`following_seconds`; the grace time before 20.09). A manager's answer is
            waited for, since only that says what has become of the create: a kernel may come up
            long after a destroy found nothing.
        """
        spec = self._create.spec
        sent = with_known_project(self._client, spec)
        self._create = replace(self._create, spec=sent)
        try:
            return await self._send()
        except ApiError as exc:
            refusal = exc
        other = await with_own_project(self._client, spec, sent, refusal)
        if other is None:
            raise refusal
        self._create = replace(self._create, spec=other)
        return await self._send()

    async def _send(self) -> CreateReply:
        client, create = self._client, self._create
        path = client.era.create_path
        request = Request("POST", path, (), create.encode(client.era), JSON)
        # No limit: some managers hold the answer back until the kernel runs.
        call = client.start_call(request, head_seconds=None)
        try:
            reply = CreateReply.decode((await call.wait()).body, create.token)
        except BaseException as exc:
            if isinstance(exc, ApiError):
                exc.advice = exc.advice or advice_for(exc, create.spec)
            if call.sent and not (isinstance(exc, ApiError) and exc.status < 500):
                await self._undo(call)  # noqa: ASYNC102 (it has a shield)
            raise
        finally:
            call.close()
        if not reply.created and not create.reuse:  # before 20.03 managers join all the same
            error = InvalidRequest(
                400,
                kind="kernel-already-exists",
                title=f"The token is taken: a kernel {create.token!r} exists",
                request=f"POST {path}",
            )
            error.advice = advice_for(error, create.spec)
            raise error
        return reply

    async def _undo(self, call: PendingCall) -> None:
        """Destroy what the create makes."""
        client, token = self._client, self._create.token
        grace = client.config.grace_seconds
        limit = following_seconds(client) if self._follows else grace
        left = f"the server did not answer the create within {limit:g} s"
        most = ending_seconds(client) if self._follows else grace
        with finish_within(most):
            try:
                with trio.move_on_after(limit):
                    with trio.move_on_after(max(grace - _LAST_SECONDS, limit / 2)):
                        await call.settle()
                    if not call.done and not self._create.reuse:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(_keep_destroying, client, token)
                            await call.settle()
                            nursery.cancel_scope.cancel()
                if call.done:
                    left = f"its end was not confirmed within {most:g} s"
                    if not (left := await self._destroy_made(call)):
                        return
            except BackendError as exc:
                left = str(exc)
        self.unsure = True
        warn_of_kernel(client, token, left)

    async def _destroy_made(self, call: PendingCall) -> str:
        """Destroy what an answered create has made.

        Returns:
            What speaks for a kernel that may be left; ``""`` if nothing does.
        """
        client, token = self._client, self._create.token
        try:
            reply = CreateReply.decode((await call.wait()).body, token)
        except BackendError as exc:
            if isinstance(exc, ApiError) and exc.status < 500:
                return ""
            if self._create.reuse:  # it may be another's: it is told, and not ended
                return await self._what_may_be_left(exc)
            await _destroy_unanswered(client, token)
            return ""
        if reply.created:
            await destroy_kernel(client, reply.token, reply.kernel_id, started=reply.runs)
        return ""

    async def _what_may_be_left(self, failure: BackendError) -> str:
        """What speaks for a kernel after a create that broke half-way; ``""`` if nothing does."""
        token = self._create.token
        status = await living_state(self._client, token, token)
        if status is not None:
            return f"the create failed ({failure}), and the server lists it as {status}"
        if isinstance(failure, ApiError):
            return ""  # the server has answered when it was done with it
        return f"the create broke half-way ({failure})"


async def _keep_destroying(client: Client, token: str) -> None:
    """Destroy by token, again and again, until cancelled.

    Not before it must be: a session that was still waiting for its resources may be started all
    the same, some time after its destroy was answered (docs/protocol.md, section 3.6).
    """
    request = Request("DELETE", client.era.session_path(token))
    for pause in backoff(0.1, longest=0.5):
        try:
            await client.call(request, head_seconds=None)
        except BackendError:
            pass  # not there yet, or not to be destroyed yet
        await trio.sleep(pause)


async def _destroy_unanswered(client: Client, token: str) -> None:
    """Destroy what a create may have made that failed half-way."""
    request = Request("DELETE", client.era.session_path(token))
    give_up = trio.current_time() + OVERTAKEN_SECONDS
    pauses = backoff(0.05, longest=0.5)
    while True:
        try:
            reply = await client.call(request, head_seconds=None)
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


def _note_of(client: Client, token: str) -> Note | None:
    """An entry in the client's journal, from before the kernel is created."""
    if client.journal is None:
        return None
    config = client.config
    return client.journal.note(token, url=config.endpoint.url, access_key=config.access_key)
