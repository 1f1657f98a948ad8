"""The official clients, each in a venv of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NEWEST", "PEERS", "USUAL", "PeerMissing", "find_peers"]

ROOT = Path(__file__).parent.parent
USUAL, NEWEST = "23.9.10", "26.9.6"
"""The client that rows are compared with, and the newest one."""


@dataclass(frozen=True)
class _Peer:
    python: str
    """The version of Python that it needs."""
    requirements: tuple[str, ...]


PEERS = {
    USUAL: _Peer("3.11", (f"backend.ai-client=={USUAL}", "yarl<1.10")),  # 1.10 moved what it uses
    NEWEST: _Peer("3.13", (f"backend.ai-client=={NEWEST}",)),
}


class PeerMissing(Exception):
    """An official client cannot be installed here."""


def find_peers(
    given: Mapping[str, Path], wanted: Iterable[str]
) -> tuple[dict[str, Path], list[str]]:
    """The folders of commands of official clients, which are installed the first time.

    Args:
        given: venvs that have a client already, by its release.
        wanted: releases, of `PEERS`.

    Returns:
        The folders by release, and why others are missing.
    """
    found: dict[str, Path] = {}
    missing: list[str] = []
    for release in wanted:
        try:
            venv = given.get(release) or _installed(release)
        except PeerMissing as exc:
            missing.append(f"official client {release}: {exc}")
            continue
        found[release] = venv / "bin"
    return found, missing


def _installed(release: str) -> Path:
    """A client in a venv below the user's cache folder; installed the first time.

    Raises:
        PeerMissing: there is no Python for it, or pip failed.
    """
    peer = PEERS[release]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    venv = cache / "backendai-trio" / f"client-{release}-python-{peer.python}"
    done = venv / "complete"
    if done.exists():
        return venv
    python = _find_python(peer.python)
    if python is None:
        raise PeerMissing(
            f"it needs Python {peer.python}, and none was found; install it, or name it in "
            f"BACKENDAI_PYTHON_{peer.python.replace('.', '_')}"
        )
    print(f"Installing the official client {release} in {venv} ...", file=sys.stderr)
    pip = [str(venv / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
    for step in ([str(python), "-m", "venv", "--clear", str(venv)], [*pip, *peer.requirements]):
        try:
            subprocess.run(step, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as exc:
            raise PeerMissing(f"{' '.join(step[:3])} failed: {exc.stderr[-300:]}") from exc
    done.touch()
    return venv


def _find_python(version: str) -> Path | None:
    """The one that the lab of real managers finds."""
    folder = str(ROOT / "tests" / "managers")
    sys.path.insert(0, folder)
    try:
        from lab.pythons import find_python  # type: ignore[import-not-found]
    finally:
        sys.path.remove(folder)
    found: Path | None = find_python(version)
    return found
