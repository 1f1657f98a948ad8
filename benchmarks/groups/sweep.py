"""What a sweep adds to each of its cases."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..rows import BARE, OURS, Limit, Row
from ..servers import backend_ai, null_server
from ..setting import Setting
from ..turns import in_turns
from ..workers import open_worker
from .startup import seconds

NAME = "sweep"
TITLE = "A case of a sweep, with a server that answers at once"
LIMIT = 1.2
"""Of the same work without a sweep."""


def measure(setting: Setting) -> Iterator[Row]:
    with setting.place() as (folder, env), null_server(env) as server:
        served = env | server.variables
        count = setting.count(200, 50)
        with open_worker(sys.executable, "ours_scale.py", served) as worker:
            orders = {OURS: "sweep", BARE: "loop"}
            measures: dict[str, Callable[[], float]] = {
                who: partial(worker.seconds, order, count) for who, order in orders.items()
            }
            samples = in_turns(measures, setting.round_count(9, 3))
        bare = "kernels by hand"
        limit = Limit(LIMIT, BARE)
        yield Row(NAME, "a case of open_sweep", samples, bare=bare, limit=limit, headline=True)
        measures = {OURS: partial(_case_of_command, count, served, folder)}
        samples = in_turns(measures, setting.round_count(5, 2), twice=False)
        yield Row(NAME, "a case of backend.ai run --env-range", samples)


def _case_of_command(count: int, env: dict[str, str], folder: Path) -> float:
    """The time of a sweep without its start, which one case has as well, by cases."""

    def run(cases: int) -> float:
        values = f"N=range:0,{cases},1"
        argv = [backend_ai(), "run", "-q", "--env-range", values, "python", "-c", "pass"]
        return seconds(argv, env, folder)

    start = run(1)
    whole = run(count + 1)
    # On a busy machine the one may have been slower than the other; a case takes no less than 1 us.
    return max((whole - start) / count, 1e-6)
