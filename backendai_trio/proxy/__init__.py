"""A local HTTP server that signs requests and passes them on to a Backend.AI server."""

from __future__ import annotations

from .._lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
