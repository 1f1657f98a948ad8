"""Starting and ending services of kernels: arguments and variables, and addresses to hand out.

Source: docs/protocol.md, section 6.5. Arguments and variables travel as JSON text inside a query
parameter or a JSON body. Managers give an address outside of themselves, at an app proxy, for a
token that the proxy turns into a route to the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from ..errors import LocalProtocolError, RemoteProtocolError
from .apps import AppInfo
from .json_fields import Fields, decode_json, encode_json

__all__ = [
    "ServiceAddress",
    "ServiceOptions",
    "StartService",
    "check_service_options",
    "decode_shutdown",
    "shutdown_arguments",
]

Argument = str | tuple[str, ...] | None

_MIN_PORT, _MAX_PORT = 1024, 65535
_PROXY_PATH = "/v2/proxy/auth"


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What a service is started with. Only its first connection or start counts.

    Raises:
        LocalProtocolError: the port is not between 1024 and 65535.
    """

    arguments: Mapping[str, Argument] = field(default_factory=dict)
    """Options for its command line: ``{"--port": "80", "--verbose": None, "-x": ("1", "2")}``."""
    envs: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables. They may be secret, so they are not shown."""
    port: int = 0
    """Which of its TCP ports is meant; 0 for the first."""

    def __post_init__(self) -> None:
        if self.port and not _MIN_PORT <= self.port <= _MAX_PORT:
            raise LocalProtocolError(
                f"a service's port must be between {_MIN_PORT} and {_MAX_PORT}, not {self.port}"
            )

    def as_texts(self) -> dict[str, str]:
        """The options as they travel.

        Returns:
            Texts by name; those that say nothing are left out, since early servers know none of
            them.
        """
        texts: dict[str, str] = {"port": str(self.port)} if self.port else {}
        for name, values in (("envs", self.envs), ("arguments", self.arguments)):
            if values:
                texts[name] = encode_json(dict(values)).decode()
        return texts

    @classmethod
    def decode(cls, values: Mapping[str, object]) -> ServiceOptions:
        """Read the options from a query or a JSON body.

        Args:
            values: parameters of the query, or fields of the body; others are ignored.

        Returns:
            The options.

        Raises:
            RemoteProtocolError: a value has the wrong type, or is no port.
        """
        given = Fields(dict(values), "options of a service")
        envs = _object(given, "envs").mapping("envs")
        arguments: dict[str, Argument] = {}
        for name, value in _object(given, "arguments").nested("arguments").everything().items():
            arguments[name] = _argument(value)
        try:
            return cls(arguments, envs, _port(given.raw("port")))
        except LocalProtocolError as exc:
            raise RemoteProtocolError(str(exc)) from None


def _object(given: Fields, name: str) -> Fields:
    """The JSON object that travels as text under this name."""
    text = given.text(name, default="")
    value = decode_json(text.encode("utf-8", "replace"), name) if text else {}
    return Fields({name: value}, "options of a service")


def _argument(value: object) -> Argument:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if value is None or isinstance(value, str):
        return value
    raise RemoteProtocolError(
        "options of a service: arguments must hold texts, lists of texts and nulls"
    )


def _port(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdecimal()):
        return int(value)
    raise RemoteProtocolError(f"options of a service: {value!r} is not a port")


def check_service_options(info: AppInfo, options: ServiceOptions) -> None:
    """Check options against what a service takes, before it is started.

    Args:
        info: the service's entry in the server's list.
        options: the options.

    Raises:
        LocalProtocolError: the service does not take one of them.
    """
    for given, taken, kind in (
        (options.arguments, info.allowed_arguments, "argument"),
        (options.envs, info.allowed_envs, "environment variable"),
    ):
        for name in given:
            if name not in taken:
                raise LocalProtocolError(
                    f"the service {info.name} takes no {kind} {name!r}; "
                    f"it takes: {', '.join(taken) or 'none'}"
                )
    if options.port and options.port not in info.ports:
        raise LocalProtocolError(
            f"the service {info.name} has no port {options.port}; "
            f"it has: {', '.join(map(str, info.ports)) or 'none'}"
        )


@dataclass(frozen=True, slots=True)
class StartService:
    """The body of ``POST /session/{name}/start-service``."""

    app: str
    options: ServiceOptions = ServiceOptions()

    def encode(self) -> bytes:
        """The body."""
        texts: dict[str, object] = {"app": self.app, **self.options.as_texts()}
        if self.options.port:
            texts["port"] = self.options.port
        return encode_json(texts)

    @classmethod
    def decode(cls, body: bytes) -> StartService:
        """Read the body.

        Args:
            body: of ``POST /session/{name}/start-service``.

        Returns:
            The request.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        fields = Fields.parse(body, "start-service")
        return cls(fields.text("app", "service"), ServiceOptions.decode(fields.everything()))


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where an app proxy serves a service. Whoever knows the token reaches it."""

    proxy: str
    """Base address of the app proxy."""
    token: str = field(repr=False)

    def encode(self) -> bytes:
        """The body of the reply to ``start-service``."""
        return encode_json({"token": self.token, "wsproxy_addr": self.proxy})

    @classmethod
    def decode(cls, body: bytes) -> ServiceAddress:
        """Read that body.

        Args:
            body: of the reply to ``POST /session/{name}/start-service``.

        Returns:
            The address.

        Raises:
            RemoteProtocolError: it is malformed, or the proxy's address is not one for HTTP.
        """
        fields = Fields.parse(body, "reply to start-service")
        proxy = fields.text("wsproxy_addr").rstrip("/")
        if urlsplit(proxy).scheme not in ("http", "https"):
            raise RemoteProtocolError(
                f"reply to start-service: {proxy!r} is not the address of an app proxy"
            )
        return cls(proxy, fields.text("token"))

    def url(self, session_id: str, app: AppInfo, *, public: bool = False) -> str:
        """The address to open in a browser.

        Args:
            session_id: UUID of the session.
            app: the service.
            public: let everyone in who knows the address that the proxy redirects to; else only the
                browser that was redirected.
        """
        query = {
            "app": app.name,
            "protocol": app.protocol,
            "token": self.token,
            "session_id": session_id,
        }
        if public:
            query["open_to_public"] = "true"
        return f"{self.proxy}{_PROXY_PATH}?{urlencode(query)}"


def shutdown_arguments(app: str) -> dict[str, str]:
    """Arguments of ``POST /session/{name}/shutdown-service``.

    Args:
        app: name of the service.

    Returns:
        What belongs into both the query and the body (docs/protocol.md, section 3.8).
    """
    return {"service_name": app}


def decode_shutdown(values: Mapping[str, object]) -> str:
    """Read these arguments.

    Args:
        values: parameters of the query, or fields of the body.

    Returns:
        The name of the service.

    Raises:
        RemoteProtocolError: there is no name.
    """
    return Fields(dict(values), "shutdown-service").text("service_name")
