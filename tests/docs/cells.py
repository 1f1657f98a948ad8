"""Run programs as the cells of a notebook: in a loop of asyncio, one after another, with one scope.

Usage: python cells.py FILE...    # only what the last of them prints is shown
"""

from __future__ import annotations

import ast
import asyncio
import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from inspect import CO_COROUTINE
from pathlib import Path
from types import CodeType


def read_cell(path: Path) -> CodeType:
    text = path.read_text(encoding="utf-8")
    return compile(text, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def run_cells(cells: Sequence[CodeType]) -> None:
    scope: dict[str, object] = {"__name__": "__main__"}
    for cell in cells[:-1]:
        with redirect_stdout(io.StringIO()):
            await run_cell(cell, scope)
    await run_cell(cells[-1], scope)


async def run_cell(code: CodeType, scope: dict[str, object]) -> None:
    result = eval(code, scope)
    if code.co_flags & CO_COROUTINE:
        await result


if __name__ == "__main__":
    asyncio.run(run_cells([read_cell(Path(name)) for name in sys.argv[1:]]))
