"""Every Python of a kernel runs this at its start: Matplotlib gets a backend that shows figures.

The backend is chosen when Matplotlib is imported, and not by MPLBACKEND: a Python that does not
have this folder on its path (``python -I``, or with another PYTHONPATH) would fail for want of it.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib import module_from_spec
from _frozen_importlib_external import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any

FOLDER = os.path.dirname(__file__)  # noqa: PTH120 (pathlib costs 10 ms)
BACKEND = "module://backendai_matplotlib"


class MatplotlibFinder:
    """Finds Matplotlib, and gives it the backend when it is loaded."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """As finders on `sys.meta_path` do; None for all other modules."""
        if name != "matplotlib":
            return None
        spec: ModuleSpec | None = PathFinder.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_choose(module: Any) -> None:
                load(module)
                choose_backend(module)

            spec.loader.exec_module = load_and_choose  # type: ignore[method-assign]
        return spec


def choose_backend(matplotlib: Any) -> None:
    """Use our backend, unless MPLBACKEND or a matplotlibrc has named one."""
    # Without what RcParams does by itself: it would find a backend, and import it.
    if not isinstance(dict.get(matplotlib.rcParams, "backend"), str):
        matplotlib.rcParams["backend"] = BACKEND


def run_hidden() -> None:
    """Run the module of this name that a distribution or an environment has, if there is one."""
    behind = sys.path[sys.path.index(FOLDER) + 1 :] if FOLDER in sys.path else sys.path
    spec = PathFinder.find_spec(__name__, [entry for entry in behind if entry != FOLDER])
    if spec is not None and spec.loader is not None:
        module = sys.modules[__name__] = module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, MatplotlibFinder)
    run_hidden()
