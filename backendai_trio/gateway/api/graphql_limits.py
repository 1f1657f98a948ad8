"""Limits of queries of the admin API: a query of a few bytes must not be hours of work.

They are checked before a query is validated: for some queries that alone takes time that grows with
the square of their length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphql import DocumentNode, FragmentDefinitionNode, GraphQLError, parse
from graphql.language import (
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from ..limits import QueryLimits

__all__ = ["parse_query"]


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a selection is made of."""

    depth: int = 0
    fields: int = 0
    top: int = 0
    """Its fields that are not within another."""

    def __add__(self, other: _Cost) -> _Cost:
        depth = max(self.depth, other.depth)
        return _Cost(depth, self.fields + other.fields, self.top + other.top)


def parse_query(text: str, limits: QueryLimits) -> DocumentNode:
    """Parse a query.

    Args:
        text: the query.
        limits: how much it may ask for.

    Raises:
        GraphQLError: it is malformed, or asks for more.
    """
    if len(text) > limits.chars:
        raise GraphQLError(f"the query has more than {limits.chars:,} characters")
    try:
        document = parse(text, no_location=True)
    except RecursionError:  # graphql-core before 3.3
        raise GraphQLError("the query is nested too deeply") from None
    counter = _Counter(document, limits)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            counter.check(counter.selection(definition.selection_set, 0))
    return document


class _Counter:
    """Counts what queries of a document are made of; each fragment is looked at once."""

    def __init__(self, document: DocumentNode, limits: QueryLimits) -> None:
        self._limits = limits
        self._fragments: Mapping[str, FragmentDefinitionNode] = {
            found.name.value: found
            for found in document.definitions
            if isinstance(found, FragmentDefinitionNode)
        }
        self._costs: dict[str, _Cost] = {}

    def check(self, cost: _Cost) -> None:
        """Refuse what exceeds a limit.

        Raises:
            GraphQLError: it does.
        """
        for what, have, most in (
            ("levels of fields", cost.depth, self._limits.depth),
            ("fields", cost.fields, self._limits.fields),
            ("fields at its top", cost.top, self._limits.root_fields),
        ):
            if have > most:
                raise GraphQLError(f"the query has more than {most:,} {what}; ask for less at once")

    def selection(self, node: SelectionSetNode | None, level: int) -> _Cost:
        """The cost of a selection.

        Args:
            node: the selection; None for none.
            level: how many selections and fragments it is within.

        Raises:
            GraphQLError: it is nested too deeply to be looked at.
        """
        if level > 4 * self._limits.depth:  # fragments and conditions count as levels here
            self.check(_Cost(depth=level))
        total = _Cost()
        for item in node.selections if node is not None else ():
            if isinstance(item, FieldNode):
                inner = self.selection(item.selection_set, level + 1)
                total += _Cost(inner.depth + 1, inner.fields + 1, 1)
            elif isinstance(item, InlineFragmentNode):
                total += _Cost(fields=1) + self.selection(item.selection_set, level + 1)
            elif isinstance(item, FragmentSpreadNode):
                total += _Cost(fields=1) + self._fragment(item.name.value, level + 1)
        return total

    def _fragment(self, name: str, level: int) -> _Cost:
        """The cost of a fragment. One that uses itself, or is missing, is left to validation."""
        if name not in self._costs and name in self._fragments:
            self._costs[name] = _Cost()
            self._costs[name] = self.selection(self._fragments[name].selection_set, level)
        return self._costs.get(name, _Cost())
