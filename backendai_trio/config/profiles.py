"""Profiles: settings under a name, in a file of the user's.

The file is TOML, a table a profile, readable by its owner alone since it holds secret keys::

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

from ..errors import ConfigError
from .settings import SETTINGS, Layer, check_setting
from .user_dirs import config_folder, write_private

__all__ = ["DEFAULT_PROFILE", "profile_layer", "profiles_file", "read_profiles", "save_setting"]

DEFAULT_PROFILE = "default"
"""The profile that is used when none is named, if it is there."""


def profiles_file() -> Path:
    """The file, whether it is there or not."""
    return config_folder() / "profiles.toml"


def read_profiles() -> dict[str, dict[str, str]]:
    """The settings of every profile, by its name; nothing if there is no file.

    Raises:
        ConfigError: the file can be read by others, is no TOML, or holds what is no setting.
    """
    path = profiles_file()
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read().decode()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(str(path), f"cannot be read ({exc})") from None
    if sys.platform != "win32" and mode & 0o077:
        raise ConfigError(
            str(path), f"other users may read it, and it holds secret keys; run: chmod 600 {path}"
        )
    import tomllib  # here, since most starts have no need of it

    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(str(path), f"is no TOML ({exc})") from None
    return {name: _settings_of(path, name, table) for name, table in tables.items()}


def profile_layer(name: str | None) -> Layer:
    """The variables that a profile stands for.

    Args:
        name: the profile's; None for `DEFAULT_PROFILE`, which need not be there.

    Raises:
        ConfigError: there is no such profile, or the file cannot be used.
    """
    profiles = read_profiles()
    if name is not None and name not in profiles:
        there = f"there are: {', '.join(sorted(profiles))}" if profiles else "there is none yet"
        raise ConfigError(
            "BACKEND_PROFILE",
            f"there is no profile {name!r} ({there}); make it with "
            f"'backend.ai --profile {name} config set endpoint URL'",
        )
    settings = profiles.get(name or DEFAULT_PROFILE, {})
    variables = {f"BACKEND_{setting.upper()}": value for setting, value in settings.items()}
    return Layer(variables, f"profile {name or DEFAULT_PROFILE!r}")


def save_setting(profile: str, name: str, value: str | None) -> None:
    """Put a setting into a profile, or take it out; what else the file holds stays as it is.

    Args:
        profile: made if it is not there.
        name: one of `SETTINGS`.
        value: None takes it out.

    Raises:
        ConfigError: the value is malformed, or the file cannot be read or written. It is not
            changed then.
    """
    if not profile or not profile.isprintable():
        raise ConfigError("profile", f"{profile!r} cannot be a name")
    if value is not None or name not in SETTINGS:
        value = check_setting(name, value or "")
    read_profiles()  # says what is wrong with the file, if anything is
    import tomlkit

    path = profiles_file().resolve()  # what a link points to is replaced, not the link
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
        raise ConfigError(
            str(path), f"{name!r} stands outside of a profile; put it below [default]"
        )
    settings = {}
    for setting, value in table.items():
        if setting not in SETTINGS:
            raise ConfigError(
                str(path), f"[{name}]: there is no setting {setting!r}; {', '.join(SETTINGS)}"
            )
        # true for yes, and numbers of seconds, as one writes them in TOML.
        if isinstance(value, bool):
            value = "1" if value else "0"
        if not isinstance(value, str | int | float):
            raise ConfigError(str(path), f"[{name}]: {setting} must be a text")
        settings[setting] = str(value)
    return settings
