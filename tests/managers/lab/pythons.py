"""The Pythons that old and new servers need, and virtual environments made from them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .processes import LabError, last_lines

__all__ = ["find_python", "install"]

_SETUP_TOOLS = {
    # Source archives of that time are built with what there was at that time.
    "3.6": ["pip==21.3.1", "setuptools==59.6.0", "wheel==0.37.1"],
    "3.8": ["pip==21.3.1", "setuptools==59.6.0", "wheel==0.37.1"],
}


def find_python(version: str) -> Path | None:
    """A Python of a version such as ``3.6``: on the PATH, of pyenv or of uv; None if there is none.

    ``BACKENDAI_PYTHON_3_6`` names one that is elsewhere.
    """
    for candidate in _candidates(version):
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run(
                [candidate, "-c", code], capture_output=True, text=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.stdout.strip() == version:
            return Path(candidate)
    return None


def _candidates(version: str) -> Iterator[str]:
    if named := os.environ.get(f"BACKENDAI_PYTHON_{version.replace('.', '_')}"):
        yield named
    if found := shutil.which(f"python{version}"):
        yield found
    yield sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    uv = Path.home() / ".local" / "share" / "uv" / "python"
    for parent, pattern in (
        (pyenv / "versions", f"{version}.*"),
        (uv, f"cpython-{version}.*"),
    ):
        yield from map(str, sorted(parent.glob(f"{pattern}/bin/python"), reverse=True))


def install(venv: Path, version: str, requirements: Path, *, log: Path) -> bool:
    """Make a virtual environment with pinned packages, unless it is complete already.

    Returns:
        Whether there was anything to do.

    Raises:
        LabError: there is no such Python, or pip failed.
    """
    complete = venv / "complete.txt"
    wanted = requirements.read_text()
    if complete.is_file() and complete.read_text() == wanted:
        return False
    python = find_python(version)
    if python is None:
        raise LabError(
            f"{requirements.stem} needs Python {version}, and none was found on the PATH or in "
            f"pyenv; install it (e.g. pyenv install {version}), or name it in "
            f"BACKENDAI_PYTHON_{version.replace('.', '_')}"
        )
    shutil.rmtree(venv, ignore_errors=True)
    _run([str(python), "-m", "venv", str(venv)], log)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--prefer-binary"]
    if tools := _SETUP_TOOLS.get(version):
        _run([*pip, *tools], log)
    # The lists are complete, and some pins lie outside of what other packages ask for.
    _run([*pip, "--no-deps", "-r", str(requirements)], log)
    complete.write_text(wanted)
    return True


def _run(command: list[str], log: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    with log.open("ab") as output:
        done = subprocess.run(
            ["nice", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            check=False,
        )
    if done.returncode:
        text = last_lines(log)
        raise LabError(f"{' '.join(command[:4])} failed; the end of {log}:\n{text}")
