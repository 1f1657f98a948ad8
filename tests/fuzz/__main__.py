"""Fuzz one target: ``python -m tests.fuzz TARGET --seconds N``.

Guided by coverage with atheris, where that is installed; else with hypothesis, whose examples are
mutations of the corpus. An input that breaks a property is saved below ``build/fuzz/``; move it to
``tests/fuzz/corpus/TARGET/found-NAME`` together with the mend. Inputs that have reached new code
stay there as well, and the next run goes on with them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from .registry import TARGETS


def main() -> int:
    """Run a target in a process of its own, with a folder for its files that is removed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "list"], help="'list' prints all of them")
    parser.add_argument("--seconds", type=int, default=600, help="how long; default: 600")
    parser.add_argument(
        "--engine", choices=["atheris", "hypothesis"], help="default: what there is"
    )
    options = parser.parse_args()
    if options.target == "list":
        print(*TARGETS, sep="\n")
        return 0
    engine = options.engine or ("atheris" if find_spec("atheris") else "hypothesis")
    found = Path("build/fuzz", options.target).absolute()
    found.mkdir(parents=True, exist_ok=True)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzzing-", dir=memory) as folder:
        command = [sys.executable, "-m", f"{__package__}.{engine}_engine", options.target]
        environ = {**os.environ, "TMPDIR": folder}
        done = subprocess.run([*command, str(options.seconds), str(found)], env=environ)
    outcome = f"FAILED; the input is in {found}" if done.returncode else "nothing found"
    print(f"{options.target}: {time.monotonic() - begun:.0f} s with {engine}: {outcome}")
    return min(abs(done.returncode), 1)


if __name__ == "__main__":
    sys.exit(main())
