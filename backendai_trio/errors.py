"""Everything this library raises on its own account.

The tree::

    BackendError
    +-- ConfigError             a setting is missing or malformed (names the variable)
    +-- ConnectionFailed        the server could not be reached, or went silent
    +-- RemoteProtocolError     what the other side sent does not follow the protocol
    +-- LocalProtocolError      what we were asked to send cannot be put on the wire
    +-- ApiError                the server answered with an error of its own
    |   +-- InvalidRequest      400, 405, 409, 412 (not quota)
    |   +-- AuthError           401, 403
    |   |   +-- OtpNeeded       a login wants a one-time password as well
    |   +-- NotFound            404, 410
    |   +-- QuotaExceeded       412 or 400 `quota-exceeded`, 429
    |   +-- ServerError         5xx
    +-- ExecutionError          a run ended without a result
    +-- UploadError             a file did not arrive there (carries its path)
    +-- DownloadError           a file did not arrive here (carries its path)
    +-- GatewayError            the embedded gateway cannot do what was asked
    +-- PortalError             the blocking and the asyncio face cannot take calls here

Code that ran remotely and failed is a result (`Finished.exit_code`), never an exception.
"""

from __future__ import annotations

__all__ = [
    "ApiError",
    "AuthError",
    "BackendError",
    "ConfigError",
    "ConnectionFailed",
    "DownloadError",
    "ExecutionError",
    "GatewayError",
    "InsecureConnectionWarning",
    "InvalidRequest",
    "KernelLeftBehindWarning",
    "LocalProtocolError",
    "NotFound",
    "OtpNeeded",
    "PortalError",
    "QuotaExceeded",
    "RemoteProtocolError",
    "ServerError",
    "UploadError",
    "WebSocketsBlocked",
]


class BackendError(Exception):
    """Root of everything raised by this library."""


class ConfigError(BackendError):
    """A setting is missing or malformed.

    Attributes:
        variable: the environment variable (or option) at fault, e.g. ``BACKEND_ENDPOINT``.
    """

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(f"{variable}: {message}")
        self.variable = variable


class ConnectionFailed(BackendError):
    """The server could not be reached, closed the connection, or stayed silent too long.

    Attributes:
        reason: the text without the request.
        request: the request that had begun, e.g. ``POST /session``; ``""`` for none.
    """

    def __init__(self, reason: str = "", *, request: str = "") -> None:
        super().__init__(f"{reason} [{request}]" if request else reason)
        self.reason = reason
        self.request = request


class WebSocketsBlocked(ConnectionFailed):
    """Requests reach the server, but something on the way does not pass WebSocket upgrades on.

    Attributes:
        url: the address of the server where that is so.
    """

    def __init__(self, reason: str = "", *, request: str = "", url: str = "") -> None:
        super().__init__(reason, request=request)
        self.url = url


class RemoteProtocolError(BackendError):
    """The other side sent something that the protocol does not allow."""


class LocalProtocolError(BackendError):
    """We were asked to send something that the protocol cannot carry."""


class ApiError(BackendError):
    """The server refused or failed a request.

    Attributes:
        status: HTTP status, 300-599; 201 where a manager called a kernel created that is dead.
        kind: the last part of the problem's type URI, e.g. ``image-not-found``, or ``""``.
        title: the server's one-line description.
        detail: further text of the server, ``""`` if none came.
        data: machine-readable extra of the server (any JSON value), or None.
        request: the request at fault, e.g. ``POST /session``.
        advice: what to do about it, ``""`` where nothing is known.
        retry_after: seconds that the server asks to wait before the request is sent again, 0 if it
            does not ask.
    """

    advice = ""
    retry_after = 0.0

    def __init__(
        self,
        status: int,
        *,
        kind: str = "",
        title: str = "",
        detail: str = "",
        data: object = None,
        request: str = "",
    ) -> None:
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.data = data
        self.request = request
        super().__init__(status, title)

    @property
    def reason(self) -> str:
        """The server's words: title and detail, without the request and the status."""
        text = self.title or self.kind or "the server gave no reason"
        if self.detail and self.detail not in text:
            text = f"{text.rstrip('.')}: {self.detail}"
        return text

    @property
    def is_unknown_image(self) -> bool:
        """Whether the server has no such runtime or image.

        Managers from 22.03 on have one kind for all that does not exist, and name what it is in the
        title (docs/protocol.md, section 10).
        """
        one_for_all = self.status == 404 and self.kind in ("object-not-found", "entity-not-found")
        return self.kind == "image-not-found" or (one_for_all and "image" in self.title.lower())

    def __str__(self) -> str:
        where = f"{self.request} -> " if self.request else ""
        return f"{self.reason} [{where}{self.status}{' ' + self.kind if self.kind else ''}]"


class InvalidRequest(ApiError):
    """The server understood the request and will not do it as asked."""


class AuthError(ApiError):
    """The keys are unknown, the signature does not match, or the clock is off; or the login has
    expired, or was refused."""


class OtpNeeded(AuthError):
    """The password is right; the user has to give a one-time password as well."""


class NotFound(ApiError):
    """The kernel, runtime, folder or path does not exist on the server."""


class QuotaExceeded(ApiError):
    """A limit of the key pair is reached: concurrent kernels, folders, or requests per window."""


class ServerError(ApiError):
    """The server failed to do what it accepted."""


class ExecutionError(BackendError):
    """A run ended without a result: its stream was cut short, or the kernel vanished under it."""


class UploadError(BackendError):
    """A file could not be uploaded.

    Attributes:
        path: the local path at fault.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class DownloadError(BackendError):
    """A file could not be downloaded, or not be written where it should go.

    Attributes:
        path: the path at fault, local or remote.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class GatewayError(BackendError):
    """The embedded gateway cannot do what was asked on this machine."""


class PortalError(BackendError):
    """The thread under the blocking and the asyncio face takes no calls: it is gone after a fork,
    ends with the interpreter, or is the very thread that calls."""


class KernelLeftBehindWarning(RuntimeWarning):
    """A kernel could not be destroyed within the grace time; the text names its token."""


class InsecureConnectionWarning(UserWarning):
    """Certificate checks are switched off for this connection."""


def api_error(
    status: int,
    *,
    kind: str = "",
    title: str = "",
    detail: str = "",
    data: object = None,
    request: str = "",
) -> ApiError:
    """The `ApiError` subclass that fits a status and problem type (docs/protocol.md,
    section 10)."""
    cls: type[ApiError]
    if kind == "quota-exceeded" or status == 429:
        cls = QuotaExceeded
    elif status in (401, 403) or kind == "invalid-auth-params":
        cls = AuthError
    elif status in (404, 410):
        cls = NotFound
    elif status >= 500:
        cls = ServerError
    else:
        cls = InvalidRequest
    return cls(status, kind=kind, title=title, detail=detail, data=data, request=request)
