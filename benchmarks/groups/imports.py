"""How long it takes to import each interface."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..rows import OURS, Row
from ..setting import Setting
from ..turns import in_turns
from ..workers import MeasuringFailed, completed

NAME = "imports"
TITLE = "Import of each interface, in a new process"
FACES = {
    "Trio": ("from backendai_trio import open_client, open_kernel", "AsyncSession"),
    "asyncio": ("from backendai_trio.asyncio import AsyncKernel", "AsyncSession"),
    "blocking": ("from backendai_trio import Kernel", "Session"),
}
OFFICIAL = "from ai.backend.client.session import {}"


def measure(setting: Setting) -> Iterator[Row]:
    with setting.place() as (_, env):

        def seconds(python: Path | str, statement: str) -> float:
            code = (
                f"import time; start = time.perf_counter(); {statement}; "
                "print(time.perf_counter() - start)"
            )
            argv = [str(python), "-W", "ignore", "-c", code]
            done = completed(argv, env, text=True)
            if done.returncode:
                raise MeasuringFailed(f"{statement}: {done.stderr[-300:]}")
            return float(done.stdout.split()[-1])

        for face, (statement, official) in FACES.items():
            measures: dict[str, Callable[[], float]] = {
                OURS: partial(seconds, sys.executable, statement)
            }
            for release, commands in setting.peers.items():
                theirs = OFFICIAL.format(official)
                measures[release] = partial(seconds, commands / "python", theirs)
            samples = in_turns(measures, setting.round_count(7, 3), twice=False)
            yield Row(NAME, f"import, {face}", samples)
