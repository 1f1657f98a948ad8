"""Signed HTTP requests over a pool of connections."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import trio

from ..config.environment import read_config
from ..config.kernel_journal import Journal
from ..config.settings import Config, Endpoint
from ..errors import ApiError, ConfigError, ConnectionFailed, RemoteProtocolError, api_error
from ..wire.http import Request, Response, decode_problem
from ..wire.versions import SEED, SESSION_6, Hello, choose_era
from .auth import authorization_of
from .exceptions import map_exceptions
from .limits import Limits
from .pending_call import PendingCall
from .pool import ConnectionPool
from .requests import OutgoingRequest
from .responses import ResponseStream, log_response
from .tls import tls_context

__all__ = ["ANSWER_SECONDS", "Client", "open_client"]

ANSWER_SECONDS = 60.0
"""Limit for each wait on an ordinary response. Long polls answer within about 2 s."""

_CLOCK_ADVICE = (
    "servers take requests whose date is at most 15 minutes away from their own: set the clock of "
    "this machine; 'backend.ai doctor' shows the difference"
)
_UNAVAILABLE = frozenset({502, 503, 504})


class Client:
    """A server to talk to. Made by `open_client`, closed when its block ends.

    It holds connections but runs no task, so any number of tasks may use it at once.

    Attributes:
        config: the settings it was opened with.
        hello: what the server said of itself.
        era: how it is spoken to.
        tls: the TLS context of all its connections to the server; None for plain HTTP.
        journal: where kernels are written down that end with their blocks; None for nowhere.
        limits: how much it takes from a server.
        closed: whether its block has ended; calls then raise `trio.ClosedResourceError`.
        turns: of runs that wait for each other, by the kernel they are in.
        ready_kernels: those that are known to run code, where their create did not say so.
        waiting_runs: ids of runs that wait for an answer while nothing reads their output, by the
            kernel they are in.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        config: Config,
        tls: ssl.SSLContext | None = None,
        journal: Journal | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._pool = pool
        self.tls: Final = tls
        self.limits: Final = limits or Limits()
        self._authorization = authorization_of(config)
        self._api = config.api
        # Final, since requests are addressed and signed as it says from the start.
        self.config: Final = config
        self.hello = Hello(SESSION_6.version)
        self.era = SESSION_6
        self.journal = journal
        self.closed = False
        self.turns: dict[str, Any] = {}
        self.ready_kernels: set[str] = set()
        self.waiting_runs: dict[str, str] = {}

    def has(self, feature: str) -> bool:
        """Whether the server announces an ability beyond its era's (our own gateway does).

        Args:
            feature: its name, as `backendai_trio.wire` spells it.
        """
        return feature in self.hello.features

    async def call(
        self,
        request: Request,
        *,
        content: AsyncIterator[bytes] | None = None,
        content_length: int | None = None,
        answer_seconds: float | None = ANSWER_SECONDS,
    ) -> Response:
        """Sign a request, send it, and return the response if it is a success.

        Args:
            request: what to send.
            content: the body as a stream, instead of `request.body`.
            content_length: its size in bytes; None sends it chunked.
            answer_seconds: limit for each wait on the response; None for one that may take minutes,
                such as that to a create. TCP then notices a dead peer.

        Raises:
            ApiError: the server answered with an error (its subclasses say which kind).
            ConnectionFailed: no connection, or no response in time.
            RemoteProtocolError: the response is not HTTP, or exceeds `Limits.max_body_bytes`.
            LocalProtocolError: the request cannot be sent.
            Exception: what `content` raised.

        Cancellation:
            The request may have reached the server or not.
        """
        stream = await self._open(
            request, self._api, self.signed_headers(request), content, content_length,
            answer_seconds,
        )  # fmt: skip
        try:
            response = await stream.read_all()
        finally:
            stream.close()
        if response.status >= 300:
            raise self.error(request, response)
        return response

    def start_call(
        self, request: Request, *, answer_seconds: float | None = ANSWER_SECONDS
    ) -> PendingCall:
        """A call whose answer is not lost when the wait for it is cancelled.

        Args:
            request: what to send; it is signed now, and sent by the first `PendingCall.wait`.
            answer_seconds: as for `call`.

        Raises:
            trio.ClosedResourceError: the client's block has ended.
            ConfigError: a login is needed, and there is none.
        """
        headers = self.signed_headers(request)
        outgoing = self._outgoing(request, self._api, headers, answer_seconds)
        return PendingCall(
            self._pool, request, outgoing, self.error, max_bytes=self.limits.max_body_bytes
        )

    @asynccontextmanager
    async def request(
        self,
        request: Request,
        *,
        at: Endpoint | None = None,
        sign: bool = True,
        headers: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
        content_length: int | None = None,
        answer_seconds: float | None = ANSWER_SECONDS,
        check_status: bool = True,
        decode: bool = True,
    ) -> AsyncIterator[ResponseStream]:
        """Send a request, and give its response while the body is on its way.

        Args:
            request: what to send.
            at: another server, such as a storage proxy, where a token in the query lets the request
                in. It is not signed then, and no key is sent. None: the client's server.
            sign: False for a request to the client's server that is not signed.
            headers: further ones; they replace those of the same name.
            content: the body as a stream, instead of `request.body`.
            content_length: its size in bytes; None sends it chunked.
            answer_seconds: limit for each wait on the response, its head or a part of its body;
                None for none.
            check_status: False gives a response of any status.
            decode: False gives the body as it came, in the coding of its ``Content-Encoding``.

        Raises:
            ApiError: the server answered with an error, and `check_status` is set.
            ConnectionFailed, RemoteProtocolError, LocalProtocolError: as for `call`.
            Exception: what `content` raised.

        Cancellation:
            The request may have reached the server or not.
        """
        if sign and at is None:
            base = self.signed_headers(request)
        else:
            self._check_open()
            host = (at or self.config.endpoint).host_header
            base = {"Host": host, "User-Agent": self.config.user_agent}
        stream = await self._open(
            request, at or self._api, base | dict(headers or {}), content, content_length,
            answer_seconds, decode=decode,
        )  # fmt: skip
        try:
            if check_status and stream.status >= 300:
                raise self.error(request, await stream.read_all())
            yield stream
        finally:
            stream.close()

    def signed_headers(self, request: Request, *, body_digest: str | None = None) -> dict[str, str]:
        """The headers of a request with its authorization: a signature, or a cookie.

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
        """The headers of a request that needs no authorization.

        Args:
            request: what is to be sent.
        """
        return {
            "Host": self.config.endpoint.host_header,
            "User-Agent": self.config.user_agent,
            "Date": datetime.now(UTC).isoformat(timespec="seconds"),
            "Content-Type": request.content_type,
        }

    async def negotiate(self) -> None:
        """Ask the server for its version and choose how to speak to it.

        Raises:
            ConnectionFailed: it cannot be reached.
            ServerError: it answers 502, 503 or 504: it starts, or what stands before it cannot
                reach it.
            ConfigError: what answers there is not a Backend.AI server.

        Endpoint: ``GET /`` or ``GET /v2`` (docs/protocol.md, section 1.3).
        """
        hello_path = "/"
        try:
            response = await self._probe(hello_path)
            if response.status in (400, 404):
                # Managers 1.0 to 1.2 know no root; they say hello at /v2 (and check the clock).
                hello_path = SEED.hello_path
                response = await self._probe(hello_path)
            if response.status in _UNAVAILABLE:
                error = self.error(Request("GET", "/"), response)
                error.advice = (
                    f"{self.config.endpoint.url} is not up, or what stands before it cannot reach "
                    "it; try again later, and check BACKEND_ENDPOINT"
                )
                raise error
            if 300 <= response.status < 400:
                raise RemoteProtocolError(f"it redirects to {response.headers.get('location')!r}")
            if response.status != 200:
                raise RemoteProtocolError(f"it answered with HTTP status {response.status}")
            self.hello = Hello.decode(response.body)
        except RemoteProtocolError as exc:
            raise ConfigError(
                "BACKEND_ENDPOINT",
                f"{self.config.endpoint.url} is not a Backend.AI server ({exc}); "
                "check the address and its path",
            ) from None
        era = choose_era(self.hello) if hello_path == "/" else SEED
        self.era = replace(era, hello_path=hello_path)

    async def _probe(self, path: str) -> Response:
        request = Request("GET", path)
        date = {"Date": self.plain_headers(request)["Date"]}
        async with self.request(request, sign=False, headers=date, check_status=False) as stream:
            return await stream.read_all()

    async def _open(
        self,
        request: Request,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        content: AsyncIterator[bytes] | None,
        content_length: int | None,
        answer_seconds: float | None,
        *,
        decode: bool = True,
    ) -> ResponseStream:
        """Send a request and receive the head of its response. The caller closes the stream."""
        outgoing = self._outgoing(request, endpoint, headers, answer_seconds)
        if content is not None:
            outgoing = replace(outgoing, content=content, content_length=content_length)
        start = trio.current_time()
        with map_exceptions(endpoint, request):
            incoming = await self._pool.request(outgoing)
        log_response(request, endpoint, incoming.status, start)
        try:
            return ResponseStream(
                endpoint, request, incoming, self.limits.max_body_bytes, decode=decode
            )
        except BaseException:  # in an unknown content coding
            incoming.close()
            raise

    def _outgoing(
        self,
        request: Request,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        answer_seconds: float | None,
    ) -> OutgoingRequest:
        return OutgoingRequest(
            endpoint,
            request.method,
            endpoint.base_path + request.target,
            headers,
            request.body,
            len(request.body),
            math.inf if answer_seconds is None else answer_seconds,
        )

    def _check_open(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError("this client was closed")

    def error(self, request: Request, response: Response) -> ApiError:
        """The error that a response with a status of 300 or more means.

        Args:
            request: what was sent.
            response: its whole response.
        """
        if response.status < 400:
            # Following it would hand the signature to another address.
            where = response.headers.get("location", "?")
            return api_error(
                response.status,
                title="The server redirects, and signed requests are not sent on; "
                f"set BACKEND_ENDPOINT to where it points: {where!r}",
                request=str(request),
            )
        error = decode_problem(response).as_error(str(request))
        if error.status == 401:
            error.advice = self._authorization.advice
        elif error.kind == "invalid-auth-params" and "sync" in error.reason:
            error.advice = _CLOCK_ADVICE
        return error


@asynccontextmanager
async def open_client(
    config: Config | None = None,
    *,
    journal: Journal | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Client]:
    """Open a client and agree with the server on a version.

    Args:
        config: the settings; None reads them from the environment (`read_config`).
        journal: where to write down the kernels of `open_kernel` while they live, so that they can
            be ended should this process be killed.
        limits: how much to take from the server; None for `Limits()`.

    Raises:
        ConfigError: nothing is configured, or what answers there is not a Backend.AI server.
        ConnectionFailed: the server cannot be reached.
        ServerError: it is not available now (HTTP status 502, 503 or 504).

    Endpoint: ``GET /``, and ``GET /v2`` where that is not known (docs/protocol.md, section 1.3).
    """
    config = config or read_config()
    if config is None:
        raise ConfigError(
            "BACKEND_ENDPOINT",
            "not set; set it with BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY, "
            "or open a gateway of your own with open_gateway()",
        )
    limits = limits or Limits()
    tls = tls_context(config)
    async with AsyncExitStack() as stack:
        for address, others_left in _addresses(config):
            pool = await stack.enter_async_context(ConnectionPool(address, tls, limits))
            client = Client(pool, address, tls, journal, limits)
            try:
                await client.negotiate()
                break
            except ConnectionFailed:
                if not others_left:
                    raise
        try:
            yield client
        finally:
            client.closed = True


def _addresses(config: Config) -> Iterator[tuple[Config, bool]]:
    """The settings with each address of the server, and whether others follow."""
    endpoints = (config.endpoint, *config.other_endpoints)
    for number, endpoint in enumerate(endpoints, 1):
        yield replace(config, endpoint=endpoint), number < len(endpoints)
