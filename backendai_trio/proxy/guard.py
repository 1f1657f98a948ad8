"""Who may use the proxy. Pure: only the headers of a request decide.

Whatever reaches the proxy acts with the user's key pair, and every page that the user's browser
shows can send requests to loopback. Two checks keep pages out. A page whose host name its owner
points at 127.0.0.1 (DNS rebinding) has the proxy's origin for the browser, but its requests carry
that name as their Host. All other pages are of another origin, and the browser says so.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import ConfigError

__all__ = ["Guard", "parse_origin"]

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
# Sec-Fetch-Site of a request that the user or a page of the proxy's own made.
_OWN_SITE = ("same-origin", "none")


def parse_origin(text: str) -> str:
    """An origin in the form that browsers send: scheme, host, and the port unless it is usual.

    Raises:
        ConfigError: the text is not an origin.
    """
    try:
        parts = urlsplit(text.strip().lower())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if (
        not re.fullmatch(r"[a-z][a-z0-9+.-]*", parts.scheme)
        or _HOST.fullmatch(host) is None
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
    ):
        raise ConfigError(
            "--allow-origin",
            f"{text!r} is not an origin; give a scheme and a host, such as http://localhost:3000",
        )
    usual = port is None or port == _PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" + ("" if usual else f":{port}")


@dataclass(frozen=True)
class Guard:
    """Decides which requests a proxy accepts."""

    bound: str
    """The address it listens on, as a number."""
    names: frozenset[str] = frozenset()
    """Host names of its own, beside ``localhost``."""
    origins: frozenset[str] = frozenset()
    """Origins whose pages may use it, in the form of `parse_origin`."""

    @classmethod
    def of(cls, bound: str, name: str, origins: Iterable[str]) -> Guard:
        """The guard of a proxy that listens on `bound`, which the user gave as `name`."""
        return cls(bound, frozenset({name.lower()}), frozenset(map(parse_origin, origins)))

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Why a request is refused and what to do about it; None if it is accepted.

        Args:
            headers: names in lower case.
        """
        host = headers.get("host", "").lower()
        if not self._is_own(host):
            return (
                f"the request names the host {_shown(host)}, which is not this proxy; address it "
                f"as localhost or {self.bound}"
            )
        origin = headers.get("origin", "").lower()
        if origin:
            if origin == f"http://{host}" or origin in self.origins:
                return None
            return (
                f"pages of {_shown(origin)} may not use this proxy; "
                "if that one should, start the proxy with --allow-origin and its name"
            )
        # Images, links and forms with GET come without an Origin.
        if headers.get("sec-fetch-site", "none").lower() not in _OWN_SITE:
            return (
                "the request comes from a page of another site; type the address into the browser, "
                "or start the proxy with --allow-origin and the site's name"
            )
        return None

    def shares_with(self, headers: Mapping[str, str]) -> str | None:
        """The allowed foreign origin of a request, which its response must name."""
        origin = headers.get("origin", "").lower()
        return origin if origin in self.origins else None

    def _is_own(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]")
        if name == "localhost" or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # Nobody can point a number elsewhere.
        bound = ipaddress.ip_address(self.bound)
        return (
            address == bound
            or (address.is_loopback and bound.is_loopback)
            or bool(bound.is_unspecified)
        )


def _shown(text: str) -> str:
    return repr(text[:100]) if text else "nobody"
