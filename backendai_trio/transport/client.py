"""Signed HTTP requests over a pool of connections."""

from __future__ import annotations

import logging
import math
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import trio

from ..config.environment import read_config
from ..config.kernel_journal import Journal
from ..config.settings import Config, Endpoint
from ..errors import ApiError, ConfigError, RemoteProtocolError, api_error
from ..wire.http import Reply, Request, decode_problem
from ..wire.signing import body_is_signed
from ..wire.versions import SEED, SESSION_6, Era, Hello, choose_era
from .auth import authorization_of
from .pool import open_pool, tls_context
from .requests import Exchanges, Head, Sent
from .responses import ResponseStream, translated

__all__ = ["HEADERS_SECONDS", "Client", "log", "open_client"]

# Requests, a line each. Headers, query and body are left out: they may hold secrets.
log = logging.getLogger("backendai_trio.http")

HEADERS_SECONDS = 60.0
"""Limit for the first byte of an ordinary answer. Long polls answer within about 2 s."""


class Client:
    """A server to talk to. Made by `open_client`, closed when its block ends.

    It holds connections but runs no task, so any number of tasks may use it at once.

    Attributes:
        config: the settings it was opened with.
        hello: what the server said of itself.
        era: how it is spoken to.
        tls: the TLS context of all its connections to the server; None for plain HTTP.
        journal: where kernels are written down that end with their blocks; None for nowhere.
        closed: whether its block has ended; calls then raise `trio.ClosedResourceError`.
        turns: of runs that wait for each other, by the kernel they are in.
        waiting_runs: ids of runs that wait for an answer while nothing reads their output, by the
            kernel they are in.
    """

    def __init__(
        self,
        pool: Exchanges,
        config: Config,
        tls: ssl.SSLContext | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._pool = pool
        self.tls: Final = tls
        self._authorization = authorization_of(config)
        self._api = config.api
        self._own_headers = {
            "Host": config.endpoint.host_header,
            "User-Agent": config.user_agent,
        }
        self._heads: dict[tuple[str, str, str], Head] = {}
        self._second = 0
        # Final, since requests are addressed and signed as it says from the start.
        self.config: Final = config
        self.hello = Hello(SESSION_6.version)
        self.era = SESSION_6
        self.journal = journal
        self.closed = False
        self.turns: dict[str, trio.Semaphore] = {}
        self.waiting_runs: dict[str, str] = {}

    def has(self, feature: str) -> bool:
        """Whether the server announces an ability beyond its era's (our own gateway does)."""
        return feature in self.hello.features

    async def call(
        self,
        request: Request,
        *,
        content: AsyncIterator[bytes] | None = None,
        content_length: int | None = None,
        answer_seconds: float | None = HEADERS_SECONDS,
    ) -> Reply:
        """Sign a request, send it, and return the answer if it is a success.

        Args:
            request: what to send.
            content: the body as a stream, instead of `request.body`.
            content_length: its size in bytes; None sends it chunked.
            answer_seconds: limit for each wait on the answer; None for answers that may take
                minutes, such as the one to create. TCP keep-alive then notices a dead peer.

        Raises:
            ApiError: the server answered with an error (its subclasses say which kind).
            ConnectionFailed: no connection, or no answer in time.
            RemoteProtocolError: the answer was not HTTP, or larger than 256 MiB.

        Cancellation:
            The request may have reached the server or not.
        """
        stream = await self._send(
            request, self._signed_head(request), answer_seconds, content, content_length
        )
        try:
            reply = await stream.read_all()
        finally:
            await stream.aclose()  # waits for nothing, or is shielded where the library has it
        if reply.status >= 300:
            raise self.error(request, reply)
        return reply

    @asynccontextmanager
    async def stream(
        self, request: Request, *, silence_seconds: float | None = HEADERS_SECONDS
    ) -> AsyncIterator[ResponseStream]:
        """Sign a request, send it, and give its answer piece by piece if it is a success.

        Args:
            request: what to send.
            silence_seconds: limit for each wait on the answer's headers and pieces.

        Raises:
            ApiError: the server answered with an error (its subclasses say which kind).
            ConnectionFailed: no connection, or no answer in time.
        """
        sent = await self._send(request, self._signed_head(request), silence_seconds)
        async with aclosing(sent) as stream:
            if stream.status >= 300:
                raise self.error(request, await stream.read_all())
            yield stream

    @asynccontextmanager
    async def transfer(
        self,
        request: Request,
        *,
        at: Endpoint | None = None,
        headers: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
        content_length: int = 0,
    ) -> AsyncIterator[ResponseStream]:
        """Send part of a file, or get one, where the server said.

        Args:
            request: what to send.
            at: a storage proxy, where a token in the query says all: nothing is signed, and no key
                is sent. None: this server, signed.
            headers: further ones.
            content: the body as a stream.
            content_length: its size in bytes.

        Raises:
            ApiError: the server answered with an error (its subclasses say which kind).
            ConnectionFailed: no connection, or no answer in time.
        """
        if at is None:
            everything = self.signed_headers(request)
        else:
            self._check_open()
            everything = {"Host": at.host_header, "User-Agent": self.config.user_agent}
        async with self.open_reply(
            request,
            everything | dict(headers or {}),
            at=at,
            content=content,
            content_length=content_length,
            silence_seconds=HEADERS_SECONDS,
        ) as stream:
            if stream.status >= 300:
                raise self.error(request, await stream.read_all())
            yield stream

    def signed_headers(self, request: Request, *, body_digest: str | None = None) -> dict[str, str]:
        """The headers of a request, with what lets it in among them: its signature, or a cookie.

        Args:
            request: what is to be sent.
            body_digest: hexadecimal hash (`Config.hash_name`) of a body that is sent as a stream.

        Raises:
            trio.ClosedResourceError: the client's block has ended.
            ConfigError: a login is needed, and there is none.
        """
        self._check_open()
        headers = self.plain_headers(request)
        version = headers["X-BackendAI-Version"] = self.era.version
        return headers | self._authorization.headers(
            request, date=headers["Date"], version=version, body_digest=body_digest
        )

    def plain_headers(self, request: Request) -> dict[str, str]:
        """The headers of a request that nobody has to be let in for."""
        return self._own_headers | {
            "Date": datetime.now(UTC).isoformat(timespec="seconds"),
            "Content-Type": request.content_type,
        }

    def _signed_head(self, request: Request) -> Head:
        """The head of a request, with `signed_headers`.

        Those of requests that are alike are the same for a second, the grain of their date, unless
        the body is signed: they are made once. That is a quarter of a small request's work.
        """
        self._check_open()
        if self._second != (second := int(time.time())):
            self._second = second
            self._heads.clear()
        key = request.method, request.target, request.content_type
        head = self._heads.get(key)
        if head is None:
            head = self._head(request, self.signed_headers(request))
            if not body_is_signed(self.era.version, request.content_type):
                self._heads[key] = head
        return head

    def _head(
        self, request: Request, headers: Mapping[str, str], at: Endpoint | None = None
    ) -> Head:
        endpoint = at or self._api
        return Head(request.method, endpoint.base_path + request.target, headers)

    async def negotiate(self) -> None:
        """Ask the server for its version and choose how to speak to it (contract section 1.3).

        Raises:
            ConnectionFailed: it cannot be reached.
            ConfigError: what answers there is not a Backend.AI server.
        """
        era: Era | None = None
        try:
            reply = await self._probe("/")
            if reply.status in (400, 404):
                # Managers 1.0 to 1.2 know no root; they say hello at /v2 (and check the clock).
                reply, era = await self._probe(SEED.hello_path), SEED
            if reply.status != 200:
                raise RemoteProtocolError(f"it answered with HTTP status {reply.status}")
            self.hello = Hello.decode(reply.body)
        except RemoteProtocolError as exc:
            raise ConfigError(
                "BACKEND_ENDPOINT",
                f"{self.config.endpoint.url} is not a Backend.AI server ({exc}); "
                "check the address and its path",
            ) from None
        self.era = era or choose_era(self.hello)

    async def _probe(self, path: str) -> Reply:
        request = Request("GET", path)
        headers = self.plain_headers(request)
        del headers["Content-Type"]
        async with self.open_reply(request, headers, silence_seconds=HEADERS_SECONDS) as stream:
            return await stream.read_all()

    @asynccontextmanager
    async def open_reply(
        self,
        request: Request,
        headers: Mapping[str, str],
        *,
        at: Endpoint | None = None,
        content: AsyncIterator[bytes] | None = None,
        content_length: int | None = None,
        silence_seconds: float | None,
    ) -> AsyncIterator[ResponseStream]:
        """Send a request under headers that are ready, and give its answer whatever its status.

        Args:
            request: what to send.
            headers: all that are sent but for the body's size, those of `signed_headers` included.
            at: where, if not where the API is.
            content: the body as a stream, instead of `request.body`.
            content_length: its size in bytes; None sends it chunked.
            silence_seconds: limit for each wait on the answer's headers and pieces.

        Raises:
            ConnectionFailed: no connection, or no answer in time.
            RemoteProtocolError: the answer was not HTTP.
        """
        head = self._head(request, headers, at)
        sent = await self._send(request, head, silence_seconds, content, content_length, at)
        async with aclosing(sent) as stream:
            yield stream

    async def _send(
        self,
        request: Request,
        head: Head,
        silence_seconds: float | None,
        content: AsyncIterator[bytes] | None = None,
        content_length: int | None = None,
        at: Endpoint | None = None,
    ) -> ResponseStream:
        """Send a request and wait for the head of its reply."""
        endpoint = at or self._api
        body, size = (content, content_length) if content else (request.body, len(request.body))
        sent = Sent(
            endpoint,
            head,
            body,
            size,
            connect_seconds=self.config.connect_seconds,
            write_seconds=HEADERS_SECONDS,
            read_seconds=math.inf if silence_seconds is None else silence_seconds,
        )
        start = trio.current_time()
        with translated(endpoint, request, self.config.connect_seconds):
            received = await self._pool.exchange(sent)
        if log.isEnabledFor(logging.DEBUG):
            elapsed = (trio.current_time() - start) * 1000
            log.debug("%s at %s -> %d, %.0f ms", request, endpoint.url, received.status, elapsed)
        return ResponseStream(endpoint, request, received)

    def _check_open(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError("this client was closed")

    def error(self, request: Request, reply: Reply) -> ApiError:
        """What a reply that is no success means."""
        if reply.status < 400:
            # Following it would hand the signature to another address.
            return api_error(
                reply.status,
                title="The server redirects, and signed requests are not sent on; "
                f"set BACKEND_ENDPOINT to where it points: {reply.headers.get('location', '?')!r}",
                request=str(request),
            )
        error = decode_problem(reply).as_error(str(request))
        if error.status == 401:
            error.advice = self._authorization.advice
        return error


@asynccontextmanager
async def open_client(
    config: Config | None = None, *, journal: Journal | None = None
) -> AsyncIterator[Client]:
    """Open a client and agree with the server on a version.

    Args:
        config: the settings; None reads them from the environment (`read_config`).
        journal: where to write down the kernels of `open_kernel` while they live, so that somebody
            can end them should this process be killed.

    Raises:
        ConfigError: nothing is configured, or what answers there is not a Backend.AI server.
        ConnectionFailed: the server cannot be reached.

    Endpoint: ``GET /``, and ``GET /v2`` where that is not known.
    """
    config = config or read_config()
    if config is None:
        raise ConfigError(
            "BACKEND_ENDPOINT",
            "not set; set it with BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY, "
            "or open a gateway of your own with open_gateway()",
        )
    tls = tls_context(config)
    async with open_pool(config, tls) as pool:
        client = Client(pool, config, tls, journal)
        try:
            await client.negotiate()
            yield client
        finally:
            client.closed = True
