"""A list of the admin API as a query: its columns, pages, filter and order.

Source: docs/protocol.md, section 8.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import LocalProtocolError, RemoteProtocolError
from .graphql import GraphQLQuery
from .json_fields import Fields, decode_json

__all__ = ["LIST_FILTERS", "REQUESTED_SLOTS", "Listing", "columns_of"]

LIST_FILTERS = "list-filters"
"""Feature of our gateway: lists take `filter` and `order`, as on managers from 20.09.21 on."""
REQUESTED_SLOTS = "requested-slots"
"""Feature of our gateway: rows of sessions have `requested_slots`, as on managers from 24.03 on."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_ORDER = re.compile(r"([+-]?)([A-Za-z_][A-Za-z_0-9]*)")
_SECRETS = frozenset({"secret_key", "ssh_private_key", "password"})
_JSON_ENDS = ("_slots", "_opts", "_stat", "_data", "_checks", "_ports", "_metadata", "_hosts")
"""Ends of the names of fields whose values are JSON in a string (``JSONString``)."""


def columns_of(text: str) -> dict[str, Sequence[str]]:
    """Columns of a list, and the server's fields that each of them is read from.

    Args:
        text: names with spaces between; ``name:sess_id`` where the server calls it otherwise, and
            ``slots:mem_slots+cpu_slots`` where the column is an object of several fields.
    """
    parts = [item.partition(":") for item in text.split()]
    return {name: (source or name).split("+") for name, _, source in parts}


@dataclass(frozen=True, slots=True)
class Listing:
    """The query that lists one kind of object in one era."""

    root: str
    """Name of the root field."""
    columns: Mapping[str, Sequence[str]]
    """The columns that are asked for, see `columns_of`."""
    paged: bool = False
    """Whether rows come page by page, or all at once."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Further arguments and their types."""
    fixed: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    """Arguments that every query has: their types and values."""
    own: Listing | None = None
    """The query of ordinary users, whose schema lacks the root field, for what is their own."""
    keys: Sequence[str] = ()
    """Names of the columns in all eras. Every row has them, null where the server has no such
    field; empty for just `columns`."""
    sorts: Literal["", "column", "columns"] = ""
    """Whether the server sorts rows, and by how many columns."""
    filters: bool = False
    """Whether the server takes a filter."""

    def selected(self, names: Iterable[str]) -> Listing:
        """The same list with these columns, and no others.

        Args:
            names: of columns, or of fields of the server.

        Raises:
            LocalProtocolError: a name is malformed, the server has no such column, or it is that
                of a secret.
        """
        chosen: dict[str, Sequence[str]] = {}
        for name in names:
            if not _NAME.fullmatch(name):
                raise LocalProtocolError(f"{name!r} is not the name of a field")
            if name in _SECRETS:
                raise LocalProtocolError(f"{name} is a secret, and not shown in lists")
            if name not in self.columns and name in self.keys:
                have = ", ".join(self.columns)
                raise LocalProtocolError(f"{self.root} has no {name} on this server; it has {have}")
            chosen[name] = self.columns.get(name, (name,))
        own = self.own.selected(chosen) if self.own is not None else None
        return replace(self, columns=chosen, keys=(), own=own)

    def query(
        self,
        *,
        offset: int = 0,
        limit: int = 100,
        arguments: Mapping[str, str] | None = None,
        filter: str = "",
        order: str = "",
    ) -> GraphQLQuery:
        """The query for a page of rows, or for all.

        Args:
            offset: rows to skip, if the listing is paged.
            limit: rows at most, 1-100, likewise.
            arguments: values of the list's own arguments, e.g. ``{"status": "RUNNING"}``.
            filter: a condition, e.g. ``name contains "lab"``.
            order: columns to sort by, e.g. ``-created_at,+name``.

        Raises:
            LocalProtocolError: the server's list does not take one of them.
        """
        given = dict(arguments or {})
        for name in given:
            if name not in self.arguments:
                raise LocalProtocolError(f"{self.root} cannot be listed by {name} on this server")
        values: dict[str, tuple[str, Any]] = dict(self.fixed)
        if self.paged:
            values |= {"limit": ("Int!", limit), "offset": ("Int!", offset)}
        values |= {name: (self.arguments[name], value) for name, value in given.items()}
        values |= self._filter(filter) | self._order(order)
        declared = ", ".join(f"${name}: {kind}" for name, (kind, _) in values.items())
        passed = ", ".join(f"{name}: ${name}" for name in values)
        fields = " ".join(map(_selection, self.columns, self.columns.values()))
        rows = f"{{ items {{ {fields} }} total_count }}" if self.paged else f"{{ {fields} }}"
        text = "query{} {{ {}{} {} }}".format(
            f"({declared})" if declared else "", self.root, f"({passed})" if passed else "", rows
        )
        return GraphQLQuery(text, {name: value for name, (_, value) in values.items()})

    def _filter(self, text: str) -> dict[str, tuple[str, Any]]:
        if not text:
            return {}
        if not self.filters:
            since = "; managers do from 20.09.21 on" if self.paged else ""
            raise LocalProtocolError(
                f"this server does not filter {self.root}{since}; leave out --filter"
            )
        return {"filter": ("String", text)}

    def _order(self, text: str) -> dict[str, tuple[str, Any]]:
        if not text:
            return {}
        if self.sorts == "columns":
            return {"order": ("String", text)}
        if not self.sorts:
            raise LocalProtocolError(f"this server does not sort {self.root}; leave out --order")
        match = _ORDER.fullmatch(text.strip())
        if match is None:
            raise LocalProtocolError(
                f"{text!r}: this server sorts {self.root} by one column, as in -created_at"
            )
        return {"order_key": ("String", match[2]), "order_asc": ("Boolean", match[1] != "-")}

    def decode(self, answer: Mapping[str, Any]) -> tuple[Sequence[Mapping[str, Any]], int]:
        """The rows in the data of a reply, and the number of rows in all.

        Args:
            answer: the data, without its envelope.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields(answer, f"list of {self.root}")
        if not self.paged:
            found = answer.get(self.root)
            # A root field may give a single object: one's own key pair.
            rows = self._rows(found if isinstance(found, list) else [found])
            return rows, len(rows)
        page = top.nested(self.root)
        rows = self._rows(page.items("items"))
        return rows, page.integer("total_count", default=len(rows))

    def _rows(self, found: Sequence[object]) -> list[Mapping[str, Any]]:
        # An object that does not exist is null.
        return [self._row(item) for item in found if isinstance(item, dict)]

    def _row(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        row: dict[str, Any] = dict.fromkeys(self.keys)
        for name, sources in self.columns.items():
            if len(sources) == 1:
                row[name] = _parsed(name, item.get(name))
            else:
                parts = {_slot(source): item.get(source) for source in sources}
                given = {slot: str(value) for slot, value in parts.items() if value is not None}
                row[name] = given or None
        return row


def _selection(name: str, sources: Sequence[str]) -> str:
    if len(sources) > 1:
        return " ".join(sources)
    return name if sources[0] == name else f"{name}: {sources[0]}"


def _slot(field_name: str) -> str:
    """``mem`` for ``mem_slots``."""
    return field_name.partition("_slot")[0]


def _parsed(name: str, value: Any) -> Any:
    """A value; JSON in a string becomes what it says."""
    if not isinstance(value, str) or not name.endswith(_JSON_ENDS):
        return value
    try:
        return decode_json(value.encode("utf-8", "replace"), name)
    except RemoteProtocolError:
        return value
