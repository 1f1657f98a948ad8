"""JSON that was received: every value is checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from ..errors import RemoteProtocolError

__all__ = ["Fields", "decode_json", "encode_json", "is_deeper"]

T = TypeVar("T")

# Made once: `json.dumps` with separators makes an encoder for each call.
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()


def encode_json(value: object) -> bytes:
    """Compact JSON in ASCII, so that lone surrogates (undecodable bytes of a program) survive."""
    return _ENCODER.encode(value).encode("ascii")


def decode_json(body: bytes, what: str) -> Any:
    """Parse a body.

    Args:
        body: UTF-8 text.
        what: what the body is, for the error's text, e.g. ``"reply to execute"``.

    Raises:
        RemoteProtocolError: it is not JSON.
    """
    try:
        return _DECODER.decode(body.decode())
    except (ValueError, RecursionError):  # ValueError covers bad UTF-8 and bad JSON
        start = body[:60].decode("utf-8", "replace")
        raise RemoteProtocolError(f"{what}: expected JSON, got {start!r}") from None


def is_deeper(value: object, levels: int) -> bool:
    """Whether a JSON value has more levels of lists and objects than this.

    What is kept needs a limit of its own: how deep a text may be nested that is read depends on who
    reads it, so that what was taken once might not be read again.

    Args:
        value: the value.
        levels: the most that it may have.
    """
    level = [value]
    for _ in range(levels + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = [
            inner
            for item in containers
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return True


class Fields:
    """A JSON object with typed look-ups. A missing or null field gives the default."""

    __slots__ = ("_data", "_what")

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise RemoteProtocolError(f"{what}: expected an object, got {type(value).__name__}")
        self._data: Mapping[str, Any] = value
        self._what = what

    @classmethod
    def parse(cls, body: bytes, what: str) -> Fields:
        """Parse a body that must be a JSON object."""
        return cls(decode_json(body, what), what)

    def raw(self, *names: str) -> Any:
        """The first of these fields that is present and not null, else None."""
        for name in names:
            if (value := self._data.get(name)) is not None:
                return value
        return None

    def everything(self) -> Mapping[str, Any]:
        """The object itself."""
        return self._data

    def text(self, *names: str, default: str | None = None) -> str:
        """A string. The first name is the current one, the others are older spellings."""
        return self._typed(str, names, default)

    def integer(self, *names: str, default: int | None = None) -> int:
        """A whole number; a float without a fraction counts as one."""
        value = self.raw(*names)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool):
            raise self._wrong(names, int, value)
        return self._typed(int, names, default)

    def flag(self, *names: str, default: bool | None = None) -> bool:
        """A boolean."""
        return self._typed(bool, names, default)

    def items(self, *names: str) -> list[Any]:
        """A list, empty when missing."""
        return self._typed(list, names, [])

    def nested(self, *names: str) -> Fields:
        """An object, empty when missing."""
        return Fields(self._typed(dict, names, {}), f"{self._what}, {names[0]}")

    def mapping(self, *names: str) -> dict[str, str]:
        """An object of strings. Numbers become text, null entries are dropped."""
        found = self._typed(dict, names, {})
        if not all(isinstance(v, str | int | float | None) for v in found.values()):
            raise RemoteProtocolError(f"{self._what}: {names[0]} must hold plain values only")
        return {key: str(value) for key, value in found.items() if value is not None}

    def texts(self, *names: str) -> tuple[str, ...]:
        """A list of strings, empty when missing."""
        found = self.items(*names)
        if not all(isinstance(item, str) for item in found):
            raise RemoteProtocolError(f"{self._what}: {names[0]} must be a list of strings")
        return tuple(found)

    def _typed(self, kind: type[T], names: tuple[str, ...], default: T | None) -> T:
        value = self.raw(*names)
        if value is None and default is not None:
            return default
        if not isinstance(value, kind):
            raise self._wrong(names, kind, value)
        return value

    def _wrong(self, names: tuple[str, ...], kind: type, value: object) -> RemoteProtocolError:
        got = "nothing" if value is None else type(value).__name__
        return RemoteProtocolError(f"{self._what}: {names[0]} must be {kind.__name__}, got {got}")
