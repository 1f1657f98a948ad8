"""Replies as they come in, and what the HTTP library's errors mean."""

from __future__ import annotations

import math
import os
import re
import ssl
from types import TracebackType

import httpcore2

from ..config.settings import Endpoint
from ..errors import ConnectionFailed, RemoteProtocolError
from ..wire.http import OCTETS, Reply, Request
from .requests import Received

__all__ = ["ResponseStream", "failure_reason", "translated"]

MAX_REPLY_BYTES = 256 * 1024 * 1024
"""A reply larger than this is refused rather than held in memory."""

# How the HTTP library says that the server has hung up.
_DISCONNECTED = re.compile("disconnected|closed connection")


class ResponseStream:
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
        received: Received,
    ) -> None:
        self.status = received.status
        self.header_list = received.headers
        self.headers = dict(self.header_list)
        content_type = self.headers.get("content-type", OCTETS)
        self.content_type = content_type.partition(";")[0].strip().lower()
        self._address = address
        self._request = request
        self._received = received

    async def receive_some(self) -> bytes:
        """The next piece of the body, ``b""`` at its end.

        Raises:
            ConnectionFailed: the connection broke, or nothing came in time.

        Cancellation:
            Ends the stream.
        """
        with translated(self._address, self._request):
            while (chunk := await anext(self._received, None)) is not None:
                if chunk:
                    return chunk
        return b""

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self.receive_some():
            return chunk
        raise StopAsyncIteration

    async def read_all(self) -> Reply:
        """The reply with its body."""
        body = bytearray()
        with translated(self._address, self._request):
            async for chunk in self._received:
                body += chunk
                if len(body) > MAX_REPLY_BYTES:
                    raise RemoteProtocolError(f"{self._request}: the answer exceeds 256 MiB")
        return Reply(self.status, self.content_type, bytes(body), self.headers)

    async def aclose(self) -> None:
        """Be done with the reply; its connection is kept if all of it was received."""
        await self._received.aclose()


class translated:
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
                raise ConnectionFailed(f"cannot connect to {url}: {failure_reason(exc)}") from exc
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


def failure_reason(exc: BaseException) -> str:
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
            # Trio's text names the address once more; a name that is not found has no errno of C's.
            said = os.strerror(cause.errno) if cause.errno > 0 else cause.strerror
            reason = said.lower()
        cause = cause.__cause__ or cause.__context__
    return f"{reason}; check BACKEND_ENDPOINT, and that the server is up"
