"""JSON with one value that nobody expects: fuzzers find the place, and these the trouble."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["HOSTILE", "with_hostile_value"]

HOSTILE: list[Any] = [
    "\ud800", "\0", "", ".", "..", "/", "../x", "a" * 300, "\r\nX: y", "%s%n{0}", "\u202e", "٣",
    0, -1, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0, float("nan"), float("inf"),
    True, None, [], {}, [[]], ["\ud800"], {"\ud800": "\ud800"}, [None], {"a": None}, "null", "{}",
    json.loads("[" * 500 + "]" * 500),
]  # fmt: skip


def with_hostile_value(body: bytes, place: int, value: object) -> bytes:
    """A body in which a value is replaced.

    Args:
        body: as it is if it is not JSON.
        place: which value, by number in the order of the text; 0 is the whole.
        value: what comes in its place.
    """
    try:
        found = json.loads(body)
        places = _count(found)
        return json.dumps(_replaced(found, [place % places], value)).encode()
    except (ValueError, RecursionError):
        return body


def _count(found: object) -> int:
    return 1 + sum(map(_count, _children(found)))


def _children(found: object) -> list[Any]:
    if isinstance(found, dict):
        return list(found.values())
    return found if isinstance(found, list) else []


def _replaced(found: Any, left: list[int], value: object) -> Any:
    left[0] -= 1
    if left[0] < 0:
        return value if left[0] == -1 else found
    if isinstance(found, dict):
        return {key: _replaced(inner, left, value) for key, inner in found.items()}
    if isinstance(found, list):
        return [_replaced(inner, left, value) for inner in found]
    return found
