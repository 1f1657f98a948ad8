"""Signed HTTP requests over a pool of connections."""

from __future__ import annotations

import logging
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpcore2
import trio

from .._environment import read_config
from ..config import Config
from ..errors import (
    ApiError,
    ConfigError,
    ConnectionFailed,
    InsecureConnectionWarning,
    RemoteProtocolError,
    api_error,
)
from ..journal import Journal
from ..signing import Signed, sign
from ..wire.http import OCTETS, Reply, Request, decode_problem
from ..wire.versions import SEED, SESSION_6, Era, Hello, choose_era

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Client", "ReplyStream", "open_client", "tls_context"]

# Requests, a line each. Headers, query and body are left out: they may hold secrets.
log = logging.getLogger("backendai_trio.http")

HEADERS_SECONDS = 60.0
"""Limit for the first byte of an ordinary answer. Long polls answer within about 2 s."""
MAX_REPLY_BYTES = 256 * 1024 * 1024
"""A reply larger than this is refused rather than held in memory."""
_MAX_CONNECTIONS = 100
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
# Below the keep-alive time of any server we know of (hypercorn 5 s, aiohttp 15 s and more), so that
# a request is hardly ever sent on a connection that the server is about to close.
_KEEPALIVE_SECONDS = 4.0

warnings.filterwarnings("always", category=InsecureConnectionWarning)


