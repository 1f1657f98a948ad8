"""Settings, profiles and logins of a client, and the files of this user that keep them."""

from __future__ import annotations

from .._lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
