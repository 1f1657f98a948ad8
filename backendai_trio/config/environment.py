"""Reads the settings of this process: environment, ``.env`` file, profile. Nothing else does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError
from .dotenv import decode_dotenv, parse_dotenv
from .layers import Found, Layer, find_setting
from .parsing import SETTINGS, parse_config
from .profiles import ForbiddenProfiles, profile_layer
from .proxies import find_proxy
from .saved_logins import read_login
from .settings import Config

__all__ = ["read_config", "read_environ", "read_profile_name", "read_settings"]


def read_environ() -> tuple[Mapping[str, str], Layer]:
    """The environment, and the ``.env`` file of the current folder as a layer below it.

    Raises:
        ConfigError: the file exists and cannot be read, or a line of it that names one of our
            settings cannot.
    """
    path = Path(".env")
    try:
        data = path.read_bytes()
    except IsADirectoryError:  # a virtual environment, as often as not
        data = b""
    except FileNotFoundError:
        if path.is_symlink():
            raise ConfigError(
                ".env", "a link to a file that does not exist; mend or remove the link"
            ) from None
        data = b""
    except OSError as exc:
        raise ConfigError(
            ".env", f"cannot be read ({exc.strerror}); mend or remove the file"
        ) from None
    return dict(os.environ), Layer(parse_dotenv(decode_dotenv(data)), ".env")


def read_profile_name() -> str | None:
    """The profile that ``BACKEND_PROFILE`` names, as a variable or in ``.env``; None without it.

    Raises:
        ConfigError: the ``.env`` file cannot be read.
    """
    environ, dotenv = read_environ()
    name = environ.get("BACKEND_PROFILE") or dotenv.variables.get("BACKEND_PROFILE")
    return name or None


def read_config(
    *,
    endpoint: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    profile: str | None = None,
) -> Config | None:
    """Read the settings from arguments, environment, ``.env`` and profile, in this order.

    Args:
        endpoint: URL of the server.
        access_key: 20 characters.
        secret_key: 40 characters.
        profile: name of a profile that stands above environment and ``.env``. Server and key pair
            are then taken from the profile and the other arguments only.

    Returns:
        The settings; None when neither an endpoint nor a key is set, and no profile is named. The
        command line then starts a gateway of its own.

    Raises:
        ConfigError: a setting is missing or malformed, a profile that is named has no server, or a
            file that holds settings cannot be read. The message names the variable or the file.
    """
    layers = _layers(profile)
    config = parse_config(*layers, endpoint=endpoint, access_key=access_key, secret_key=secret_key)
    if config is None:
        named = next((layer for layer in layers if layer.profile), None)
        if named is None or (profile or read_profile_name()) is None:
            return None
        raise ConfigError(
            named.name_of("endpoint"), f"not set; set it with {named.how_to_set('endpoint')}"
        )
    if config.ca_file is not None and not Path(config.ca_file).is_file():
        raise ConfigError(
            find_setting(layers, "ca_file").where,
            f"{config.ca_file!r} is not a file; set it to a PEM file",
        )
    if config.endpoint_type == "session" and (login := read_login(config.endpoint.url)):
        config = replace(config, access_key=login.access_key, login=login)
    if (proxy := find_proxy(os.environ, config.endpoint)) is not None:
        config = replace(config, proxy=proxy.url, proxy_variable=proxy.variable)
    return config


def read_settings(profile: str | None = None) -> dict[str, Found]:
    """Find each of `SETTINGS` that is set, and where. Values are not checked.

    Args:
        profile: as for `read_config`.

    Raises:
        ConfigError: a file that holds settings cannot be read, or a setting that must not be is
            empty.
    """
    layers = _layers(profile)
    found = {name: find_setting(layers, name) for name in SETTINGS}
    return {name: setting for name, setting in found.items() if setting.text}


def _layers(profile: str | None) -> list[Layer]:
    """The sources of settings, highest first.

    Raises:
        ConfigError: as for `read_profile_name` and `profile_layer`.
    """
    environ, dotenv = read_environ()
    environment = Layer(environ)
    if profile is not None:
        chosen = profile_layer(profile, named_by="--profile")
        return [chosen, environment.without_server(), dotenv.without_server()]
    return [environment, dotenv, _profile_below(environ, dotenv)]


def _profile_below(environ: Mapping[str, str], dotenv: Layer) -> Layer:
    """The profile to use where none is named by an argument.

    A file that this user may not read, in a home that is another user's, is passed over if what it
    could say of server and keys is set above it, and no profile is named.

    Raises:
        ConfigError: as for `read_profile_name` and `profile_layer`.
    """
    name = read_profile_name()
    try:
        return profile_layer(name)
    except ForbiddenProfiles:
        variables = {**dotenv.variables, **environ}
        needed = ("BACKEND_ENDPOINT", "BACKEND_ACCESS_KEY", "BACKEND_SECRET_KEY")
        if name is None and all(variables.get(variable) for variable in needed):
            return Layer({})
        raise
