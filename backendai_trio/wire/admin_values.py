"""Values of settings, as they travel (docs/protocol.md, section 8.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import LocalProtocolError, RemoteProtocolError
from .admin_settings import Release, Setting
from .json_fields import decode_json, encode_json

__all__ = ["check_value", "decode_value", "encode_value", "graphql_type"]

_HOSTS_ARE_OBJECTS_SINCE: Release = (22, 9, 5)
_INT = 1 << 31
_LARGE = 1 << 63


def graphql_type(setting: Setting, release: Release = ()) -> str:
    """The type of a setting in the server's schema.

    Args:
        setting: the setting.
        release: of the server.
    """
    if setting.type == "hosts":
        return "[String]" if _hosts_are_names(release) else "JSONString"
    return _TYPES[setting.type]


_TYPES: Mapping[str, str] = {
    "text": "String",
    "flag": "Boolean",
    "number": "Int",
    "large": "BigInt",
    "object": "JSONString",
    "texts": "[String]",
    "numbers": "[Int]",
}


def _hosts_are_names(release: Release) -> bool:
    return bool(release) and release < _HOSTS_ARE_OBJECTS_SINCE


def encode_value(setting: Setting, value: Any, release: Release = ()) -> Any:
    """A value as JSON for the server. Null stays null.

    Args:
        setting: whose value it is.
        value: as `Mutation.values` has it.
        release: of the server: before 22.09.5 storage hosts have no permissions.
    """
    if value is None:
        return None
    if setting.type == "hosts" and _hosts_are_names(release):
        return list(value)
    if setting.type in ("object", "hosts"):
        return encode_json(value).decode("ascii")
    return list(value) if setting.type in ("texts", "numbers") else value


def decode_value(setting: Setting, value: Any, release: Release = ()) -> Any:
    """A value from the server, or from a request to it.

    Args:
        setting: whose value it is.
        value: decoded JSON.
        release: of the server.
    """
    if setting.type == "hosts" and _hosts_are_names(release) and isinstance(value, list):
        return {str(host): [] for host in value}
    if setting.type in ("object", "hosts") and isinstance(value, str):
        try:
            return decode_json(value.encode("utf-8", "replace"), setting.name)
        except RemoteProtocolError:
            return value
    return value


def check_value(setting: Setting, value: Any) -> None:
    """Refuse a value of the wrong type.

    Args:
        setting: whose value it is.
        value: None takes the value away that it has.

    Raises:
        LocalProtocolError: it does not fit.
    """
    if value is None:
        if setting.clears:
            return
        raise LocalProtocolError(f"{setting.name} cannot be taken away; give it a value")
    if not _FITS[setting.type](value):
        raise LocalProtocolError(f"{setting.name} must be {_WANTED[setting.type]}")


def _is_number(value: Any, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _are(values: Any, item: type) -> bool:
    return isinstance(values, list | tuple) and all(type(value) is item for value in values)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
    "number": lambda value: _is_number(value, _INT),
    "large": lambda value: _is_number(value, _LARGE),
    "object": _is_object,
    "texts": lambda value: _are(value, str),
    "numbers": lambda value: _are(value, int),
    "hosts": lambda value: _is_object(value) and all(_are(item, str) for item in value.values()),
}
_WANTED: Mapping[str, str] = {
    "text": "a text",
    "flag": "true or false",
    "number": "a whole number of at most 31 bits",
    "large": "a whole number",
    "object": "a JSON object",
    "texts": "a list of texts",
    "numbers": "a list of whole numbers",
    "hosts": "a JSON object of lists of permissions, by storage host",
}
