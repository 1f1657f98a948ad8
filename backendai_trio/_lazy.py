"""Public names that are imported on first use.

A package's stub, ``__init__.pyi``, is its one list of public names: type checkers read it, and so
does its ``__init__.py``::

    __getattr__, __dir__ = lazy_names(__name__, __file__)

So ``backend.ai --help`` does not wait for an event loop that it will not run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["lazy_names", "public_names"]

_IMPORT = re.compile(r"^from (\.[\w.]*) import (\w+) as \2$", re.MULTILINE)


def public_names(package_file: str) -> dict[str, str]:
    """The public names of a package, and the modules they are defined in.

    Args:
        package_file: path of its ``__init__.py``; the stub lies beside it.

    Returns:
        Names to relative module names such as ``.transport.client``, in the stub's order.
    """
    stub = Path(package_file).with_suffix(".pyi").read_text(encoding="utf-8")
    return {name: module for module, name in _IMPORT.findall(stub)}


def lazy_names(
    package: str, package_file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package whose stub lists its public names.

    Args:
        package: the package's ``__name__``.
        package_file: its ``__file__``.
    """
    homes: dict[str, str] = {}

    def load() -> dict[str, str]:
        if not homes:
            homes.update(public_names(package_file))
        return homes

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(load())
        if name.startswith("__") or name not in load():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *load()})

    return get, names
