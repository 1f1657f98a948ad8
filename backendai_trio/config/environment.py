"""The one place that reads the settings of the process: environment, ``.env`` file, profile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError
from .profiles import profile_layer
from .saved_logins import read_login
from .settings import Config, Endpoint, Layer, parse_config, parse_dotenv

__all__ = ["read_config", "read_environ", "read_profile_name"]


def read_environ() -> tuple[Mapping[str, str], Layer]:
    """The environment, and the ``.env`` file in the current folder below it.

    Raises:
        ConfigError: the file is there but cannot be read as text.
    """
    path = Path(".env")
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        text = ""
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(".env", f"cannot be read ({exc}); mend or remove the file") from None
    return dict(os.environ), Layer(parse_dotenv(text), ".env")


def read_profile_name() -> str | None:
    """The profile that is asked for: ``BACKEND_PROFILE``, as a variable or in ``.env``.

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
    """The settings from arguments, environment, ``.env`` and profile, in this order of precedence.

    Returns:
        None when neither an endpoint nor a key is set; the command line then runs its own gateway.

    Raises:
        ConfigError: something is missing or malformed; the message names the variable.
    """
    environ, dotenv = read_environ()
    config = parse_config(
        environ,
        dotenv,
        profile_layer(read_profile_name()),
        endpoint=endpoint,
        access_key=access_key,
        secret_key=secret_key,
    )
    if config is None:
        return None
    if config.ca_file is not None and not Path(config.ca_file).is_file():
        raise ConfigError("BACKEND_CA_FILE", f"{config.ca_file!r} is not a file")
    if config.endpoint_type == "session" and (login := read_login(config.endpoint.url)):
        config = replace(config, access_key=login.access_key, login=login)
    return replace(config, proxy=_proxy_for(config.endpoint))


def _proxy_for(endpoint: Endpoint) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY ask for, by the rules of urllib."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    # Imported here: it costs 30 ms, and most machines have no proxy.
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(endpoint.host_header):
        return None
    proxies = getproxies()
    proxy = proxies.get(endpoint.scheme) or proxies.get("all")
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
