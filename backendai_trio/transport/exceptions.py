"""How connections fail, and what that means for a caller of the client.

Modules below the client raise the exceptions of this one; `map_exceptions` turns them into those of
the library, in one place.
"""

from __future__ import annotations

import errno
import os
import socket
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

# Numbers of OpenSSL's X509_V_ERR_ constants.
_OTHER_NAME = (62, 64)  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED = 18  # DEPTH_ZERO_SELF_SIGNED_CERT


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
                    f"{url} stopped answering; try again, and if it needs longer, set "
                    "BACKEND_READ_TIMEOUT to more seconds",
                    request=str(request),
                ) from exc
            case WriteTimeout():
                raise ConnectionFailed(
                    f"{url} stopped reading a request, or the network is down; try again",
                    request=str(request),
                ) from exc
            case Disconnected():
                when = "during its answer" if exc.answered else "without an answer"
                raise ConnectionFailed(
                    f"{url} closed the connection {when}; {self._advice()}", request=str(request)
                ) from exc
            case NetworkError():
                raise ConnectionFailed(
                    f"the connection to {url} broke: {_reason(exc)[0]}; try again",
                    request=str(request),
                ) from exc
            case MalformedResponse():
                raise RemoteProtocolError(f"{url} does not speak HTTP/1.1 here: {exc}") from exc
            case MalformedRequest():
                raise LocalProtocolError(f"{request} cannot be sent to {url}: {exc}") from exc

    def _advice(self) -> str:
        advice = "check BACKEND_ENDPOINT, and that the server is up"
        if self._endpoint.scheme == "http":
            return f"{advice}; if its port is one of TLS, write https:// in it"
        return advice


def connect_error(
    exc: BaseException, name: str, variable: str, advice: str, *, ca_file: str | None = None
) -> Unreachable:
    """The error for a connection that could not be opened.

    Args:
        exc: the failure: an `OSError` or a group of them, or a broken stream with its cause.
        name: what was connected to, for the message.
        variable: the environment variable that names it.
        advice: what to do about it, where the reason itself does not tell.
        ca_file: the value of ``BACKEND_CA_FILE``.
    """
    reason, known = _reason(exc, variable, ca_file)
    return Unreachable(f"cannot connect to {name}: {reason}; {known or advice}")


def _reason(exc: BaseException, variable: str = "", ca_file: str | None = None) -> tuple[str, str]:
    """Why a connection failed, and what to do about it (``""`` where that is not known)."""
    cause: BaseException | None = exc
    reason, known = str(exc) or "it was reset", ""
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate_reason(cause, variable, ca_file)
        if isinstance(cause, ssl.SSLError):
            text = cause.reason or str(cause)
            return (
                f"TLS failed ({text})",
                f"if its port is one of plain HTTP, write http:// in {variable}",
            )
        if isinstance(cause, BaseExceptionGroup):  # one for each address; the first will do
            cause = cause.exceptions[0]
            continue
        if isinstance(cause, socket.gaierror):
            return _name_reason(cause, variable)
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            # Trio's text repeats the address.
            reason = os.strerror(cause.errno).lower()
            if cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                known = f"check the network of this machine, and the address in {variable}"
        cause = cause.__cause__ or cause.__context__
    return reason, known


def _certificate_reason(
    exc: ssl.SSLCertVerificationError, variable: str, ca_file: str | None
) -> tuple[str, str]:
    if exc.verify_code in _OTHER_NAME:
        return (
            f"its certificate is for another name ({exc.verify_message.rstrip('.')})",
            f"set {variable} to a URL with a name that the certificate has",
        )
    if exc.verify_code in (_NOT_YET_VALID, _EXPIRED):
        fault = "has expired" if exc.verify_code == _EXPIRED else "is not valid yet"
        return (
            f"its certificate {fault}",
            "check the clock of this machine, or ask the server's administrator for a new one",
        )
    if ca_file is not None:
        advice = f"check that {ca_file} (BACKEND_CA_FILE) holds the CA of this server"
    elif exc.verify_code == _SELF_SIGNED:
        advice = "if you know it, save it, and name its file in BACKEND_CA_FILE"
    else:
        advice = "if you know its CA, name the file of the CA in BACKEND_CA_FILE"
    return f"its certificate is not trusted ({exc.verify_message})", advice


def _name_reason(exc: socket.gaierror, variable: str) -> tuple[str, str]:
    if exc.errno == socket.EAI_AGAIN:
        return "its name could not be looked up", "check that this machine is online, and try again"
    return "there is no host of this name", f"check the name in {variable}, and that DNS works here"
