"""Signed HTTP requests over a pool of connections."""

from __future__ import annotations

import logging
import math
import re
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from types import TracebackType

import httpcore2
import trio

from .._environment import read_config
from ..config import Config, Endpoint
from ..errors import (
    ApiError,
    ConfigError,
    ConnectionFailed,
    InsecureConnectionWarning,
    RemoteProtocolError,
    api_error,
)
from ..journal import Journal
from ..wire.http import OCTETS, Reply, Request, decode_problem
from ..wire.versions import SEED, SESSION_6, Era, Hello, choose_era
from .authorization import authorization_of
from .connections import Pool, Whole
from .proxies import proxy_of

__all__ = ["Client", "ReplyStream", "open_client", "tls_context"]

# Requests, a line each. Headers, query and body are left out: they may hold secrets.
log = logging.getLogger("backendai_trio.http")

HEADERS_SECONDS = 60.0
"""Limit for the first byte of an ordinary answer. Long polls answer within about 2 s."""
MAX_REPLY_BYTES = 256 * 1024 * 1024
"""A reply larger than this is refused rather than held in memory."""
_MAX_CONNECTIONS = 100
# Below the keep-alive time of any server we know of (hypercorn 5 s, aiohttp 15 s and more), so that
# a request is hardly ever sent on a connection that the server is about to close.
_KEEPALIVE_SECONDS = 4.0

# How the HTTP library says that the server has hung up.
_DISCONNECTED = re.compile("disconnected|closed connection")

warnings.filterwarnings("always", category=InsecureConnectionWarning)


class ReplyStream:
    """A reply whose body is on its way. Made by `Client.stream`.

    Attributes:
        status: HTTP status.
        headers: names in lower case.
        header_list: the same in the order they came, also those that came more than once.
        content_type: without its parameters.
    """

    def __init__(
        self,
        address: Endpoint,
        request: Request,
        response: httpcore2.Response,
    ) -> None:
        self.status = response.status
        self.header_list = [
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in response.headers
        ]
        self.headers = dict(self.header_list)
        content_type = self.headers.get("content-type", OCTETS)
        self.content_type = content_type.partition(";")[0].strip().lower()
        self._address = address
        self._request = request
        self._response = response
        # The library's connections, which lead through proxies, have no such iterator.
        self._chunks: AsyncIterator[bytes] = (
            response.extensions.get("body") or response.aiter_stream()
        )

    async def receive_some(self) -> bytes:
        """The next piece of the body, ``b""`` at its end.

        Raises:
            ConnectionFailed: the connection broke, or nothing came in time.

        Cancellation:
            Ends the stream.
        """
        with _translated(self._address, self._request):
            while (chunk := await anext(self._chunks, None)) is not None:
                if chunk:
                    return chunk
        return b""

    def __aiter__(self) -> ReplyStream:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self.receive_some():
            return chunk
        raise StopAsyncIteration

    async def read_all(self) -> Reply:
        """The reply with its body."""
        body = bytearray()
        with _translated(self._address, self._request):
            async for chunk in self._chunks:
                body += chunk
                if len(body) > MAX_REPLY_BYTES:
                    raise RemoteProtocolError(f"{self._request}: the answer exceeds 256 MiB")
        return Reply(self.status, self.content_type, bytes(body), self.headers)

    async def aclose(self) -> None:
        """Be done with the reply; its connection is kept if all of it was received."""
        await self._response.aclose()


