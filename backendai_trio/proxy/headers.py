"""Which headers the proxy forwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["forwarded", "is_cors", "is_ours"]

# Between two neighbours only (RFC 9110 section 7.6.1), and what older texts count among them.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Headers that our signature covers, that say where the request came from, or that are meant for
# other servers on this machine: a browser sends the cookies of a host to all of its ports.
_OURS = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "origin",
        "referer",
        "user-agent",
        "via",
        "x-backendai-date",
        "x-backendai-version",
        "x-sorna-date",
        "x-sorna-version",
    }
)
_OURS_BY_START = ("sec-fetch-", "x-forwarded-")


def forwarded(
    headers: Iterable[tuple[str, str]], drops: Callable[[str], bool]
) -> list[tuple[str, str]]:
    """The headers that are forwarded.

    Args:
        headers: those that were received.
        drops: which of them stay here, by their names in lower case: `is_ours` or `is_cors`.
    """
    listed = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower()
        for name, value in listed
        if name == "connection"
        for token in value.split(",")
    }
    return [
        (name, value)
        for name, value in listed
        if name not in _HOP_BY_HOP and name not in named and not drops(name)
    ]


def is_ours(name: str) -> bool:
    """Whether a request's header is replaced by the proxy's own, or concerns only the client."""
    return name in _OURS or name.startswith(_OURS_BY_START)


def is_cors(name: str) -> bool:
    """Managers let pages of every origin read their responses, and the proxy does not."""
    return name.startswith("access-control-")
