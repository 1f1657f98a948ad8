"""A Trio-native client for Backend.AI compute sessions.

The public names, here and in the packages below, are listed in the stubs (``__init__.pyi``).
"""

from __future__ import annotations

from ._lazy import lazy_names
from ._version import __version__ as __version__

__getattr__, __dir__ = lazy_names(__name__, __file__)
