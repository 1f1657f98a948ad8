"""Situations in which commands fail: servers, proxies and files that are not as they should be.

Each is an async context manager that yields the variables for the command. The table is in
``error_texts.txt``.
"""

from . import failing_servers, proxies, servers, settings, tls  # they enter their situations
from .registry import SITUATIONS

__all__ = ["SITUATIONS", "failing_servers", "proxies", "servers", "settings", "tls"]
