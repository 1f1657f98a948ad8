"""How the processes of clients are told what to measure.

A process reads orders from standard input, a JSON list on a line each: the name of a measure and
its arguments. It answers each with a line: the figures by name, or an error. Standard library only,
since the Pythons of official clients run it, too.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]

# What clients print by themselves must not get between the answers.
_ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(figures: Figures) -> None:
    print(json.dumps(figures), file=_ANSWERS, flush=True)


def next_order() -> list[Any]:
    """The next order; empty at the end. Blocks."""
    line = sys.stdin.readline()
    order: list[Any] = json.loads(line) if line.strip() else []
    return order


def _told(exc: Exception) -> str:
    lines = traceback.format_exception(exc)
    return f"{type(exc).__name__}: {exc}\n{''.join(lines)[-1500:]}"


async def obey(
    measures: Mapping[str, Callable[..., Awaitable[Figures] | Figures]],
    in_thread: Callable[[Callable[[], list[Any]]], Awaitable[list[Any]]],
) -> None:
    """Obey until the orders end."""
    while order := await in_thread(next_order):
        try:
            found = measures[order[0]](*order[1:])
            answer(await found if inspect.isawaitable(found) else found)
        except Exception as exc:  # the measuring program reports it
            answer({"error": _told(exc)})


def obey_blocking(measures: Mapping[str, Callable[..., Figures]]) -> None:
    """Obey until the orders end."""
    while order := next_order():
        try:
            answer(measures[order[0]](*order[1:]))
        except Exception as exc:
            answer({"error": _told(exc)})
