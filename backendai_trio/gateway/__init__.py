"""The embedded gateway: the Backend.AI API on loopback, kernels as local processes.

It uses the same messages and signatures as the client (`backendai_trio.wire`), and imports nothing
else of the client.
"""

from __future__ import annotations

from .._lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
