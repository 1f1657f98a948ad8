"""The embedded gateway: the Backend.AI API on loopback, kernels as local processes.

It stands on `backendai_trio.wire` and `backendai_trio.wire.signing`, the same messages that the client
uses, and knows nothing of the client.
"""

from __future__ import annotations

from .._lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
