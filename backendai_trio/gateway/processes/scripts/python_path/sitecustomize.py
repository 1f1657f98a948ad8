"""Every Python of a kernel runs this at its start: Matplotlib gets a backend that shows figures.

The backend is chosen when Matplotlib is imported, and not by MPLBACKEND: a Python that does not
have this folder on its path (``python -I``, or with another PYTHONPATH) would fail for want of it.

A kernel has any Python, so this runs on 2.7, too, where it only runs the module that it hides.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any

FOLDER = os.path.dirname(__file__)  # noqa: PTH120 (pathlib costs 10 ms)
BACKEND = "module://backendai_matplotlib"


class MatplotlibFinder:
    """Finds Matplotlib, and gives it the backend when it is loaded."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        # type: (str, Any, Any) -> ModuleSpec | None
        """As finders on `sys.meta_path` do; None for all other modules."""
        if name != "matplotlib":
            return None
        from _frozen_importlib_external import PathFinder

        spec = PathFinder.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_choose(module):
                # type: (Any) -> None
                load(module)
                choose_backend(module)

            spec.loader.exec_module = load_and_choose  # type: ignore[method-assign]
        return spec


def choose_backend(matplotlib):
    # type: (Any) -> None
    """Use our backend, unless MPLBACKEND or a matplotlibrc has named one."""
    # Without what RcParams does by itself: it would find a backend, and import it.
    if not isinstance(dict.get(matplotlib.rcParams, "backend"), str):
        matplotlib.rcParams["backend"] = BACKEND


def run_hidden():
    # type: () -> None
    """Run the module of this name that a distribution or an environment has, if there is one."""
    behind = sys.path[sys.path.index(FOLDER) + 1 :] if FOLDER in sys.path else sys.path
    entries = [entry for entry in behind if entry != FOLDER]
    if sys.version_info < (3, 5):
        _run_old(entries)
        return
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder

    spec = PathFinder.find_spec(__name__, entries)
    if spec is not None and spec.loader is not None:
        module = sys.modules[__name__] = module_from_spec(spec)
        spec.loader.exec_module(module)


def _run_old(entries):
    # type: (Any) -> None
    imp = __import__("imp")  # Python 3.12 and its type stubs do not have it
    try:
        file, path, description = imp.find_module(__name__, entries)
    except ImportError:
        return
    try:
        imp.load_module(__name__, file, path, description)
    finally:
        if file is not None:  # as it is for a package
            file.close()


if __name__ == "sitecustomize":
    if sys.version_info >= (3, 6):
        sys.meta_path.insert(0, MatplotlibFinder)
    run_hidden()
