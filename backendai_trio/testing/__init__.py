"""For tests of programs that use Backend.AI: a real gateway, and a network with faults to order.

``backendai_trio.testing.plugin`` is a pytest plugin, which pytest finds by itself. docs/testing.md
has examples.

PYTEST_DONT_REWRITE: it holds no assertions of tests, and pytest warns of plugins that are imported
before it could rewrite theirs.
"""

from __future__ import annotations

from .._lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
