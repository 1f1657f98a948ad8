"""Matplotlib's backend in kernels for Python: figures are shown to the client of the run, as PNG.

`sitecustomize` chooses it, and it is imported when Matplotlib makes its first figure. ``show``
shows all figures and closes them, as the windows of other backends are closed by their user; with
``block=False``, and in interactive mode (``ion``), they stay open.

Updates with ``block=False``, as in loops with ``pause``, are shown once a second at most: each may
become a file of its own at the client. The last one is always shown, when the figure is closed.
"""

import io
import time
import warnings

import matplotlib
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

__all__ = ["FigureCanvas", "FigureManager", "show"]

TYPE_CHECKING = False
UPDATE_SECONDS = 1.0

if TYPE_CHECKING:
    from typing import Any

    from . import backendai_display
else:
    import backendai_display


class FigureManager(FigureManagerBase):
    """Shows a figure; what the client has seen already is not shown again."""

    _seen = b""
    _shown_at = 0.0
    _is_behind = False

    def update(self):
        # type: () -> None
        """Show the figure soon."""
        self._is_behind = self._seen != b"" and time.monotonic() - self._shown_at < UPDATE_SECONDS
        if not self._is_behind:
            self.show()

    def destroy(self):
        # type: () -> None
        """Show the last update, when the figure is closed; Matplotlib closes all at its end."""
        if self._is_behind:
            self.show()

    def show(self):
        # type: () -> None
        """Show the figure, if it has changed. A warning tells when that is not possible."""
        self._is_behind = False
        buffer = io.BytesIO()
        self.canvas.figure.savefig(buffer, format="png")
        content = buffer.getvalue()
        if content == self._seen:
            return
        try:
            backendai_display.show("image/png", content)
        except OSError as exc:
            text = "a figure cannot be shown, save it with savefig(): %s" % exc
            warnings.warn(text, stacklevel=2)
        else:
            self._seen, self._shown_at = content, time.monotonic()


class FigureCanvas(FigureCanvasAgg):
    """Draws figures in memory."""

    manager_class = FigureManager


def show(block=None, **_):
    # type: (bool | None, Any) -> None
    """Show all open figures.

    Args:
        block: False leaves them open; True closes them. Default: closes them, unless Matplotlib is
            in interactive mode.
    """
    managers = [m for m in Gcf.get_all_fig_managers() if isinstance(m, FigureManager)]
    stay = matplotlib.is_interactive() if block is None else not block
    try:
        for manager in managers:
            if block is False:
                manager.update()
            else:
                manager.show()
    finally:  # one that cannot be drawn must not fail again and again
        if not stay:
            for manager in managers:
                Gcf.destroy(manager)
