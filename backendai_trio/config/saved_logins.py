"""Logins that are kept from one command to the next, in a file that only its owner can read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .settings import Login
from .user_dirs import state_folder, write_private

__all__ = ["forget_login", "logins_file", "read_login", "save_login"]


def logins_file() -> Path:
    """Path of the file, which need not exist."""
    return state_folder() / "logins.json"


def read_login(url: str) -> Login | None:
    """The login at the server with this URL; None if there is none.

    Raises:
        ConfigError: the file cannot be read, or others may read it.
    """
    match _read().get(url):
        case {"username": str(name), "access_key": str(key), "cookies": dict(cookies)}:
            return Login(name, key, {str(k): str(v) for k, v in cookies.items()})
    return None


def save_login(url: str, login: Login) -> None:
    """Save a login, in place of an earlier one at the same server.

    Args:
        url: of the server.
        login: what the server has given.

    Raises:
        ConfigError: the file cannot be read or written. It is then unchanged.
    """
    saved = {
        "username": login.username,
        "access_key": login.access_key,
        "cookies": dict(login.cookies),
    }
    _write(_read() | {url: saved})


def forget_login(url: str) -> None:
    """Remove the login at a server.

    Args:
        url: of the server.

    Raises:
        ConfigError: as for `save_login`.
    """
    logins = _read()
    if logins.pop(url, None) is not None:
        _write(logins)


def _read() -> dict[str, Any]:
    import json  # imported here, since most commands do not need it

    path = logins_file()
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            logins = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not JSON"
        raise ConfigError(
            str(path), f"cannot be read ({reason}); remove it, and log in again"
        ) from None
    if sys.platform != "win32" and mode & 0o077:
        raise ConfigError(
            str(path),
            f"other users may read this file, which lets them in as you; run: chmod 600 {path}, or "
            "remove it and log in again",
        )
    return logins if isinstance(logins, dict) else {}


def _write(logins: dict[str, Any]) -> None:
    import json

    path = logins_file()
    try:
        write_private(path, json.dumps(logins, indent=1))
    except OSError as exc:
        raise ConfigError(str(path), f"cannot be written ({exc.strerror})") from None
