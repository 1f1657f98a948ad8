"""Programs that print line by line, beside those that print the same text at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from ..rows import BARE, OURS, Limit, Row
from ..servers import backend_ai, gateway
from ..setting import Setting
from ..turns import in_turns
from ..workers import MeasuringFailed, completed

NAME = "prints"
TITLE = "Programs that print line by line"
LIMIT = 2.0
"""Of the time of the same text in one write; see README.md."""


def measure(setting: Setting) -> Iterator[Row]:
    lines = setting.count(300_000, 100_000)
    loop = f"for i in range({lines}): print(i)"
    write = f"print('\\n'.join(map(str, range({lines}))))"
    with setting.place() as (folder, env), gateway(folder / "data", env) as served:
        (folder / "loop.py").write_text(loop)
        (folder / "write.py").write_text(write)
        pairs = {
            "as code": (["-c", loop], ["-c", write]),
            "as a file": (["loop.py"], ["write.py"]),
        }
        for form, arguments in pairs.items():
            one, other = (
                partial(_seconds, each, lines, folder, env | served.variables) for each in arguments
            )
            measures: dict[str, Callable[[], float]] = {OURS: one, BARE: other}
            samples = in_turns(measures, setting.round_count(5, 2), twice=False)
            name = f"{lines:,} lines, {form}"
            yield Row(NAME, name, samples, bare="one write", limit=Limit(LIMIT, BARE))


def _seconds(arguments: list[str], lines: int, folder: Path, env: Mapping[str, str]) -> float:
    """How long the command takes, with its output in a pipe that is read at once."""
    argv = [backend_ai(), "run", "-q", "python", *arguments]
    begun = time.perf_counter()
    done = completed(argv, env, folder)
    lasted = time.perf_counter() - begun
    if done.returncode or done.stdout.count(b"\n") != lines:
        raise MeasuringFailed(f"output is missing: {done.stderr.decode(errors='replace')[-300:]}")
    return lasted
