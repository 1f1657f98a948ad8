"""Profiles: named sets of settings, in a file of the user.

The file is TOML with one table for each profile. Only its owner may read it, since it holds secret
keys::

    [default]
    endpoint = "https://manager.example.com"
    access_key = "AKIA..."
    secret_key = "..."
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from ..errors import ConfigError
from .layers import Layer
from .parsing import SETTINGS, check_setting
from .user_dirs import config_folder, write_private

__all__ = [
    "DEFAULT_PROFILE",
    "ForbiddenProfiles",
    "profile_layer",
    "profiles_file",
    "read_profiles",
    "save_setting",
]

DEFAULT_PROFILE = "default"
"""The profile that is used when none is named. It need not exist."""


class ForbiddenProfiles(ConfigError):
    """This user may not read the file."""


def profiles_file() -> Path:
    """Path of the file, which need not exist."""
    return config_folder() / "profiles.toml"


def read_profiles() -> dict[str, dict[str, str]]:
    """Read all profiles.

    Returns:
        Settings by name, by the name of the profile; empty if there is no file.

    Raises:
        ForbiddenProfiles: this user may not read the file.
        ConfigError: other users may read the file, it is not TOML, or it holds something that is
            not a setting.
    """
    path = profiles_file()
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read().decode()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as exc:
        raise ForbiddenProfiles(
            str(path),
            f"cannot be read ({exc.strerror}); if HOME is another user's, set it to a folder of "
            "your own, or set XDG_CONFIG_HOME",
        ) from None
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not text in UTF-8"
        raise ConfigError(
            str(path), f"cannot be read ({reason}); mend or remove the file"
        ) from None
    if sys.platform != "win32" and mode & 0o077:
        raise ConfigError(
            str(path), f"other users may read this file with secret keys; run: chmod 600 {path}"
        )
    import tomllib  # imported here, since most commands do not need it

    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(str(path), f"not valid TOML ({exc}); mend or remove the file") from None
    return {name: _settings_of(path, name, table) for name, table in tables.items()}


def profile_layer(name: str | None, *, named_by: str = "BACKEND_PROFILE") -> Layer:
    """A profile as a layer of variables.

    Args:
        name: name of the profile; None for `DEFAULT_PROFILE`, which need not exist.
        named_by: what names it, for messages.

    Raises:
        ConfigError: there is no such profile, or the file cannot be used.
    """
    profiles = read_profiles()
    if name is not None and name not in profiles:
        known = f"the profiles are {', '.join(sorted(profiles))}" if profiles else "there are none"
        raise ConfigError(
            named_by,
            f"there is no profile {name!r} ({known}); make it with "
            f"'backend.ai --profile {quote(name)} config set endpoint URL'",
        )
    settings = profiles.get(name or DEFAULT_PROFILE, {})
    variables = {f"BACKEND_{setting.upper()}": value for setting, value in settings.items()}
    return Layer(variables, profile=name or DEFAULT_PROFILE)


def save_setting(profile: str, name: str, value: str | None) -> None:
    """Set or remove a setting of a profile. The rest of the file, comments too, is kept.

    Args:
        profile: name of the profile; it is made if it does not exist.
        name: one of `SETTINGS`.
        value: None to remove the setting.

    Raises:
        ConfigError: the value is malformed, or the file cannot be read or written. The file is
            then unchanged.
    """
    if not profile or not profile.isprintable():
        raise ConfigError(
            "--profile", f"{profile!r} cannot be the name of a profile; use printable characters"
        )
    if value is not None or name not in SETTINGS:
        value = check_setting(name, value or "")
    read_profiles()  # raises if something is wrong with the file
    import tomlkit

    path = profiles_file().resolve()  # replace the target of a link, not the link
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        document = tomlkit.parse(text)
        table = document.setdefault(profile, tomlkit.table())
        if value is not None:
            table[name] = value
        else:
            table.pop(name, None)
            if not table:
                del document[profile]
        write_private(path, tomlkit.dumps(document))
    except OSError as exc:
        raise ConfigError(str(path), f"cannot be written ({exc.strerror})") from None


def _settings_of(path: Path, name: str, table: object) -> dict[str, str]:
    if not isinstance(table, Mapping):
        raise ConfigError(str(path), f"{name!r} is outside of a profile; put it below [default]")
    settings = {}
    for setting, value in table.items():
        if setting not in SETTINGS:
            raise ConfigError(
                str(path),
                f"[{name}]: there is no setting {setting!r}; use {', '.join(SETTINGS)}",
            )
        # In TOML, true and a number of seconds are not strings.
        if isinstance(value, bool):
            value = "1" if value else "0"
        if not isinstance(value, str | int | float):
            raise ConfigError(str(path), f"[{name}]: {setting} must be a string")
        settings[setting] = str(value)
    return settings
