"""Which releases there are, and where they are kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .base import Lab
from .early import Early
from .modern import Modern23, Modern26
from .processes import LabError
from .transition import Transition

__all__ = ["FOLDER_VARIABLE", "PORT_VARIABLE", "RELEASES", "canonical", "lab_of"]

FOLDER_VARIABLE = "BACKENDAI_MANAGERS"
"""Names the folder that everything is kept in."""
PORT_VARIABLE = "BACKENDAI_MANAGERS_PORT"
"""Names the first of 7000 ports."""
_PORT = 20000  # below those that systems hand out to outgoing connections

RELEASES: dict[str, type[Lab]] = {
    "1.1.0": Early,
    "1.3.12": Early,
    "18.12.0": Transition,
    "19.9.27": Transition,
    "20.3.19": Transition,
    "23.9.10": Modern23,
    "26.9.6": Modern26,
}


def canonical(release: str) -> str:
    """A release's number as packages have it: ``23.09.10`` is ``23.9.10``.

    Raises:
        LabError: there is no such release here.
    """
    parts = release.removeprefix("v").split(".")
    number = ".".join(str(int(part)) for part in parts) if all(map(str.isdigit, parts)) else ""
    if number not in RELEASES:
        raise LabError(f"there is no release {release!r} here; there are {', '.join(RELEASES)}")
    return number


def lab_of(release: str) -> Lab:
    """The servers of a release; this starts nothing.

    Raises:
        LabError: there is no such release here.
    """
    number = canonical(release)
    root = Path(os.environ.get(FOLDER_VARIABLE) or _default_folder()).resolve()
    if root.is_relative_to("/home"):
        raise LabError(
            f"{root}: sessions see another /home; name a folder elsewhere in {FOLDER_VARIABLE}"
        )
    base = int(os.environ.get(PORT_VARIABLE) or _PORT) + 1000 * list(RELEASES).index(number)
    return RELEASES[number](number, root, base)


def _default_folder() -> Path:
    # Not below the home folder: the database's user has to get there.
    return Path(tempfile.gettempdir()) / "backendai-managers"
