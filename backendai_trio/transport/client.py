"""A server to talk to: signed requests, at whichever of its addresses can be reached."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal, TypeVar

import trio

from ..config.kernel_journal import Journal
from ..config.settings import Config, Endpoint
from ..errors import ApiError
from ..wire.http import Request, Response
from ..wire.versions import SESSION_6, Hello
from .auth import authorization_of
from .limits import Limits
from .pending_call import PendingCall
from .pool import ConnectionPool
from .requests import OutgoingRequest
from .responses import ResponseStream, answer_of
from .sending import Sender, error_of, outgoing_request
from .tls import ClientTLS

__all__ = ["Client", "Destination", "WaitSeconds"]

T = TypeVar("T")

Destination = Endpoint | Literal["api", "server", "anonymous"]
"""Where a request goes, and how it is authorized there:

- ``api``: to the API of the client's server, signed;
- ``server``: to the client's server itself, signed. It differs from its API only where it is a web
  server (`Config.endpoint_type`), which has paths of its own;
- ``anonymous``: to the client's server itself, without a signature or a key;
- an `Endpoint`: to a storage proxy, by the address that the server gives for it (it is reached as
  `Config.storage_proxy` says), without a signature or a key: a token in the query lets it in.
"""

WaitSeconds = float | Literal["ordinary"] | None
"""Limit for a wait: in seconds, ``ordinary`` for `Config.answer_seconds`, None for no limit."""


class Client:
    """A server to talk to. Made by `open_client`, closed when its block ends.

    It holds connections but runs no task, so any number of tasks may use it at once.

    Attributes:
        hello: the server's version and features, as it announces them.
        era: how it is spoken to.
        sender: sends its requests, and knows which of the server's addresses is in use.
        tls: that of its connections; None if no address of the server is on ``https``.
        journal: where kernels are written down that end with their blocks; None for nowhere.
        limits: how much it takes from a server.
        clock: gives the time that requests are dated with, and signed for.
        closed: whether its block has ended; calls then raise `trio.ClosedResourceError`.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        config: Config,
        tls: ClientTLS | None = None,
        journal: Journal | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.tls: Final = tls
        self.limits: Final = limits or Limits()
        self.clock: Callable[[], datetime] = partial(datetime.now, UTC)
        self.sender: Final = Sender(pool, config, self.limits, self.error)
        self._authorization = authorization_of(config)
        self.hello = Hello(SESSION_6.version)
        self.era = SESSION_6
        self.journal = journal
        self.closed = False
        self._extensions: dict[type, object] = {}

    @property
    def config(self) -> Config:
        """The settings; `Config.endpoint` is the address in use."""
        return self.sender.addresses.config

    def has(self, feature: str) -> bool:
        """Whether the server announces an ability beyond its era's (our own gateway does).

        Args:
            feature: its name, as `backendai_trio.wire` spells it.
        """
        return feature in self.hello.features

    def extension(self, kind: type[T]) -> T:
        """What a package above this one keeps with the client.

        Args:
            kind: its class, which is called without arguments the first time.

        Returns:
            The client's only object of this class.
        """
        found = self._extensions.get(kind)
        if not isinstance(found, kind):
            found = self._extensions[kind] = kind()
        return found

    async def call(
        self,
        request: Request,
        *,
        content: AsyncIterator[bytes] | None = None,
        content_length: int | None = None,
        head_seconds: WaitSeconds = "ordinary",
    ) -> Response:
        """Sign a request, send it, and return the response if it is a success.

        A request whose body is at hand is sent again if the server takes no more of the key pair's
        for now, for `Limits.rate_limited_seconds`. `Sender.wait_out` does so for one whose body is
        a stream.

        Args:
            request: what to send.
            content: the body as a stream, instead of `request.body`.
            content_length: its size in bytes; None sends it chunked.
            head_seconds: limit for the head of the response; None where that may take minutes, as
                for a create. TCP then notices a dead peer. For each wait on the body the limit is
                `Config.answer_seconds`.

        Raises:
            ApiError: the server answered with an error (its subclasses say which kind).
            ConnectionFailed: no connection, or no response in time.
            RemoteProtocolError: the response is not HTTP, exceeds `Limits.max_body_bytes`, or is a
                web page, of which the API has none.
            LocalProtocolError: the request cannot be sent.
            Exception: what `content` raised.

        Cancellation:
            The request may have reached the server or not.
        """
        outgoing = partial(
            self._outgoing,
            request,
            content=content,
            content_length=content_length,
            head_seconds=head_seconds,
        )
        stream = await self.sender.open_response(request, outgoing, waits=content is None)
        try:
            return answer_of(request, await stream.read_all())
        finally:
            stream.close()

    def start_call(
        self, request: Request, *, head_seconds: WaitSeconds = "ordinary"
    ) -> PendingCall:
        """A call whose answer is not lost when the wait for it is cancelled.

        Args:
            request: what to send, by the first `PendingCall.wait`.
            head_seconds: as for `call`.
        """
        outgoing = partial(self._outgoing, request, head_seconds=head_seconds)
        return self.sender.pending_call(request, outgoing)

    @asynccontextmanager
    async def request(
        self,
        request: Request,
        *,
        to: Destination = "api",
        body_digest: str | None = None,
        headers: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
        content_length: int | None = None,
        head_seconds: WaitSeconds = "ordinary",
        body_seconds: WaitSeconds = "ordinary",
        check_status: bool = True,
        decode: bool = True,
    ) -> AsyncIterator[ResponseStream]:
        """Send a request, and give its response while the body is on its way.

        Args:
            request: what to send.
            to: where to, and how it is authorized there.
            body_digest: as for `signed_headers`.
            headers: further ones; they replace those of the same name.
            content: the body as a stream, instead of `request.body`.
            content_length: its size in bytes; None sends it chunked.
            head_seconds: limit for the head of the response; None if the server may work for long
                before it answers. TCP then notices a dead peer.
            body_seconds: limit for each wait on more of the body.
            check_status: False gives a response of any status.
            decode: False gives the body as it came, in the coding of its ``Content-Encoding``.

        Raises:
            ApiError: the server answered with an error, and `check_status` is set.
            ConnectionFailed, RemoteProtocolError, LocalProtocolError: as for `call`.
            Exception: what `content` raised.

        Cancellation:
            The request may have reached the server or not.
        """
        if isinstance(to, Endpoint):
            to = self.config.storage_proxy(to)
        outgoing = partial(
            self._outgoing,
            request,
            to=to,
            body_digest=body_digest,
            headers=headers,
            content=content,
            content_length=content_length,
            head_seconds=head_seconds,
            body_seconds=body_seconds,
        )
        stream = await self.sender.open_response(
            request,
            outgoing,
            elsewhere=isinstance(to, Endpoint),
            waits=content is None,
            check_status=check_status,
            decode=decode,
        )
        try:
            yield stream
        finally:
            stream.close()

    def seconds(self, limit: WaitSeconds) -> float:
        """A limit in seconds, infinite for none.

        Args:
            limit: as the methods take it.
        """
        if limit is None:
            return math.inf
        return self.config.answer_seconds if limit == "ordinary" else limit

    def date(self) -> str:
        """The Date header of a request that is sent now."""
        return self.clock().isoformat(timespec="seconds")

    def signed_headers(self, request: Request, *, body_digest: str | None = None) -> dict[str, str]:
        """The headers of a request to the address in use, a signature or cookie among them.

        Args:
            request: what is to be sent.
            body_digest: hexadecimal hash (`Config.hash_name`) of a body that is sent as a stream.

        Raises:
            trio.ClosedResourceError: the client's block has ended.
            ConfigError: a login is needed, and there is none.
        """
        self._check_open()
        config, date, version = self.config, self.date(), self.era.version
        return {
            "Host": config.endpoint.host_header,
            "User-Agent": config.user_agent,
            "Date": date,
            "Content-Type": request.content_type,
            "X-BackendAI-Version": version,
        } | self._authorization.headers(
            request, config.api, date=date, version=version, body_digest=body_digest
        )

    def _outgoing(
        self,
        request: Request,
        config: Config,
        *,
        to: Destination = "api",
        body_digest: str | None = None,
        headers: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
        content_length: int | None = None,
        head_seconds: WaitSeconds,
        body_seconds: WaitSeconds = "ordinary",
    ) -> OutgoingRequest:
        """A request as it is sent now, to the address in use or elsewhere; see `request`."""
        if isinstance(to, Endpoint):
            endpoint = to
        else:
            endpoint = config.api if to == "api" else config.endpoint
        if to in ("api", "server"):
            base = self.signed_headers(request, body_digest=body_digest)
        else:
            self._check_open()
            base = {"Host": endpoint.host_header, "User-Agent": config.user_agent}
        return outgoing_request(
            request,
            endpoint,
            base | dict(headers or {}),
            content=content,
            content_length=content_length,
            head_seconds=self.seconds(head_seconds),
            body_seconds=self.seconds(body_seconds),
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
        return error_of(request, response, login_advice=self._authorization.advice)
