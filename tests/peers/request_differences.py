"""What differs between the requests of two clients that do the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .recorder import Recorded

__all__ = ["ABSENT", "EVERYWHERE", "Difference", "differences"]

ABSENT = "-"
EVERYWHERE = "*"
"""Where headers differ: they are those of the client, whatever the request."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX = re.compile(r"[0-9a-f]{32}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
# Names of folders and sessions in paths stand behind these; what begins with "_" is none.
_NAMED = re.compile(r"/(?P<kind>session|folders)/(?P<name>[^_/][^/]*)")
_ACTIONS = ("restore-from-trash-bin", "delete-from-trash-bin", "purge")
# They say where, when and who, or how long the body is.
_OTHER_HEADERS = ("host", "content-length", "connection", "date", "user-agent")


class Difference(NamedTuple):
    """A field of which two clients send different values."""

    where: str
    """Method and route, or `EVERYWHERE`."""
    field: str
    """``only`` for the whole request, ``path``, ``query NAME``, ``header NAME``, ``body``, or
    ``body.KEY.KEY`` for a value in a JSON body."""
    theirs: str
    ours: str


def differences(theirs: Sequence[Recorded], ours: Sequence[Recorded]) -> set[Difference]:
    """Compare the requests of one step.

    Requests of the same method and route belong together, in their order.
    """
    left: dict[str, list[Recorded]] = {}
    for request in ours:
        left.setdefault(_route(request), []).append(request)
    found: set[Difference] = set()
    for request in theirs:
        where = _route(request)
        if same := left.get(where):
            found |= set(_of_fields(where, _fields(request), _fields(same.pop(0))))
        else:
            found.add(Difference(where, "only", "sent", ABSENT))
    for where, further in left.items():
        if further:
            found.add(Difference(where, "only", ABSENT, "sent"))
    return found


def _of_fields(
    where: str, theirs: Mapping[str, str], ours: Mapping[str, str]
) -> Iterator[Difference]:
    for field in sorted({*theirs, *ours}):
        values = theirs.get(field, ABSENT), ours.get(field, ABSENT)
        if values[0] != values[1]:
            yield Difference(EVERYWHERE if field.startswith("header ") else where, field, *values)


def _route(request: Recorded) -> str:
    def generalize(match: re.Match[str]) -> str:
        name = match["name"] if match["name"] in _ACTIONS else f"{{{match['kind']}}}"
        return f"/{match['kind']}/{name}"

    return f"{request.method} {_NAMED.sub(generalize, request.path)}"


def _fields(request: Recorded) -> dict[str, str]:
    """All that a request says, by the place where it says it."""
    found = {"path": _plain(request.path)}
    found |= {f"query {name}": _plain(value) for name, value in request.query}
    if "query token" in found:  # the server's, a new one each time
        found["query token"] = "TOKEN"
    for name, value in request.headers.items():
        if name not in _OTHER_HEADERS:
            found[f"header {name}"] = _plain(value)
    if request.json is None:
        found["body"] = request.body.decode("utf-8", "replace")
    else:
        found |= dict(_leaves(request.json, "body"))
    return found


def _leaves(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(below, f"{place}.{key}")
        return
    if isinstance(value, list):
        value = sorted(value, key=str)  # none whose order counts is sent
    yield place, _plain(json.dumps(value))


def _plain(text: str) -> str:
    """A text without what is new each time."""
    for pattern, name in ((_UUID, "UUID"), (_SIGNATURE, "SIGNATURE"), (_HEX, "ID")):
        text = pattern.sub(name, text)
    return text