class Client:
    """A server to talk to. Made by `open_client`, closed when its block ends.

    It holds connections but runs no task, so any number of tasks may use it at once.

    Attributes:
        config: the settings it was opened with.
        hello: what the server said of itself.
        era: how it is spoken to.
        journal: where kernels are written down that end with their blocks; None for nowhere.
        closed: whether its block has ended; calls then raise `trio.ClosedResourceError`.
    """

    def __init__(
        self,
        pool: Pool | httpcore2.AsyncConnectionPool,
        config: Config,
        journal: Journal | None = None,
    ) -> None:
        self._pool = pool
        self._authorization = authorization_of(config)
        self.config = config
        self.hello = Hello(SESSION_6.version)
        self.era = SESSION_6
        self.journal = journal
        self.closed = False

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
        headers = self.signed_headers(request)
        if content is None:
            headers["Content-Length"] = str(len(request.body))
        elif content_length is not None:
            headers["Content-Length"] = str(content_length)
        else:
            headers["Transfer-Encoding"] = "chunked"
        reply = await self._exchange(request, headers, content, answer_seconds)
        if reply.status >= 300:
            raise self.error(request, reply)
        return reply

    @asynccontextmanager
    async def stream(
        self, request: Request, *, silence_seconds: float | None = HEADERS_SECONDS
    ) -> AsyncIterator[ReplyStream]:
        """Sign a request, send it, and give its answer piece by piece if it is a success.

        Args:
            request: what to send.
            silence_seconds: limit for each wait on the answer's headers and pieces.

        Raises:
            ApiError: the server answered with an error (its subclasses say which kind).
            ConnectionFailed: no connection, or no answer in time.
        """
        headers = self.signed_headers(request)
        headers["Content-Length"] = str(len(request.body))
        async with aclosing(await self._send(request, headers, None, silence_seconds)) as stream:
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
    ) -> AsyncIterator[ReplyStream]:
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
        everything |= {**(headers or {}), "Content-Length": str(content_length)}
        sent = await self._send(request, everything, content, HEADERS_SECONDS, at)
        async with aclosing(sent) as stream:
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
        return {
            "Host": self.config.endpoint.host_header,
            "User-Agent": self.config.user_agent,
            "Date": datetime.now(UTC).isoformat(),
            "Content-Type": request.content_type,
        }

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
        return await self._exchange(request, headers, None, HEADERS_SECONDS)

    async def _exchange(
        self,
        request: Request,
        headers: dict[str, str],
        content: AsyncIterator[bytes] | None,
        answer_seconds: float | None,
    ) -> Reply:
        async with aclosing(await self._send(request, headers, content, answer_seconds)) as stream:
            return await stream.read_all()

    @asynccontextmanager
    async def open_reply(
        self,
        request: Request,
        headers: Mapping[str, str],
        *,
        at: Endpoint | None = None,
        content: AsyncIterator[bytes] | None = None,
        silence_seconds: float | None,
    ) -> AsyncIterator[ReplyStream]:
        """Send a request under headers that are ready, and give its answer whatever its status.

        Args:
            request: what to send.
            headers: all that are sent, those of `signed_headers` and of the body's size included.
            at: where, if not where the API is.
            content: the body as a stream, instead of `request.body`.
            silence_seconds: limit for each wait on the answer's headers and pieces.

        Raises:
            ConnectionFailed: no connection, or no answer in time.
            RemoteProtocolError: the answer was not HTTP.
        """
        sent = await self._send(request, dict(headers), content, silence_seconds, at)
        async with aclosing(sent) as stream:
            yield stream

    async def _send(
        self,
        request: Request,
        headers: dict[str, str],
        content: AsyncIterator[bytes] | None,
        silence_seconds: float | None,
        at: Endpoint | None = None,
    ) -> ReplyStream:
        """Send a request and wait for the head of its reply."""
        endpoint = at or self.config.api
        timeouts = {
            "connect": self.config.connect_seconds,
            "read": silence_seconds,
            "write": HEADERS_SECONDS,
        }
        sent = httpcore2.Request(
            request.method,
            httpcore2.URL(
                scheme=endpoint.scheme.encode(),
                host=endpoint.host.encode(),
                port=endpoint.port,
                target=(endpoint.base_path + request.target).encode("ascii"),
            ),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            content=Whole(request.body) if content is None else content,
            extensions={"timeout": timeouts},
        )
        start = trio.current_time()
        with _translated(endpoint, request, self.config.connect_seconds):
            response = await self._pool.handle_async_request(sent)
        if log.isEnabledFor(logging.DEBUG):
            elapsed = (trio.current_time() - start) * 1000
            log.debug("%s at %s -> %d, %.0f ms", request, endpoint.url, response.status, elapsed)
        return ReplyStream(endpoint, request, response)

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
    async with _pool(config, tls_context(config)) as pool:
        client = Client(pool, config, journal)
        try:
            await client.negotiate()
            yield client
        finally:
            client.closed = True


