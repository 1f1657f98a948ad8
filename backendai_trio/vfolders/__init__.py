"""Virtual folders: files that outlive kernels."""

from __future__ import annotations

from .._lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
