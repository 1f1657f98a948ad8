"""The `filter` and `order` arguments of listings (docs/protocol.md, section 8.3).

A filter compares columns with values: ``status == "RUNNING" & name contains "lab"``, with ``|`` for
or, ``!`` for not, and parentheses. Each sign takes all that stands right of it, as on managers:
``a & b | c`` is ``a & (b | c)``, and ``!a & b`` is ``!(a & b)``.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from ...errors import RemoteProtocolError

__all__ = ["filtered", "ordered"]

Row = Mapping[str, Any]
_Test = Callable[[Row], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<value>"(?:[^"\\]|\\.)*" | -?\d+(?:\.\d+)? | (?:true|false|null)\b)
        | (?P<word>[A-Za-z_][A-Za-z_0-9]*)
        | (?P<sign>==|!=|>=|<=|[<>&|!(),\[\]])
    )\s*""",
    re.VERBOSE | re.DOTALL,
)
_MAX_DEPTH = 100
_MAX_CHARS = 16 * 1024
"""Longest filter; each row takes as much time as the filter is long."""
_SHOWN_CHARS = 200


def _like(have: Any, pattern: Any) -> bool:
    """Whether a text matches a pattern, in which ``%`` stands for any text and ``_`` for a
    character.

    By hand: as a regular expression, a pattern of a few ``%`` takes hours on some texts. Here only
    the last ``%`` is tried again, which is enough.
    """
    text, wanted = str(have), str(pattern)
    at = index = again = 0
    last: int | None = None
    while at < len(text):
        sign = wanted[index : index + 1]
        if sign == "%":
            last, again = index, at
            index += 1
        elif sign in ("_", text[at]):
            at, index = at + 1, index + 1
        elif last is not None:
            again += 1
            at, index = again, last + 1
        else:
            return False
    return not wanted[index:].strip("%")


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": eq,
    "!=": ne,
    ">": gt,
    ">=": ge,
    "<": lt,
    "<=": le,
    "contains": lambda have, value: str(value) in str(have),
    "like": _like,
    "ilike": lambda have, value: _like(str(have).lower(), str(value).lower()),
    "in": lambda have, values: have in values,
}


def filtered(rows: Sequence[Row], text: str | None) -> list[Row]:
    """The rows that match a filter; all rows if there is none.

    Raises:
        RemoteProtocolError: the filter is malformed or too long, or names a column that the rows
            lack.
    """
    if not text or not text.strip():
        return list(rows)
    test = _Parser(text).parse()
    return [row for row in rows if test(row)]


def ordered(rows: Sequence[Row], text: str | None) -> list[Row]:
    """The rows sorted by columns such as ``-created_at,+name``; unchanged if there are none.

    Raises:
        RemoteProtocolError: it names a column that the rows lack.
    """
    found = list(rows)
    descending: dict[str, bool] = {}
    for part in (text or "").split(","):
        if key := part.strip():
            # Of a column that is named again, only the first name has an effect.
            descending.setdefault(key.lstrip("+-"), key.startswith("-"))
    # Sorting is stable, so the most significant column comes last.
    for column, reverse in reversed(descending.items()):
        for row in found:
            _column(row, column)
        found.sort(key=lambda row: _sortable(row.get(column)), reverse=reverse)
    return found


def _sortable(value: Any) -> tuple[bool, str | float]:
    # Null comes first. No column has numbers and strings.
    if isinstance(value, (int, float)):
        return True, float(value)
    return value is not None, str(value or "")


def _column(row: Row, name: str) -> Any:
    if name not in row:
        raise RemoteProtocolError(
            f"there is no column {name[:_SHOWN_CHARS]!r}; there are: {', '.join(row)}"
        )
    return row[name]


class _Parser:
    """Turns a filter into a test of a row, by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > _MAX_CHARS:
            raise self._error(f"it is longer than {_MAX_CHARS:,} characters")
        self._tokens: deque[tuple[str, str]] = deque()
        self._depth = 0
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._error(f"at {text[at : at + 20]!r}")
            assert match.lastgroup is not None
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()

    def parse(self) -> _Test:
        test = self._expression()
        if self._tokens:
            raise self._error(f"at {self._tokens[0][1]!r}")
        return test

    def _expression(self) -> _Test:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error("it is nested too deeply")
        try:
            if self._skip("!"):
                negated = self._expression()
                return lambda row: not negated(row)
            first = self._single()
            if self._skip("&"):
                other = self._expression()
                return lambda row: first(row) and other(row)
            if self._skip("|"):
                other = self._expression()
                return lambda row: first(row) or other(row)
            return first
        finally:
            self._depth -= 1

    def _single(self) -> _Test:
        if not self._skip("("):
            return self._comparison()
        test = self._expression()
        self._expect(")")
        return test

    def _comparison(self) -> _Test:
        column = self._take("word", "a column")
        kind, name = self._next("a comparison")
        compare = _COMPARISONS.get(name)
        if compare is None or kind == "value":
            raise self._error(f"{name!r} is not a comparison; there are: {', '.join(_COMPARISONS)}")
        value = self._values() if name == "in" else self._value()

        def test(row: Row) -> bool:
            try:
                return compare(_column(row, column), value)
            except TypeError:
                return False  # null, or a number and a text, cannot be compared

        return test

    def _values(self) -> list[Any]:
        self._expect("[")
        values = [self._value()]
        while self._skip(","):
            values.append(self._value())
        self._expect("]")
        return values

    def _value(self) -> Any:
        try:
            return json.loads(self._take("value", "a value"), strict=False)
        except ValueError:
            raise self._error("a string in it is malformed") from None

    # -- tokens -------------------------------------------------------------------------------

    def _next(self, expected: str) -> tuple[str, str]:
        if not self._tokens:
            raise self._error(f"{expected} is missing at its end")
        return self._tokens.popleft()

    def _take(self, kind: str, expected: str) -> str:
        found, text = self._next(expected)
        if found != kind:
            raise self._error(f"found {text!r} instead of {expected}")
        return text

    def _skip(self, sign: str) -> bool:
        if self._tokens and self._tokens[0] == ("sign", sign):
            self._tokens.popleft()
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._skip(sign):
            raise self._error(f"{sign!r} is missing")

    def _error(self, what: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"the filter {self._text[:_SHOWN_CHARS]!r} is malformed: {what}")
