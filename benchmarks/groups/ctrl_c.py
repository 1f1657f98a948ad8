"""Ctrl-C in `backend.ai run`: until the program in the kernel has stopped."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from ..rows import OURS, Limit, Row
from ..servers import backend_ai, gateway
from ..setting import Setting
from ..turns import in_turns
from ..workers import MeasuringFailed

NAME = "ctrl_c"
TITLE = "Ctrl-C in backend.ai run, until the program in the kernel has stopped"
STOP_SECONDS = 0.05
PATIENCE_SECONDS = 120.0

# Each tells when, or by whose end, it has stopped.
TELLS_WHEN = (
    "import time\ntry:\n    print('up', flush=True)\n    while True: pass\n"
    "except KeyboardInterrupt:\n    print(time.time())\n"
)
TELLS_WHO = (
    "#include <stdio.h>\n#include <unistd.h>\n"
    'int main(void) { printf("up %d\\n", getpid()); fflush(stdout); for (;;); }\n'
)


def measure(setting: Setting) -> Iterator[Row]:
    with setting.place() as (folder, env), gateway(folder / "data", env) as served:
        variables = env | served.variables
        for runtime, language in (("python", "Python"), ("c", "C")):
            measures = {OURS: partial(seconds, runtime, variables)}
            samples = in_turns(measures, setting.round_count(7, 3), twice=False)
            name = f"Ctrl-C, until a busy loop in {language} has stopped"
            headline = runtime == "python"
            yield Row(NAME, name, samples, limit=Limit(STOP_SECONDS), headline=headline)


def seconds(runtime: str, env: Mapping[str, str]) -> float:
    """From the signal of Ctrl-C to the end of a busy loop in a kernel.

    Raises:
        MeasuringFailed: the program did not start, or did not say when it has stopped.
    """
    code = TELLS_WHEN if runtime == "python" else TELLS_WHO
    with subprocess.Popen(
        [backend_ai(), "run", "-q", runtime, "-c", code],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        try:
            up, _, pid = run.stdout.readline().strip().partition(" ")
            if up != "up":
                raise MeasuringFailed(f"run {runtime} printed {up!r} instead of 'up'")
            program = os.pidfd_open(_outside(int(pid))) if pid else None
            start = time.time()  # the program's clock as well
            run.send_signal(signal.SIGINT)
            if program is None:
                said = run.stdout.readline()
                try:
                    return float(said) - start
                except ValueError:
                    raise MeasuringFailed(f"the loop said {said!r} at its end") from None
            ended, _, _ = select.select([program], [], [], PATIENCE_SECONDS)
            end = time.time()
            os.close(program)
            if not ended:
                raise MeasuringFailed(f"run {runtime}: Ctrl-C did not end the program")
            return end - start
        finally:
            try:
                run.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                run.kill()


def _outside(pid: int) -> int:
    """The process of a kernel that calls itself `pid`, by its id for us: kernels may have ids of
    their own."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            is_kernels = "/backendai-gateway-" in str((folder / "cwd").readlink())
        except OSError:
            continue
        ids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        if is_kernels and int(ids[-1]) == pid:
            return int(folder.name)
    raise MeasuringFailed(f"no kernel has a process {pid}")
