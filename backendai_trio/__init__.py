"""A Trio-native client for Backend.AI compute sessions.

The public names, here and in the packages below, are listed in the stubs (``__init__.pyi``).
"""

from __future__ import annotations

from ._lazy import lazy_names

try:
    from ._version import __version__ as __version__
except ModuleNotFoundError:  # a clone from which nothing was built or installed yet
    __version__ = "0+unknown"

__getattr__, __dir__ = lazy_names(__name__, __file__)
