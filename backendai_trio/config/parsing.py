"""Parsing of settings. Pure: reads no file and no environment.

`parse_config` takes the variables as layers. `read_config` calls it with those of the process.
"""

from __future__ import annotations

import math
import re
from functools import partial

from ..errors import ConfigError
from .endpoints import ENDPOINT_HINT, parse_endpoints, parse_storage_proxies, split_list
from .layers import Found, Layer, find_setting
from .settings import ANSWER_SECONDS, CONNECT_SECONDS, Config

__all__ = [
    "SETTINGS",
    "check_access_key",
    "check_secret_key",
    "check_setting",
    "parse_config",
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
_TRUE = frozenset({"1", "y", "yes", "t", "true", "on"})
_FALSE = frozenset({"", "0", "n", "no", "f", "false", "off"})


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
    *layers: Layer,
    endpoint: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
) -> Config | None:
    """Read the settings from variables; explicit arguments win over them.

    Each variable is looked up as ``BACKEND_<NAME>`` and then as ``SORNA_<NAME>``, the name of the
    service before 2017. An empty value counts as not set; but an empty endpoint or key hides no
    other one in a layer below, since that may be of another server.

    Args:
        layers: the sources of variables, highest first.
        endpoint: URL of the server, or several with commas between them, of which the first that
            can be reached is used; ``BACKEND_ENDPOINT``.
        access_key: ``BACKEND_ACCESS_KEY``, 20 characters.
        secret_key: ``BACKEND_SECRET_KEY``, 40 characters.

    Returns:
        The settings, or None when neither an endpoint nor a key is set at all.

    Raises:
        ConfigError: something is missing or malformed; `ConfigError.variable` names it.
    """
    find = partial(find_setting, layers)
    server = find("endpoint", endpoint)
    access = find("access_key", access_key)
    secret = find("secret_key", secret_key)
    if not (server.text or access.text or secret.text):
        return None
    if not server.text:
        key = access if access.text else secret
        raise ConfigError(
            key.layer.name_of("endpoint"),
            f"not set, but {key.where} is, so nothing was sent; {ENDPOINT_HINT}",
        )
    parsed, *others = parse_endpoints(server.text, variable=server.where)
    endpoint_type = _endpoint_type(find("endpoint_type"))
    if endpoint_type == "session":
        access = access._replace(text="")  # nothing is signed
        secret = secret._replace(text="")
    for name, key in (("access_key", access), ("secret_key", secret)):
        if endpoint_type != "session" and not key.text:
            raise ConfigError(
                server.layer.name_of(name),
                f"not set; requests to {parsed.url} are signed with a key pair: "
                f"{server.layer.how_to_set('access_key', 'secret_key')}",
            )
    proxies = find("override_storage_proxy")
    return Config(
        endpoint=parsed,
        other_endpoints=tuple(others),
        access_key=access.text and check_access_key(access.text, variable=access.where),
        secret_key=secret.text and check_secret_key(secret.text, variable=secret.where),
        endpoint_type=endpoint_type,
        ca_file=find("ca_file").text or None,
        verify_tls=not _flag(find("skip_sslcert_validation")),
        connect_seconds=_seconds(find("connection_timeout"), CONNECT_SECONDS),
        answer_seconds=_seconds(find("read_timeout"), ANSWER_SECONDS),
        domain=find("domain").text,
        project=find("group").text,
        mounts=tuple(split_list(find("vfolder_mounts").text)),
        storage_proxies=parse_storage_proxies(proxies.text, variable=proxies.where),
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
            parse_endpoints(value, variable=name)
        case "endpoint_type":
            _endpoint_type(Found(name, value))
        case "access_key":
            check_access_key(value, variable=name)
        case "secret_key":
            check_secret_key(value, variable=name)
        case "skip_sslcert_validation":
            _flag(Found(name, value))
        case "connection_timeout" | "read_timeout":
            _seconds(Found(name, value), math.inf)
        case "override_storage_proxy":
            parse_storage_proxies(value, variable=name)
    return value


def _endpoint_type(setting: Found) -> str:
    if setting.text not in ("", "api", "session"):
        raise ConfigError(
            setting.where,
            f"{setting.text!r} is unknown; set it to api (a manager) or session (a web server)",
        )
    return setting.text or "api"


def _flag(setting: Found) -> bool:
    if setting.text.lower() in _TRUE:
        return True
    if setting.text.lower() in _FALSE:
        return False
    raise ConfigError(setting.where, f"{setting.text!r} is neither yes nor no; set it to 1 or 0")


def _seconds(setting: Found, default: float) -> float:
    if not setting.text:
        return default
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", setting.text):
        raise ConfigError(
            setting.where, f"{setting.text!r} is not a number of seconds; set it to e.g. 10"
        )
    return float(setting.text) or math.inf  # 0 means no limit, as for the official client
