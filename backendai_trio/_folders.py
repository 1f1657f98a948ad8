"""Where the platform keeps what belongs to a user: one rule for all three kinds of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["config_folder", "data_folder", "state_folder"]


def data_folder() -> Path:
    """Where the platform keeps a user's program data."""
    return _folder("LOCALAPPDATA", "Local", "XDG_DATA_HOME", ".local/share")


def config_folder() -> Path:
    """Where the platform keeps a user's settings of a program."""
    return _folder("APPDATA", "Roaming", "XDG_CONFIG_HOME", ".config")


def state_folder() -> Path:
    """Where the platform keeps what a user's programs remember of themselves."""
    return _folder("LOCALAPPDATA", "Local", "XDG_STATE_HOME", ".local/state")


def _folder(windows_variable: str, windows_name: str, xdg_variable: str, xdg_name: str) -> Path:
    if sys.platform == "win32":
        given = os.environ.get(windows_variable)
        base = Path(given or Path.home() / "AppData" / windows_name)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get(xdg_variable) or Path.home() / xdg_name)
    return base / "backendai-trio"
