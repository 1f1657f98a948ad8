"""Settings, profiles and logins of a client, and the files that hold them."""

from __future__ import annotations

from .._lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
