"""Kernels: compute sessions on a server, the code that runs in them, their files and terminals."""

from __future__ import annotations

from .._lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
