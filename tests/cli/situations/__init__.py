"""Situations in which commands fail: servers, proxies and files that are not as they should be.

Each is an async context manager that yields the variables for the command. The table is in
``error_texts.txt``.
"""

from . import (  # they enter their situations
    failing_servers,
    files,
    logins,
    proxies,
    servers,
    settings,
    tls,
)
from .registry import SITUATIONS

__all__ = [
    "SITUATIONS",
    "failing_servers",
    "files",
    "logins",
    "proxies",
    "servers",
    "settings",
    "tls",
]
