"""The local disk: files to upload, safe paths, tar archives, progress."""

from __future__ import annotations

from .._lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
