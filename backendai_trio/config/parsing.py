"""Parsing of settings. Pure: reads no file and no environment.

`parse_config` takes the variables as a mapping. `read_config` calls it with the environment of the
process.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from ..errors import ConfigError
from .settings import ANSWER_SECONDS, CONNECT_SECONDS, DEFAULT_PORTS, Config, Endpoint

__all__ = [
    "SETTINGS",
    "Layer",
    "check_access_key",
    "check_secret_key",
    "check_setting",
    "encode_host",
    "parse_config",
    "parse_endpoint",
]

SETTINGS = (
    "endpoint",
    "endpoint_type",
    "access_key",
    "secret_key",
    "ca_file",
    "skip_sslcert_validation",
    "connection_timeout",
    "read_timeout",
    "domain",
    "group",
    "vfolder_mounts",
    "override_storage_proxy",
)
"""The settings that a profile can hold: names of variables without BACKEND_, in lower case."""

# docs/protocol.md, section 2.1. Managers generate the 16 characters as base32, but their fixtures
# hold any capital letter or digit, so only the shape is checked.
_ACCESS_KEY = re.compile(r"AKIA[A-Z0-9]{16}")
_SECRET_KEY = re.compile(r"[\x21-\x7e]{40}")
# Characters that a Host header and a request line can carry; an IPv6 address may have a zone.
_HOST = re.compile(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+(%\w+)?")
_LONGEST_HOST = 253  # RFC 1035 has 255 bytes, with a length before each label and an empty one last
_PATH = re.compile(r"[!-~]*")
_ENDPOINT_HINT = "set it to a URL such as https://manager.example.com or http://127.0.0.1:8081"
# What says who talks to whom: none of them is taken from elsewhere by accident.
_IDENTIFYING = frozenset({"ENDPOINT", "ACCESS_KEY", "SECRET_KEY"})
_TRUE = frozenset({"1", "y", "yes", "t", "true", "on"})
_FALSE = frozenset({"", "0", "n", "no", "f", "false", "off"})


class Layer(NamedTuple):
    """Variables of one source. A layer counts where the layers above it do not set a variable."""

    variables: Mapping[str, str]
    origin: str
    """The source, for messages: ``.env`` or ``profile 'work'``; ``""`` for the environment."""


def encode_host(name: str) -> str:
    """A host name as DNS, TLS and proxies take it: in ASCII, by IDNA 2003.

    Args:
        name: host name, or an IP address; ``""`` stays as it is.

    Raises:
        ValueError: one of its labels is empty or has more than 63 characters, all of them together
            have too many, or IDNA has no form of it.
    """
    host = name.encode("idna").decode()  # UnicodeError is a ValueError
    if len(host.removesuffix(".")) > _LONGEST_HOST:
        raise ValueError("a host name has 253 characters at most")
    return host


def parse_endpoint(text: str, *, variable: str = "BACKEND_ENDPOINT") -> Endpoint:
    """Parse the URL of a server.

    Args:
        text: the URL; surrounding whitespace is ignored.
        variable: where it was set, for messages.

    Raises:
        ConfigError: it is not an http or https URL with a host, its host name cannot be one, or it
            has a user name, a query or a fragment.
    """
    # The part before an "@" may be a password: it is never shown.
    shown = repr(text if "@" not in text else "...@" + text.rpartition("@")[2])
    hint = _ENDPOINT_HINT
    try:
        parts = urlsplit(text.strip())
        port, name = parts.port, parts.hostname or ""
    except ValueError:  # bad port or bracket
        raise ConfigError(variable, f"{shown} is not a URL; {hint}") from None
    try:
        host = encode_host(name)
    except ValueError:
        raise ConfigError(variable, f"the host name of {shown} is malformed; {hint}") from None
    if "@" in text:
        raise ConfigError(variable, f"the URL must not hold a user name or password; {hint}")
    if parts.scheme not in DEFAULT_PORTS or not _HOST.fullmatch(host) or port == 0:
        raise ConfigError(variable, f"{shown} is not an http or https URL with a host; {hint}")
    if parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
        raise ConfigError(
            variable, f"{shown} must end with its path, percent-encoded, without ? or #; {hint}"
        )
    return Endpoint(
        parts.scheme,
        host.lower(),
        port or DEFAULT_PORTS[parts.scheme],
        parts.path.rstrip("/"),
    )


def _endpoints(text: str, variable: str) -> list[Endpoint]:
    """One or several URLs, with commas between them: addresses of the same server."""
    return [parse_endpoint(url, variable=variable) for url in _listed(text) or [text]]


def _listed(text: str) -> list[str]:
    """What stands between the commas of a text."""
    return [item.strip() for item in text.split(",") if item.strip()]


def check_access_key(text: str, *, variable: str = "BACKEND_ACCESS_KEY") -> str:
    """Return an access key if it is well-formed.

    Args:
        text: the key.
        variable: the setting that the error names.

    Raises:
        ConfigError: it is not.
    """
    if not _ACCESS_KEY.fullmatch(text):
        raise ConfigError(
            variable,
            "malformed; an access key is AKIA and 16 capital letters or digits. "
            "Copy it again from the page that shows the key pair",
        )
    return text


def check_secret_key(text: str, *, variable: str = "BACKEND_SECRET_KEY") -> str:
    """Return a secret key if it is well-formed.

    Args:
        text: the key.
        variable: the setting that the error names.

    Raises:
        ConfigError: it is not; the message gives its length only.
    """
    if not _SECRET_KEY.fullmatch(text):
        raise ConfigError(
            variable,
            f"malformed; a secret key has 40 printable characters, this has {len(text)}. "
            "Copy it again from the page that shows the key pair",
        )
    return text


def parse_config(
    environ: Mapping[str, str],
    *below: Layer,
    endpoint: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
) -> Config | None:
    """Read the settings from variables; explicit arguments win over them.

    Each variable is looked up as ``BACKEND_<NAME>`` and then as ``SORNA_<NAME>``, the name of the
    service before 2017. An empty value counts as not set; but an empty endpoint or key hides no
    other one in a layer below, since that may be of another server.

    Args:
        environ: variable names to values, e.g. ``os.environ``.
        below: layers for the variables that `environ` does not set, highest first.
        endpoint: URL of the server, or several with commas between them, of which the first that
            can be reached is used; ``BACKEND_ENDPOINT``.
        access_key: ``BACKEND_ACCESS_KEY``, 20 characters.
        secret_key: ``BACKEND_SECRET_KEY``, 40 characters.

    Returns:
        The settings, or None when neither an endpoint nor a key is set at all.

    Raises:
        ConfigError: something is missing or malformed; `ConfigError.variable` names it.
    """
    layers = [Layer(environ, ""), *below]
    endpoint_name, endpoint_text = _lookup(layers, "ENDPOINT", endpoint)
    access_name, access_text = _lookup(layers, "ACCESS_KEY", access_key)
    secret_name, secret_text = _lookup(layers, "SECRET_KEY", secret_key)
    if not (endpoint_text or access_text or secret_text):
        return None
    if not endpoint_text:
        raise ConfigError(
            endpoint_name,
            f"not set, but {access_name if access_text else secret_name} is, so nothing was sent; "
            f"{_ENDPOINT_HINT}",
        )
    parsed, *others = _endpoints(endpoint_text, endpoint_name)
    endpoint_type = _endpoint_type(*_lookup(layers, "ENDPOINT_TYPE"))
    if endpoint_type == "session":
        access_text = secret_text = ""  # nothing is signed
    elif not access_text:
        raise ConfigError(access_name, f"not set; {_keys_hint(parsed)}")
    elif not secret_text:
        raise ConfigError(secret_name, f"not set; {_keys_hint(parsed)}")
    return Config(
        endpoint=parsed,
        other_endpoints=tuple(others),
        access_key=access_text and check_access_key(access_text, variable=access_name),
        secret_key=secret_text and check_secret_key(secret_text, variable=secret_name),
        endpoint_type=endpoint_type,
        ca_file=_lookup(layers, "CA_FILE")[1] or None,
        verify_tls=not _flag(*_lookup(layers, "SKIP_SSLCERT_VALIDATION")),
        connect_seconds=_seconds(*_lookup(layers, "CONNECTION_TIMEOUT"), CONNECT_SECONDS),
        answer_seconds=_seconds(*_lookup(layers, "READ_TIMEOUT"), ANSWER_SECONDS),
        domain=_lookup(layers, "DOMAIN")[1],
        project=_lookup(layers, "GROUP")[1],
        mounts=tuple(_listed(_lookup(layers, "VFOLDER_MOUNTS")[1])),
        storage_proxies=_storage_proxies(*_lookup(layers, "OVERRIDE_STORAGE_PROXY")),
    )


def _keys_hint(endpoint: Endpoint) -> str:
    return (
        f"requests to {endpoint.url} are signed with a key pair: set BACKEND_ACCESS_KEY and "
        "BACKEND_SECRET_KEY to it"
    )


def check_setting(name: str, value: str) -> str:
    """Return the value of a setting if it is well-formed.

    Args:
        name: one of `SETTINGS`.
        value: its value; surrounding whitespace is removed.

    Raises:
        ConfigError: it is not, or there is no such setting.
    """
    if name not in SETTINGS:
        raise ConfigError(name, f"there is no such setting; the settings are {', '.join(SETTINGS)}")
    value = value.strip()
    if not value:
        raise ConfigError(name, f"the value is empty; 'config unset {name}' removes a setting")
    match name:
        case "endpoint":
            _endpoints(value, name)
        case "endpoint_type":
            _endpoint_type(name, value)
        case "access_key":
            check_access_key(value, variable=name)
        case "secret_key":
            check_secret_key(value, variable=name)
        case "skip_sslcert_validation":
            _flag(name, value)
        case "connection_timeout" | "read_timeout":
            _seconds(name, value, math.inf)
        case "override_storage_proxy":
            _storage_proxies(name, value)
    return value


def _lookup(layers: Sequence[Layer], name: str, explicit: str | None = None) -> tuple[str, str]:
    """The variable's name as the user wrote it, for messages, and its value: ``""`` if not set.

    Raises:
        ConfigError: it says who talks to whom, and is empty in a layer above the value.
    """
    if explicit:
        return f"BACKEND_{name}", explicit
    empty = ""
    for layer in layers:
        empty_here = ""
        for variable in (f"BACKEND_{name}", f"SORNA_{name}"):
            where = f"{variable}{layer.origin and f' in {layer.origin}'}"
            if value := layer.variables.get(variable, "").strip():
                if empty:
                    raise ConfigError(
                        empty, f"empty; set it, or unset it to use the value of {where}"
                    )
                return where, value
            if variable in layer.variables and name in _IDENTIFYING:
                empty_here = empty_here or where
        empty = empty or empty_here
    return f"BACKEND_{name}", ""


def _endpoint_type(variable: str, text: str) -> str:
    if text not in ("", "api", "session"):
        raise ConfigError(
            variable, f"{text!r} is unknown; set it to api (a manager) or session (a web server)"
        )
    return text or "api"


def _flag(variable: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ConfigError(variable, f"{text!r} is neither yes nor no; set it to 1 or 0")


def _seconds(variable: str, text: str, default: float) -> float:
    if not text:
        return default
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text):
        raise ConfigError(variable, f"{text!r} is not a number of seconds; set it to e.g. 10")
    return float(text) or math.inf  # 0 means no limit, as for the official client


def _storage_proxies(variable: str, text: str) -> tuple[tuple[Endpoint, Endpoint], ...]:
    """Pairs of URLs, ``GIVEN=REACHED``, with commas between them."""
    pairs = []
    for pair in _listed(text):
        given, equals, reached = pair.partition("=")
        if not equals:
            raise ConfigError(
                variable,
                f"{pair!r} is no pair of URLs; write http://10.0.0.5:6021=https://storage.example.com",
            )
        key = parse_endpoint(given, variable=variable)._replace(base_path="")
        pairs.append((key, parse_endpoint(reached, variable=variable)))
    return tuple(pairs)
