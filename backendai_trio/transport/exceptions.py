"""How connections fail, and what that means for a caller of the client.

Modules below the client raise the exceptions of this one; `map_exceptions` turns them into those of
the library, in one place.
"""

from __future__ import annotations

import os
import ssl
from types import TracebackType

from ..config.settings import Endpoint
from ..errors import ConnectionFailed, LocalProtocolError, RemoteProtocolError
from ..wire.http import Request

__all__ = [
    "Disconnected",
    "MalformedRequest",
    "MalformedResponse",
    "NetworkError",
    "ReadTimeout",
    "TransportError",
    "Unreachable",
    "WriteTimeout",
    "connect_error",
    "map_exceptions",
]

_HOSTNAME_MISMATCH = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


class TransportError(Exception):
    """Root of the failures of an exchange; none of them leaves the client."""


class Unreachable(ConnectionFailed):
    """There is no connection to this address. Another one of the server's may be tried: no part of
    a body that is a stream has been read, and the request has had no effect or is idempotent."""


class ReadTimeout(TransportError):
    """The server sent nothing for as long as the request allows."""


class WriteTimeout(TransportError):
    """The server took nothing of a request for as long as `Limits.write_seconds`."""


class NetworkError(TransportError):
    """The connection broke; the cause says how."""


class Disconnected(TransportError):
    """The server closed the connection before its response ended.

    Attributes:
        answered: whether some of the response had come.
    """

    def __init__(self, *, answered: bool) -> None:
        super().__init__()
        self.answered = answered


class MalformedResponse(TransportError):
    """What came is not HTTP/1.1, exceeds a limit, or cannot be read in one way only."""


class MalformedRequest(TransportError):
    """The request cannot be put on the wire."""


class map_exceptions:
    """Turn a connection's failures into the library's errors.

    Args:
        endpoint: the server.
        request: what it was asked.

    Raises:
        ConnectionFailed: for a connection that broke, ended or fell silent.
        RemoteProtocolError: for a response that is not HTTP, with the server's address.
        LocalProtocolError: for a request that cannot be sent, with its name.
    """

    def __init__(self, endpoint: Endpoint, request: Request) -> None:
        self._endpoint = endpoint
        self._request = request

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: object, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            return
        url, request = self._endpoint.url, self._request
        match exc:
            case ReadTimeout():
                raise ConnectionFailed(
                    f"{url} stopped answering during {request}; try again"
                ) from exc
            case WriteTimeout():
                raise ConnectionFailed(
                    f"{url} stopped reading {request}, or the network is down; try again"
                ) from exc
            case Disconnected():
                raise ConnectionFailed(
                    f"{url} closed the connection during {request}; "
                    "check BACKEND_ENDPOINT, and that the server is up"
                ) from exc
            case NetworkError():
                raise ConnectionFailed(
                    f"the connection to {url} broke during {request}: {_reason(exc)[0]}; try again"
                ) from exc
            case MalformedResponse():
                raise RemoteProtocolError(
                    f"{url} does not speak HTTP/1.1 here: {exc}; check BACKEND_ENDPOINT"
                ) from exc
            case MalformedRequest():
                raise LocalProtocolError(f"{request} cannot be sent to {url}: {exc}") from exc


def connect_error(exc: BaseException, name: str, advice: str) -> Unreachable:
    """The error for a connection that could not be opened.

    Args:
        exc: the failure: an `OSError` or a group of them, or a broken stream with its cause.
        name: what was connected to, for the message.
        advice: what to do about it, where the reason itself does not tell.
    """
    reason, known = _reason(exc)
    return Unreachable(f"cannot connect to {name}: {reason}; {known or advice}")


def _reason(exc: BaseException) -> tuple[str, str]:
    """Why a connection failed, and what to do about it (``""`` where that is not known)."""
    cause: BaseException | None = exc
    reason = str(exc) or "it was reset"
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            if cause.verify_code in _HOSTNAME_MISMATCH:
                return (
                    f"its certificate is for another name ({cause.verify_message})",
                    "use a name that stands in the certificate",
                )
            return (
                f"its certificate is not trusted ({cause.verify_message})",
                "if it is your own, name its CA in BACKEND_CA_FILE",
            )
        if isinstance(cause, ssl.SSLError):
            text = cause.reason or str(cause)
            return f"TLS failed ({text})", "is it http:// instead?"
        if isinstance(cause, BaseExceptionGroup):  # one for each address; the first will do
            cause = cause.exceptions[0]
            continue
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            # Trio's text repeats the address. A name that is not found has no errno of C's.
            text = os.strerror(cause.errno) if cause.errno > 0 else cause.strerror
            reason = text.lower()
        cause = cause.__cause__ or cause.__context__
    return reason, ""
