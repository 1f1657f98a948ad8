"""From the create of a kernel to the first output of code in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from ..peers import USUAL
from ..rows import OURS, Limit, Row
from ..servers import gateway
from ..setting import Setting
from ..turns import in_turns
from ..workers import open_worker

NAME = "sessions"
TITLE = "From a create to the first output, on a gateway"


def measure(setting: Setting) -> Iterator[Row]:
    with setting.place() as (folder, env), ExitStack() as stack:
        served = env | stack.enter_context(gateway(folder / "data", env)).variables
        workers = {OURS: open_worker(sys.executable, "ours_streams.py", served)}
        for release, commands in setting.peers.items():
            workers[release] = open_worker(commands / "python", "official_streams.py", served)
        measures: dict[str, Callable[[], float]] = {
            who: partial(stack.enter_context(worker).seconds, "first_output")
            for who, worker in workers.items()
        }
        samples = in_turns(measures, setting.round_count(15, 5))
    name = "create of a Python kernel, until it has printed"
    yield Row(NAME, name, samples, limit=Limit(1, USUAL), headline=True)
