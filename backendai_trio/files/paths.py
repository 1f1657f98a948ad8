"""Names of files, which must stay in the folder that they are joined to.

`safe_join` and `link_target` block; asynchronous callers use threads.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import LocalProtocolError
from ..wire.multipart import check_name

__all__ = ["check_local_name", "check_remote_folder", "link_target", "safe_join"]


def check_remote_folder(path: str) -> str:
    """Refuse a folder to upload to that lies outside of the one where uploads go.

    Args:
        path: relative to the work folder, or to the virtual folder, with forward slashes; ``""``
            and ``.`` are that folder.

    Returns:
        The path without empty components and ``.``; ``""`` for that folder.

    Raises:
        LocalProtocolError: it is hostile (`check_name`).
    """
    folder = path.rstrip("/") or path  # "/" is absolute, and not the work folder
    return "" if folder in ("", ".") else check_name(folder)


def check_local_name(name: str) -> str:
    """Refuse a name that could leave the folder that it is joined to on this machine.

    Args:
        name: relative, with forward slashes.

    Returns:
        The name without empty components and ``.``.

    Raises:
        LocalProtocolError: the name is hostile (`check_name`), or has a colon on Windows, where
            that names a drive or a hidden stream of a file.
    """
    if sys.platform == "win32" and ":" in name:
        raise LocalProtocolError(f"{name!r} has a colon in it, which Windows takes for a drive")
    return check_name(name)


def safe_join(root: Path, name: str, *, also: Iterable[Path] = ()) -> Path:
    """The path of `name` below `root`; refused if a symbolic link on the way leads out of `root`.

    The file need not exist, nor its folders. `root` itself may be a link.

    Args:
        root: an existing folder.
        name: relative, with forward slashes.
        also: resolved folders that a link may lead to, such as mounted ones.

    Returns:
        The path. Its last component may be a link, and is not followed.

    Raises:
        LocalProtocolError: the name is hostile (`check_local_name`), or leads out of `root`.
    """
    root = root.resolve()
    target = root / check_local_name(name)
    parent = target.parent.resolve()
    if not any(parent.is_relative_to(folder) for folder in (root, *also)):
        raise LocalProtocolError(f"{name!r} leads out of the folder through a symbolic link")
    return target


def link_target(path: Path) -> Path:
    """The file that is written when somebody writes to `path`: symbolic links are followed.

    For names that a person chose. A name that came from a server must not be followed.

    Args:
        path: a file that need not exist.

    Raises:
        OSError: links lead in a circle.
    """
    if not path.is_symlink():
        return path
    circle = OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    try:
        target = path.resolve()
    except RuntimeError:  # up to Python 3.12
        raise circle from None
    if target.is_symlink():  # from 3.13 on it is not told
        raise circle
    return target
