"""Which proxy the environment names for a server. Pure: reads no environment itself.

Variables are read as curl and urllib read them: ``http_proxy``, ``https_proxy``, ``all_proxy`` and
``no_proxy``, in lower case before upper case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from .settings import Endpoint

__all__ = ["Proxy", "bypasses_proxy", "find_proxy"]

_WITH_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):(\d+)", re.ASCII)


class Proxy(NamedTuple):
    """A proxy, and the variable that names it."""

    url: str
    """May hold a password."""
    variable: str
    """For messages, e.g. ``HTTPS_PROXY``."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.variable}>"


def find_proxy(environ: Mapping[str, str], endpoint: Endpoint) -> Proxy | None:
    """The proxy for a server; None when it is reached directly.

    Args:
        environ: variable names to values, e.g. ``os.environ``.
        endpoint: the server.
    """
    if bypasses_proxy(_lookup(environ, "no_proxy")[1], endpoint):
        return None
    for name in (f"{endpoint.scheme}_proxy", "all_proxy"):
        variable, value = _lookup(environ, name)
        # Under CGI, a request's header "Proxy" arrives as HTTP_PROXY.
        if variable == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
            continue
        if value:
            return Proxy(value if "://" in value else f"http://{value}", variable)
    return None


def bypasses_proxy(no_proxy: str, endpoint: Endpoint) -> bool:
    """Whether ``NO_PROXY`` covers a server.

    Args:
        no_proxy: entries separated by commas or spaces, as curl reads them. A name covers itself
            and all names that end with it; a leading ``.`` or ``*.`` makes no difference. An
            address covers itself, in any spelling, and ``address/bits`` a network; IPv6 addresses
            may have brackets. ``name:port`` covers this port only. ``*`` covers everything.
        endpoint: the server.
    """
    host = endpoint.host.rstrip(".")
    for entry in no_proxy.replace(",", " ").lower().split():
        if entry == "*":
            return True
        name = entry
        if (match := _WITH_PORT.fullmatch(entry)) is not None:
            name = match[1]
            if int(match[2]) != endpoint.port:
                continue
        if _covers(name, host):
            return True
    return False


def _covers(name: str, host: str) -> bool:
    if _is_address(host):
        return _covers_address(name, host)
    name = name.removeprefix("*.").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _is_address(host: str) -> bool:
    return ":" in host or re.fullmatch(r"[\d.]+", host, re.ASCII) is not None


def _covers_address(text: str, host: str) -> bool:
    # Imported here: most machines have no proxy.
    import ipaddress

    try:
        # A zone (fe80::1%eth0) says how to reach an address, and is no part of it.
        address = ipaddress.ip_address(host.partition("%")[0])
        network = text.replace("[", "").replace("]", "").partition("%")[0]
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return text == host


def _lookup(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable's name as it is set, and its value; the lower-case one wins, even if empty."""
    for variable in (name, name.upper()):
        if variable in environ:
            return variable, environ[variable].strip()
    return name.upper(), ""
