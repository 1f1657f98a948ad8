"""The folders of this user for data, settings and state, as the platform has them; and how a folder
and a file there are made."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = [
    "check_private",
    "config_folder",
    "data_folder",
    "make_private_file",
    "make_private_folder",
    "state_folder",
    "sync_folder",
    "write_private",
]


def data_folder() -> Path:
    """Folder for data, such as key pairs and virtual folders of a gateway."""
    return _folder("LOCALAPPDATA", "Local", "XDG_DATA_HOME", ".local/share")


def config_folder() -> Path:
    """Folder for settings."""
    return _folder("APPDATA", "Roaming", "XDG_CONFIG_HOME", ".config")


def state_folder() -> Path:
    """Folder for state: history, logins, the journal of kernels."""
    return _folder("LOCALAPPDATA", "Local", "XDG_STATE_HOME", ".local/state")


def make_private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter, and so those above it that do not exist.

    `Path.mkdir` makes those above with the permissions that the umask leaves: with a umask of 0,
    everybody could put another folder in the place of this one.

    Args:
        path: the folder. If it exists, its permissions stay as they are.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        return
    if path.parent != path:
        make_private_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def make_private_file(path: Path) -> None:
    """Make an empty file that only its owner can read, and its folder.

    If the file is there, others are kept from reading it.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be made, or its file system lets others read it.
    """
    make_private_folder(path.parent)
    made = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if sys.platform != "win32":
            with suppress(PermissionError):  # of a file system without permissions
                os.fchmod(made, 0o600)
            check_private(made)
    finally:
        os.close(made)
    sync_folder(path.parent)


def check_private(file: int) -> None:
    """Check that only its owner can read a file.

    Args:
        file: its descriptor.

    Raises:
        PermissionError: others can.
    """
    if sys.platform != "win32" and os.fstat(file).st_mode & 0o077:
        raise PermissionError(
            errno.EPERM, "its file system has no permissions that keep other users out"
        )


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, where the platform and the file system can.

    A file that is on the disk without its name is lost when the power fails.

    Args:
        path: the folder.

    Raises:
        OSError: the disk fails.
    """
    if sys.platform == "win32":
        return
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a folder that may be entered, but not listed
        return
    try:
        os.fsync(folder)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(folder)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, so that it outlives a power failure.

    After an error the old file is unchanged.

    Args:
        path: the file; its folder is made.
        text: the content, written as UTF-8.

    Raises:
        OSError: it cannot be written, or its file system lets others read it.
    """
    make_private_folder(path.parent)
    fd, written = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # mode 0600
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            check_private(fd)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(written).replace(path)
        sync_folder(path.parent)
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
