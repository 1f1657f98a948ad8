"""The one place that reads the process's environment and the ``.env`` file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .config import Config, Endpoint, parse_config, parse_dotenv
from .errors import ConfigError

__all__ = ["read_config", "read_environ"]


def read_environ() -> Mapping[str, str]:
    """The environment, completed by a ``.env`` file in the current folder (which never wins).

    Raises:
        ConfigError: the file is there but cannot be read as text.
    """
    path = Path(".env")
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        return dict(os.environ)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(".env", f"cannot be read ({exc}); mend or remove the file") from None
    return parse_dotenv(text) | dict(os.environ)


def read_config(
    *,
    endpoint: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
) -> Config | None:
    """The settings from arguments, environment and ``.env``, in this order of precedence.

    Returns:
        None when neither an endpoint nor a key is set; the command line then runs its own gateway.

    Raises:
        ConfigError: something is missing or malformed; the message names the variable.
    """
    environ = read_environ()
    config = parse_config(environ, endpoint=endpoint, access_key=access_key, secret_key=secret_key)
    if config is None:
        return None
    if config.ca_file is not None and not Path(config.ca_file).is_file():
        raise ConfigError("BACKEND_CA_FILE", f"{config.ca_file!r} is not a file")
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
