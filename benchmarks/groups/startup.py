"""How long commands take to start."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ..peers import USUAL
from ..rows import BARE, OURS, Limit, Row
from ..servers import backend_ai, gateway
from ..setting import Setting
from ..turns import in_turns
from ..workers import MeasuringFailed, completed

NAME = "startup"
TITLE = "Commands, from their start to their end"
PASS = "python3 -c pass"
START_LIMIT, RUN_LIMIT = 5.0, 30.0
"""Of the time of a Python that does nothing."""
RUN = ("run", "-q", "python3", "-c", "pass")


def measure(setting: Setting) -> Iterator[Row]:
    rounds = setting.round_count(9, 4)
    with setting.place() as (folder, env), ExitStack() as stack:
        served = env | stack.enter_context(gateway(folder / "data", env)).variables
        bare = partial(seconds, [sys.executable, "-c", "pass"], env)
        for arguments in (["--help"], ["config"], ["completion", "bash"]):
            measures: dict[str, Callable[[], float]] = {
                OURS: partial(seconds, [backend_ai(), *arguments], env)
            }
            if arguments == ["--help"]:
                measures |= _official(setting, arguments, env)
            measures[BARE] = bare
            samples = in_turns(measures, rounds, twice=False)
            name = f"backend.ai {' '.join(arguments)}"
            limit = Limit(START_LIMIT, BARE)
            is_help = arguments == ["--help"]
            yield Row(NAME, name, samples, bare=PASS, limit=limit, headline=is_help)
        embedded = {OURS: partial(seconds, [backend_ai(), *RUN], env), BARE: bare}
        samples = in_turns(embedded, rounds, twice=False)
        name = "backend.ai run python3 -c pass, with a gateway of its own"
        limit = Limit(RUN_LIMIT, BARE)
        yield Row(NAME, name, samples, bare=PASS, limit=limit, headline=True)
        runs: dict[str, Callable[[], float]] = {
            OURS: partial(seconds, [backend_ai(), *RUN], served)
        }
        theirs = ["run", "-q", "--rm", *RUN[2:]]
        runs |= _official(setting, theirs, served)
        samples = in_turns(runs, rounds, twice=False)
        name = "backend.ai run python3 -c pass, on a gateway"
        yield Row(NAME, name, samples, limit=Limit(1, USUAL))


def _official(
    setting: Setting, arguments: Sequence[str], env: Mapping[str, str]
) -> dict[str, Callable[[], float]]:
    return {
        release: partial(seconds, [str(commands / "backend.ai"), *arguments], env)
        for release, commands in setting.peers.items()
    }


def seconds(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None = None) -> float:
    """How long a command takes.

    Raises:
        MeasuringFailed: it failed.
    """
    start = time.perf_counter()
    done = completed(argv, env, cwd, stdin=subprocess.DEVNULL, text=True)
    took = time.perf_counter() - start
    if done.returncode:
        said = (done.stderr or done.stdout)[-500:]
        raise MeasuringFailed(f"{' '.join(argv[:4])} failed: {said}")
    return took
