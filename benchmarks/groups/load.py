"""What one gateway bears, and how it refuses more."""

from __future__ import annotations

from collections.abc import Iterator

from ..load.executes import measure_executes
from ..load.kernels import measure_kernels
from ..load.terminals import measure_terminals
from ..load.uploads import measure_uploads
from ..rows import Row
from ..setting import Setting

TITLE = "What one gateway bears"


def measure(setting: Setting) -> Iterator[Row]:
    yield from measure_kernels(setting)
    yield from measure_terminals(setting)
    yield from measure_uploads(setting)
    yield from measure_executes(setting)
