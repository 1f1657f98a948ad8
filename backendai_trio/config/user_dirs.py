"""The folders of this user for data, settings and state, as the platform has them; and how a file
there is written."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

__all__ = ["config_folder", "data_folder", "state_folder", "write_private"]


def data_folder() -> Path:
    """Folder for data, such as key pairs and virtual folders of a gateway."""
    return _folder("LOCALAPPDATA", "Local", "XDG_DATA_HOME", ".local/share")


def config_folder() -> Path:
    """Folder for settings."""
    return _folder("APPDATA", "Roaming", "XDG_CONFIG_HOME", ".config")


def state_folder() -> Path:
    """Folder for state: history, logins, the journal of kernels."""
    return _folder("LOCALAPPDATA", "Local", "XDG_STATE_HOME", ".local/state")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read. After a failure the old file is unchanged.

    Args:
        path: the file; its folder is made.
        text: the content, written as UTF-8.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, written = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # mode 0600
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(written).replace(path)
    except BaseException:  # Ctrl-C, too, leaves no partial file
        Path(written).unlink(missing_ok=True)
        raise


def _folder(windows_variable: str, windows_name: str, xdg_variable: str, xdg_name: str) -> Path:
    if sys.platform == "win32":
        given = os.environ.get(windows_variable)
        base = Path(given or Path.home() / "AppData" / windows_name)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get(xdg_variable) or Path.home() / xdg_name)
    return base / "backendai-trio"
