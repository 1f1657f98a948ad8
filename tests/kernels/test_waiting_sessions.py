"""Kernels of managers, where the gateway's are not like them: servers that say what those say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from backendai_trio import (
    KernelLeftBehindWarning,
    KernelSpec,
    QuotaExceeded,
    ServerError,
    open_kernel,
)
from backendai_trio.wire.http import Request, Response

from ..transport.servers import client_of, reply


def session(status: str, http: int = 200) -> bytes:
    body = {"sessionId": "an-id", "sessionName": "abc", "status": status, "image": "python"}
    return reply(http, json.dumps(body).encode(), "application/json")


def not_now() -> bytes:
    body = b'{"type": "https://api.backend.ai/probs/generic-forbidden", "title": "Not now"}'
    return reply(403, body, "application/problem+json")


GONE = reply(404, b'{"type": "session-not-found", "title": "Gone"}', "application/problem+json")
# A destroy's 404 is believed when neither the name nor the id nor a list shows the session.
NOWHERE = [GONE] * 5
PYTHON = KernelSpec(runtime="python")


async def test_kernel_that_is_still_prepared_is_waited_for_and_destroyed() -> None:
    """A manager may hand out a session that does not run yet, and refuses to destroy it so soon."""
    replies = session("PENDING", 201), session("PREPARING"), session("RUNNING"), not_now()
    async with (
        client_of(*replies, *NOWHERE) as client,
        open_kernel(client, PYTHON, token="abc") as kernel,
    ):
        assert kernel.kernel_id == "an-id"


async def test_kernel_that_cannot_be_destroyed_is_told() -> None:
    async with client_of(session("RUNNING", 201), *[not_now()] * 100) as client:
        client.config = replace(client.config, grace_seconds=0.3)
        with pytest.warns(KernelLeftBehindWarning, match="Not now"):
            async with open_kernel(client, PYTHON, token="abc"):
                pass


@pytest.mark.parametrize("status", ["CANCELLED", "TERMINATED", "ERROR"])
async def test_kernel_that_could_not_be_started(status: str) -> None:
    """Managers up to 25.x answer 201 all the same."""
    async with client_of(session(status, 201), *NOWHERE) as client:
        with pytest.raises(ServerError, match=f"could not start the kernel 'abc': it is {status}"):
            async with open_kernel(client, PYTHON, token="abc"):
                pass


@pytest.mark.parametrize("last", ["gone", "refused"])
async def test_kernel_that_is_given_up_while_it_is_prepared(last: str) -> None:
    """It is destroyed, since it may come into being yet, whatever ends the wait."""
    refusal = reply(429, b'{"type": "rate-limit-exceeded"}', "application/problem+json")
    end, error = {
        "gone": (GONE, pytest.raises(ServerError, match="it is TERMINATED")),
        "refused": (refusal, pytest.raises(QuotaExceeded)),
    }[last]
    rest = [session("PENDING", 201), end, reply(200, b"{}", "application/json")]
    async with client_of(*rest) as client:
        destroyed: list[Request] = []
        call = client.call

        async def noted(request: Request, **options: Any) -> Response:
            destroyed.extend([request] if request.method == "DELETE" else [])
            return await call(request, **options)

        client.call = noted  # type: ignore[method-assign, assignment]
        with error:
            async with open_kernel(client, PYTHON, token="abc"):
                pass
        assert [request.path for request in destroyed] == ["/session/an-id"]
