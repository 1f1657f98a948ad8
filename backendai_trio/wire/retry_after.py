"""How long a server asks to wait before a request is sent again. No I/O.

Source: RFC 9110, section 10.2.3. Managers do not ask (docs/protocol.md, section 10); what stands
before them may.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["decode_retry_after"]


def decode_retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait; 0 if the server does not ask, or not in a way that can be read.

    Args:
        headers: of a response, with names in lower case. A time of day is compared with the
            response's own ``date``: the clock of this machine may differ.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])  # 30 years
    if not text or "date" not in headers:
        return 0.0
    from email.utils import parsedate_to_datetime  # slow to import, and hardly ever needed

    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])
    except (ValueError, TypeError, OverflowError):  # TypeError: one of the two has no time zone
        return 0.0
    return max(0.0, wait.total_seconds())
