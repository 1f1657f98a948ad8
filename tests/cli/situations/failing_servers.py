"""Servers that are not there, fail, or are others than the one that was meant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ...transport.servers import (
    HELLO,
    KEYS,
    closed_port,
    reply,
    serving,
)
from .registry import (
    SITUATIONS,
    Variables,
    answering,
    page,
    silent,
    situation,
    variables_of,
)


@situation
@asynccontextmanager
async def no_one_listens(work: Path) -> AsyncIterator[Variables]:
    yield {**variables_of(KEYS), "BACKEND_ENDPOINT": f"http://127.0.0.1:{await closed_port()}"}


def _answers(name: str, *replies: bytes) -> None:
    """A server with these answers, the last one again and again."""

    @asynccontextmanager
    async def answers(work: Path) -> AsyncIterator[Variables]:
        async with serving(answering(*replies)) as config:
            yield variables_of(config)

    SITUATIONS[name] = answers


def _problem(status: int, kind: str, title: str, message: str = "", *headers: str) -> bytes:
    problem = (
        f'{{"type": "https://api.backend.ai/probs/{kind}", "title": "{title}", "msg": "{message}"}}'
    )
    return reply(status, problem.encode(), "application/problem+json", *headers)


for _status, _title in ((502, "Bad Gateway"), (503, "Maintenance"), (504, "Gateway Timeout")):
    _answers(f"a page of {_status}", page(_status, f"{_status} {_title}"))
    _answers(f"a page of {_status} later", HELLO, page(_status, f"{_status} {_title}"))
_answers("a page of 404", page(404, "Not Found"))
_answers("a page of 500", page(500, "Oops"))
_answers("a web site", page(200, "Welcome to nginx!"))
_answers("another API", reply(200, b'{"name": "x"}', "application/json"))
_answers("a redirect", reply(301, b"", "text/html", "Location: https://other.example.com/"))
_answers(
    "a redirect later", HELLO, reply(302, b"", "text/html", "Location: https://sso.example.com/")
)
_answers("a mail server", b"220 mail.example ESMTP\r\n")
_answers("an SSH server", b"SSH-2.0-OpenSSH_9.6\r\n")
_answers("a server that closes", b"")
_answers(
    "a user without permission",
    HELLO,
    _problem(403, "generic-forbidden", "You do not have permission to access this resource."),
)
_answers(
    "a blocked key pair", HELLO, _problem(401, "auth-failed", "Credential/signature mismatch.")
)
_answers(
    "a limit of kernels",
    HELLO,
    _problem(412, "quota-exceeded", "You have reached your resource limit.", "5 sessions"),
)
_RATE_LIMIT = _problem(
    429,
    "rate-limit-exceeded",
    "You have reached your API query rate limit.",
    "",
    "Retry-After: 900",  # longer than a command waits: it gives up at once
)
_answers("a rate limit", HELLO, _RATE_LIMIT)
_answers("a page of 429", page(429, "429 Too Many Requests"))
_answers("a page of 429 later", HELLO, page(429, "429 Too Many Requests"))
_answers("a failure of the server", HELLO, _problem(500, "internal-server-error", "Internal error"))
_answers("a problem without words", HELLO, reply(500, b"", "text/plain"))
_answers("a clock that is off", HELLO, _problem(400, "invalid-auth-params", "Date/time sync error"))
_answers("a page in place of an answer", HELLO, page(200, "Log in to the network"))
_answers("JSON that is torn", HELLO, reply(200, b'{"result": ', "application/json"))


@situation
@asynccontextmanager
async def a_silent_server(work: Path) -> AsyncIterator[Variables]:
    async with serving(silent) as config:
        yield {**variables_of(config), "BACKEND_READ_TIMEOUT": "0.2"}


@situation
@asynccontextmanager
async def a_silent_https_server(work: Path) -> AsyncIterator[Variables]:
    async with serving(silent) as config:
        yield {
            **variables_of(config),
            "BACKEND_ENDPOINT": f"https://{config.endpoint.host_header}",
            "BACKEND_CONNECTION_TIMEOUT": "0.2",
        }
