"""What the benchmarks share: a gateway that serves, and the official clients to compare with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["backend_ai", "clean_environment", "installed_peer", "served"]

ACCESS_KEY = "AKIABENCHMARKSTREAMS"
SECRET_KEY = "Secret-key-of-the-benchmarks-0123456789a"


def backend_ai() -> str:
    """Our command, beside the Python that runs this."""
    return str(Path(sysconfig.get_path("scripts")) / "backend.ai")


def clean_environment(folder: Path) -> dict[str, str]:
    """The caller's environment without settings of a server or of Python, and with a HOME."""
    # PYTHONDONTWRITEBYTECODE, for one, would have every run compile a checkout anew.
    ours = ("BACKEND_", "SORNA_", "PYTHON")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and not name.lower().endswith("_proxy")
    }
    return kept | {"HOME": str(folder)}


@dataclass(frozen=True)
class Served:
    """A gateway that serves."""

    variables: dict[str, str]
    """What leads to it."""
    pid: int


@contextmanager
def served(folder: Path, env: dict[str, str], *options: str) -> Iterator[Served]:
    """A gateway that `backend.ai serve` keeps, under further options."""
    data = ["--data", str(folder)]
    with subprocess.Popen(
        [backend_ai(), "serve", "--port", "0", "--access-key", ACCESS_KEY, *data, *options],
        env=env | {"BACKEND_SECRET_KEY": SECRET_KEY},
        stderr=subprocess.PIPE,
        text=True,
    ) as gateway:
        try:
            assert gateway.stderr is not None
            said = gateway.stderr.readline()
            url = re.search(r"Serving on (\S+)", said)
            if url is None:
                sys.exit(f"the gateway did not start: {said}")
            variables = {
                "BACKEND_ENDPOINT": url[1],
                "BACKEND_ACCESS_KEY": ACCESS_KEY,
                "BACKEND_SECRET_KEY": SECRET_KEY,
            }
            yield Served(variables, gateway.pid)
        finally:
            gateway.terminate()


def installed_peer(version: str, requirements: Sequence[str]) -> Path:
    """An official client in a venv below the user's cache folder; installed the first time.

    Args:
        version: of the client.
        requirements: what pip is given, one call each: the client, and what it needs to run today.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    venv = cache / "backendai-trio" / f"client-{version}-python-{python}"
    done = venv / "complete"
    if not done.exists():
        print(f"Installing the official client {version} in {venv} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        for requirement in requirements:
            pip = [str(venv / "bin" / "pip"), "install", "-q", "--upgrade"]
            subprocess.run([*pip, *requirement.split()], check=True)
        done.touch()
    return venv
