"""Addresses of servers in settings. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..errors import ConfigError
from .settings import DEFAULT_PORTS, Endpoint

__all__ = [
    "ENDPOINT_HINT",
    "encode_host",
    "parse_endpoint",
    "parse_endpoints",
    "parse_storage_proxies",
    "split_list",
]

ENDPOINT_HINT = "set it to a URL such as https://manager.example.com or http://127.0.0.1:8081"
"""What to do about an address that is malformed or missing."""
# Characters that a Host header and a request line can carry; an IPv6 address may have a zone.
_HOST = re.compile(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+(%\w+)?")
_LONGEST_HOST = 253  # RFC 1035 has 255 bytes, with a length before each label and an empty one last
_PATH = re.compile(r"[!-~]*")


def encode_host(name: str) -> str:
    """A host name as DNS, TLS and proxies take it: in ASCII, by IDNA 2003.

    Args:
        name: host name, or an IP address; ``""`` stays as it is.

    Raises:
        ValueError: one of its labels is empty or has more than 63 characters, all of them together
            have too many, or IDNA has no form of it.
    """
    host = name.encode("idna").decode()  # UnicodeError is a ValueError
    if len(host.removesuffix(".")) > _LONGEST_HOST:
        raise ValueError("a host name has 253 characters at most")
    return host


def parse_endpoint(text: str, *, variable: str = "BACKEND_ENDPOINT") -> Endpoint:
    """Parse the URL of a server.

    Args:
        text: the URL; surrounding whitespace is ignored.
        variable: where it was set, for messages.

    Raises:
        ConfigError: it is not an http or https URL with a host, its host name cannot be one, or it
            has a user name, a query or a fragment.
    """
    shown = _shown(text)
    hint = ENDPOINT_HINT
    try:
        parts = urlsplit(text.strip())
        port, name = parts.port, parts.hostname or ""
    except ValueError:  # bad port or bracket
        raise ConfigError(variable, f"{shown} is not a URL; {hint}") from None
    try:
        host = encode_host(name)
    except ValueError:
        raise ConfigError(variable, f"the host name of {shown} is malformed; {hint}") from None
    if "@" in text:
        raise ConfigError(variable, f"the URL must not hold a user name or password; {hint}")
    if parts.scheme not in DEFAULT_PORTS or not _HOST.fullmatch(host) or port == 0:
        raise ConfigError(variable, f"{shown} is not an http or https URL with a host; {hint}")
    if parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
        raise ConfigError(
            variable, f"{shown} must end with its path, percent-encoded, without ? or #; {hint}"
        )
    return Endpoint(
        parts.scheme,
        host.lower(),
        port or DEFAULT_PORTS[parts.scheme],
        parts.path.rstrip("/"),
    )


def parse_endpoints(text: str, *, variable: str) -> list[Endpoint]:
    """Parse one or several URLs, with commas between them: addresses of the same server.

    Args:
        text: the URLs.
        variable: where they were set, for messages.

    Raises:
        ConfigError: as `parse_endpoint`.
    """
    return [parse_endpoint(url, variable=variable) for url in split_list(text) or [text]]


def split_list(text: str) -> list[str]:
    """What stands between the commas of a setting.

    Args:
        text: the setting; empty parts are left out.
    """
    return [item.strip() for item in text.split(",") if item.strip()]


def parse_storage_proxies(text: str, *, variable: str) -> tuple[tuple[Endpoint, Endpoint], ...]:
    """Parse pairs of URLs, ``GIVEN=REACHED``, with commas between them.

    Args:
        text: the pairs.
        variable: where they were set, for messages.

    Raises:
        ConfigError: one is no pair, or as `parse_endpoint`.
    """
    pairs = []
    for pair in split_list(text):
        given, equals, reached = pair.partition("=")
        if not equals:
            raise ConfigError(
                variable,
                f"{_shown(pair)} is no pair of URLs; write http://10.0.0.5:6021=https://storage.example.com",
            )
        key = parse_endpoint(given, variable=variable)._replace(base_path="")
        pairs.append((key, parse_endpoint(reached, variable=variable)))
    return tuple(pairs)


def _shown(url: str) -> str:
    """A URL for messages, without what comes before an ``@``: that may be a password."""
    return repr(url if "@" not in url else "...@" + url.rpartition("@")[2])
