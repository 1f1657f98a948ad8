"""Logins, kept from one command to the next in a file that its owner alone can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .settings import Login
from .user_dirs import state_folder, write_private

__all__ = ["forget_login", "logins_file", "read_login", "save_login"]


def logins_file() -> Path:
    """The file, whether it is there or not."""
    return state_folder() / "logins.json"


def read_login(url: str) -> Login | None:
    """The login at the server with this address; None if there is none.

    Raises:
        ConfigError: the file cannot be read.
    """
    match _read().get(url):
        case {"username": str(name), "access_key": str(key), "cookies": dict(cookies)}:
            return Login(name, key, {str(k): str(v) for k, v in cookies.items()})
    return None


def save_login(url: str, login: Login) -> None:
    """Keep a login, instead of an earlier one there.

    Raises:
        ConfigError: the file cannot be read or written. It is not changed then.
    """
    kept = {"username": login.username, "access_key": login.access_key}
    _write(_read() | {url: kept | {"cookies": dict(login.cookies)}})


def forget_login(url: str) -> None:
    """Keep the login there no longer.

    Raises:
        ConfigError: as for `save_login`.
    """
    logins = _read()
    if logins.pop(url, None) is not None:
        _write(logins)


def _read() -> dict[str, Any]:
    import json  # here, since most starts have no need of it

    path = logins_file()
    try:
        logins = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as exc:
        raise ConfigError(str(path), f"cannot be read ({exc}); mend or remove the file") from None
    return logins if isinstance(logins, dict) else {}


def _write(logins: dict[str, Any]) -> None:
    import json

    path = logins_file()
    try:
        write_private(path, json.dumps(logins, indent=1))
    except OSError as exc:
        raise ConfigError(str(path), f"cannot be written ({exc.strerror})") from None
