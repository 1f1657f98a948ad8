"""Services of kernels: their list, and the WebSocket that connects to one.

Source: docs/protocol.md, section 6.5. A WebSocket is one TCP connection to the service; binary
frames carry its bytes. Managers ignore text frames, and closing the WebSocket ends both directions.
Our gateway can end one direction (feature `HALF_CLOSE`): with the query ``halfClose=1``, both sides
send the text frame ``{"eof": true}`` at that point.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import RemoteProtocolError
from .json_fields import Fields, decode_json, encode_json

__all__ = [
    "END_OF_STREAM",
    "HALF_CLOSE",
    "AppInfo",
    "connection_query",
    "decode_apps",
    "encode_apps",
    "is_end_of_stream",
    "wants_half_close",
]

HALF_CLOSE = "half-close"
END_OF_STREAM = '{"eof":true}'
NORMAL = 1000
SERVICE_CLOSED = 1001
SERVICE_BROKEN = 1011
SERVICE_REFUSED = 1013
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class AppInfo:
    """A service of a kernel."""

    name: str
    protocol: str = "tcp"
    """``tcp``, ``http`` or another."""
    ports: tuple[int, ...] = ()
    """TCP ports in the kernel."""
    url_template: str = ""
    """Template of its address, with ``{protocol}``, ``{host}`` and ``{port}``."""
    allowed_arguments: tuple[str, ...] = ()
    """Options of its command line that a client may give."""
    allowed_envs: tuple[str, ...] = ()
    """Environment variables that a client may set for it."""
    user: str = ""
    """Whom to log in as; our gateway's ``sshd`` only."""

    @classmethod
    def decode(cls, row: object) -> AppInfo:
        """Read an entry of the list.

        Args:
            row: the entry, as a JSON value.

        Returns:
            The service.

        Raises:
            RemoteProtocolError: it is not an object, or a field has the wrong type.
        """
        fields = Fields(row, "service")
        ports = fields.items("ports")
        if not all(isinstance(port, int) and 0 < port <= _MAX_PORT for port in ports):
            raise RemoteProtocolError("service: ports must be a list of port numbers")
        return cls(
            fields.text("name"),
            fields.text("protocol", default="tcp"),
            tuple(map(int, ports)),
            fields.text("url_template", default=""),
            _names(fields, "allowed_arguments"),
            _names(fields, "allowed_envs"),
            fields.text("user", default=""),
        )

    def as_json(self) -> dict[str, object]:
        """An entry of the list."""
        row: dict[str, object] = {
            "name": self.name,
            "protocol": self.protocol,
            "ports": list(self.ports),
        }
        more = {
            "url_template": self.url_template,
            "allowed_arguments": list(self.allowed_arguments),
            "allowed_envs": list(self.allowed_envs),
            "user": self.user,
        }
        return row | {name: value for name, value in more.items() if value}


def _names(fields: Fields, field: str) -> tuple[str, ...]:
    """A list of names. Managers of 26.x describe it as an object with the names as keys, too."""
    if isinstance(value := fields.raw(field), Mapping):
        return tuple(map(str, value))
    return fields.texts(field)


def encode_apps(apps: Iterable[AppInfo]) -> bytes:
    """The body of the reply to ``GET /stream/session/{name}/apps``."""
    return encode_json([app.as_json() for app in apps])


def decode_apps(body: bytes) -> list[AppInfo]:
    """Read that body."""
    rows = decode_json(body, "list of services")
    if not isinstance(rows, list):
        raise RemoteProtocolError("list of services: expected a list")
    return [AppInfo.decode(row) for row in rows]


def connection_query(
    app: str, *, half_close: bool, options: Mapping[str, str] | None = None
) -> tuple[tuple[str, str], ...]:
    """The query of a connection's WebSocket. Newer managers refuse unknown parameters.

    Args:
        app: the service.
        half_close: whether either direction may end by itself (`HALF_CLOSE`).
        options: what the service is started with (`ServiceOptions.as_texts`).
    """
    half = {"halfClose": "1"} if half_close else {}
    return tuple({"app": app, **half, **(options or {})}.items())


def wants_half_close(value: str | None) -> bool:
    """Whether this value of the ``halfClose`` parameter switches it on."""
    return value == "1"


def is_end_of_stream(frame: str) -> bool:
    """Whether a text frame marks the end of its direction; other text frames are ignored."""
    return frame == END_OF_STREAM
