"""Requests whose answer must not be lost: they go on when whoever waits for them is cancelled."""

from __future__ import annotations

import trio

from ..errors import BackendError
from ..transport.client import Client
from ..wire.http import Request, Response

__all__ = ["PendingCall"]


class PendingCall:
    """A request under way, in a task of its own.

    A request that was sent may have had its effect, and its answer is all that says so. So the task
    is shielded from the cancellation of its nursery; the nursery's block ends it with `cancel`,
    when it has waited for the answer for as long as it can.

    Args:
        nursery: for the task.
        client: of the server.
        request: what to send.
        answer_seconds: limit for each wait on the answer; None for no limit.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        client: Client,
        request: Request,
        *,
        answer_seconds: float | None,
    ) -> None:
        self._client = client
        self._request = request
        self._answer_seconds = answer_seconds
        self.finished = trio.Event()
        """Set when the answer has come, or the request has failed."""
        self._scope = trio.CancelScope(shield=True)
        self._reply: Response | None = None
        self._failure: BackendError | trio.ClosedResourceError | None = None
        nursery.start_soon(self._run)

    async def wait(self) -> Response:
        """Wait for the answer; may be repeated.

        Raises:
            BackendError: the request failed, or was given up.

        Cancellation: the request goes on.
        """
        await self.finished.wait()
        if self._failure is not None:
            raise self._failure
        assert self._reply is not None
        return self._reply

    def cancel(self) -> None:
        """Give the request up."""
        self._scope.cancel()

    async def _run(self) -> None:
        try:
            with self._scope:
                self._reply = await self._client.call(
                    self._request, answer_seconds=self._answer_seconds
                )
        except (BackendError, trio.ClosedResourceError) as exc:
            self._failure = exc
        finally:
            if self._reply is None and self._failure is None:
                self._failure = trio.ClosedResourceError(f"{self._request} was given up")
            self.finished.set()