class ReplyStream:
    """A reply whose body is on its way. Made by `Client.stream`.

    Attributes:
        status: HTTP status.
        headers: names in lower case.
        content_type: without its parameters.
    """

    def __init__(
        self,
        config: Config,
        request: Request,
        response: httpcore2.Response,
        chunks: AsyncIterator[bytes],
    ) -> None:
        self.status = response.status
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers
        }
        content_type = self.headers.get("content-type", OCTETS)
        self.content_type = content_type.partition(";")[0].strip().lower()
        self._config = config
        self._request = request
        self._chunks = chunks

    async def receive_some(self) -> bytes:
        """The next piece of the body, ``b""`` at its end.

        Raises:
            ConnectionFailed: the connection broke, or nothing came in time.

        Cancellation:
            Ends the stream.
        """
        with _translated(self._config, self._request):
            while (chunk := await anext(self._chunks, None)) is not None:
                if chunk:
                    return chunk
        return b""

    async def read_all(self) -> Reply:
        """The reply with its body."""
        body = bytearray()
        while chunk := await self.receive_some():
            body += chunk
            if len(body) > MAX_REPLY_BYTES:
                raise RemoteProtocolError(f"{self._request}: the answer exceeds 256 MiB")
        return Reply(self.status, self.content_type, bytes(body), self.headers)


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
        self, pool: httpcore2.AsyncConnectionPool, config: Config, journal: Journal | None = None
    ) -> None:
        self._pool = pool
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
            raise self._error(request, reply)
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
        async with self._opened(request, headers, None, silence_seconds) as stream:
            if stream.status >= 300:
                raise self._error(request, await stream.read_all())
            yield stream

    def signed_headers(self, request: Request) -> dict[str, str]:
        """The headers of a request, its signature among them.

        Raises:
            trio.ClosedResourceError: the client's block has ended.
        """
        if self.closed:
            raise trio.ClosedResourceError("this client was closed")
        endpoint = self.config.endpoint
        date = datetime.now(UTC).isoformat()
        authorization = sign(
            Signed(
                request.method,
                self._target(request),
                date,
                endpoint.host_header,
                request.content_type,
                self.era.version,
                body=request.body,
            ),
            access_key=self.config.access_key,
            secret_key=self.config.secret_key,
            hash_name=self.config.hash_name,
        )
        return {
            "Host": endpoint.host_header,
            "User-Agent": self.config.user_agent,
            "Date": date,
            "X-BackendAI-Version": self.era.version,
            "Content-Type": request.content_type,
            "Authorization": authorization,
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
        headers = {
            "Host": self.config.endpoint.host_header,
            "User-Agent": self.config.user_agent,
            "Date": datetime.now(UTC).isoformat(),
        }
        return await self._exchange(Request("GET", path), headers, None, HEADERS_SECONDS)

    async def _exchange(
        self,
        request: Request,
        headers: dict[str, str],
        content: AsyncIterator[bytes] | None,
        answer_seconds: float | None,
    ) -> Reply:
        async with self._opened(request, headers, content, answer_seconds) as stream:
            return await stream.read_all()

    @asynccontextmanager
    async def _opened(
        self,
        request: Request,
        headers: dict[str, str],
        content: AsyncIterator[bytes] | None,
        answer_seconds: float | None,
    ) -> AsyncIterator[ReplyStream]:
        endpoint = self.config.endpoint
        url = httpcore2.URL(
            scheme=endpoint.scheme.encode(),
            host=endpoint.host.encode(),
            port=endpoint.port,
            target=self._target(request).encode("ascii"),
        )
        timeouts = {
            "connect": self.config.connect_seconds,
            "read": answer_seconds,
            "write": HEADERS_SECONDS,
        }
        start = trio.current_time()
        async with AsyncExitStack() as stack:
            with _translated(self.config, request):
                response = await stack.enter_async_context(
                    self._pool.stream(
                        request.method,
                        url,
                        headers=list(headers.items()),
                        content=request.body if content is None else content,
                        extensions={"timeout": timeouts},
                    )
                )
            elapsed = (trio.current_time() - start) * 1000
            log.debug("%s at %s -> %d, %.0f ms", request, endpoint.url, response.status, elapsed)
            chunks = await stack.enter_async_context(aclosing(response.aiter_stream()))
            yield ReplyStream(self.config, request, response, chunks)

    def _target(self, request: Request) -> str:
        return self.config.endpoint.base_path + request.target

    def _error(self, request: Request, reply: Reply) -> ApiError:
        if reply.status < 400:
            # Following it would hand the signature to another address.
            return api_error(
                reply.status,
                title="The server redirects, and signed requests are not sent on; "
                f"set BACKEND_ENDPOINT to where it points: {reply.headers.get('location', '?')!r}",
                request=str(request),
            )
        return decode_problem(reply).as_error(str(request))


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
    pool = httpcore2.AsyncConnectionPool(
        ssl_context=tls_context(config),
        proxy=_proxy(config),
        max_connections=_MAX_CONNECTIONS,
        keepalive_expiry=_KEEPALIVE_SECONDS,
        socket_options=_keepalive_options(),
    )
    async with pool:
        client = Client(pool, config, journal)
        try:
            await client.negotiate()
            yield client
        finally:
            client.closed = True


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


def _proxy(config: Config) -> httpcore2.Proxy | None:
    if config.proxy is None:
        return None
    scheme, _, rest = config.proxy.partition("://")
    # The user name and password of the URL go into a header, never into a message.
    head, at, tail = rest.rpartition("@")
    user, _, password = head.partition(":")
    try:
        if scheme not in _PROXY_SCHEMES or not tail:
            raise ValueError
        return httpcore2.Proxy(f"{scheme}://{tail}", auth=(user, password) if at else None)
    except (ValueError, TypeError):
        variable = f"{config.endpoint.scheme.upper()}_PROXY"
        raise ConfigError(variable, "not a proxy URL such as http://host:port") from None


def _keepalive_options() -> list[tuple[int, int, int]]:
    """Let TCP notice a peer that died, within about a minute, however long an answer may take."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # the names differ between platforms
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


@contextmanager
def _translated(config: Config, request: Request) -> Iterator[None]:
    """Turn the HTTP library's errors into ours, in this one place."""
    url = config.endpoint.url
    try:
        yield
    except httpcore2.ConnectTimeout:
        raise ConnectionFailed(
            f"{url} did not take a connection within {config.connect_seconds:g} s; "
            "check BACKEND_ENDPOINT and the network"
        ) from None
    except httpcore2.ConnectError as exc:
        raise ConnectionFailed(f"cannot connect to {url}: {_reason(exc)}") from exc
    except httpcore2.ProxyError as exc:
        raise ConnectionFailed(f"the proxy on the way to {url} refused: {exc}") from exc
    except httpcore2.TimeoutException as exc:
        raise ConnectionFailed(f"{url} stopped answering during {request}; try again") from exc
    except (httpcore2.NetworkError, OSError) as exc:
        raise ConnectionFailed(f"the connection to {url} broke during {request}: {exc}") from exc
    except httpcore2.RemoteProtocolError as exc:
        if "disconnected" in str(exc) or "closed connection" in str(exc):
            raise ConnectionFailed(
                f"{url} closed the connection during {request}; "
                "check BACKEND_ENDPOINT, and that the server is up"
            ) from exc
        raise RemoteProtocolError(f"{url} does not speak HTTP/1.1 here ({exc})") from exc
    except httpcore2.LocalProtocolError as exc:
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