def _pool(config: Config, tls: ssl.SSLContext | None) -> Pool | httpcore2.AsyncConnectionPool:
    if config.proxy is None:
        return Pool(
            ssl_context=tls,
            max_connections=_MAX_CONNECTIONS,
            keepalive_seconds=_KEEPALIVE_SECONDS,
            socket_options=_keepalive_options(),
        )
    return httpcore2.AsyncConnectionPool(
        ssl_context=tls,
        proxy=proxy_of(config),
        max_connections=_MAX_CONNECTIONS,
        keepalive_expiry=_KEEPALIVE_SECONDS,
    )


def tls_context(config: Config) -> ssl.SSLContext | None:
    """How to check the server's certificate; None for plain HTTP."""
    if config.endpoint.scheme != "https":
        return None
    # Trust what the system trusts, on every platform (truststore comes with httpcore2).
    context = httpcore2.default_ssl_context()
    if config.ca_file is not None:
        try:
            context.load_verify_locations(config.ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(
                "BACKEND_CA_FILE", f"{config.ca_file!r} holds no PEM certificates ({exc})"
            ) from None
    if not config.verify_tls:
        warnings.warn(
            f"certificate checks are off for {config.endpoint.url} "
            "(BACKEND_SKIP_SSLCERT_VALIDATION): anyone on the way can read and change everything",
            InsecureConnectionWarning,
            stacklevel=4,
        )
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _keepalive_options() -> list[tuple[int, int, int]]:
    """Let TCP notice a peer that died, within about a minute, however long an answer may take."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # the names differ between platforms
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


class _translated:
    """Turn the HTTP library's errors into ours, in this one place."""

    def __init__(
        self, address: Endpoint, request: Request, connect_seconds: float = math.inf
    ) -> None:
        self._address = address
        self._request = request
        self._connect_seconds = connect_seconds

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: object, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        url, request = self._address.url if exc else "", self._request
        match exc:
            case httpcore2.ConnectTimeout():
                raise ConnectionFailed(
                    f"{url} did not take a connection within {self._connect_seconds:g} s; "
                    "check BACKEND_ENDPOINT and the network"
                ) from None
            case httpcore2.ConnectError():
                raise ConnectionFailed(f"cannot connect to {url}: {_reason(exc)}") from exc
            case httpcore2.ProxyError():
                raise ConnectionFailed(f"the proxy on the way to {url} refused: {exc}") from exc
            case httpcore2.TimeoutException():
                raise ConnectionFailed(
                    f"{url} stopped answering during {request}; try again"
                ) from exc
            case httpcore2.NetworkError() | OSError():
                raise ConnectionFailed(
                    f"the connection to {url} broke during {request}: {exc}"
                ) from exc
            case httpcore2.RemoteProtocolError() if _DISCONNECTED.search(str(exc)):
                raise ConnectionFailed(
                    f"{url} closed the connection during {request}; "
                    "check BACKEND_ENDPOINT, and that the server is up"
                ) from exc
            case httpcore2.RemoteProtocolError():
                raise RemoteProtocolError(f"{url} does not speak HTTP/1.1 here ({exc})") from exc
            case httpcore2.LocalProtocolError():
                raise ConnectionFailed(f"{request} could not be sent to {url}: {exc}") from exc


def _reason(exc: BaseException) -> str:
    """Why a connection failed, and what to do about it."""
    cause: BaseException | None = exc
    reason = str(exc) or "refused"
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted ({cause.verify_message}); "
                "if it is your own, name its CA in BACKEND_CA_FILE"
            )
        if isinstance(cause, ssl.SSLError):
            return f"no TLS there ({cause.reason or cause}); is it http:// instead?"
        if isinstance(cause, BaseExceptionGroup):  # one for each address; the first will do
            cause = cause.exceptions[0]
            continue
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            reason = cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return f"{reason}; check BACKEND_ENDPOINT, and that the server is up"
