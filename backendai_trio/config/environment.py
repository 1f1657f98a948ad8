"""Reads the settings of this process: environment, ``.env`` file, profile. Nothing else does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError
from .dotenv import decode_dotenv, parse_dotenv
from .parsing import Layer, parse_config
from .profiles import ForbiddenProfiles, profile_layer
from .proxies import find_proxy
from .saved_logins import read_login
from .settings import Config

__all__ = ["read_config", "read_environ", "read_profile_name"]


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
        raise ConfigError(".env", f"cannot be read ({exc}); mend or remove the file") from None
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
) -> Config | None:
    """Read the settings from arguments, environment, ``.env`` and profile, in this order.

    Args:
        endpoint: URL of the server.
        access_key: 20 characters.
        secret_key: 40 characters.

    Returns:
        The settings; None when neither an endpoint nor a key is set. The command line then starts
        a gateway of its own.

    Raises:
        ConfigError: a setting is missing or malformed, or a file that holds settings cannot be
            read. The message names the variable or the file.
    """
    environ, dotenv = read_environ()
    config = parse_config(
        environ,
        dotenv,
        _profile_below(environ, dotenv),
        endpoint=endpoint,
        access_key=access_key,
        secret_key=secret_key,
    )
    if config is None:
        return None
    if config.ca_file is not None and not Path(config.ca_file).is_file():
        raise ConfigError(
            "BACKEND_CA_FILE",
            f"{config.ca_file!r} is not a file; set it to a PEM file",
        )
    if config.endpoint_type == "session" and (login := read_login(config.endpoint.url)):
        config = replace(config, access_key=login.access_key, login=login)
    if (proxy := find_proxy(os.environ, config.endpoint)) is not None:
        config = replace(config, proxy=proxy.url, proxy_variable=proxy.variable)
    return config


def _profile_below(environ: Mapping[str, str], dotenv: Layer) -> Layer:
    """The profile to use.

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
            return Layer({}, "")
        raise
