"""The installed programs: `backend.ai`, `lcc` and `lpython`.

Nothing else is imported before Ctrl-C is handled, not even `typing`: importing the commands takes
longer than many people wait.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

__all__ = ["backend_ai", "lcc", "lpython"]

_INTERRUPTED = 130


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(_INTERRUPTED)


# Let Ctrl-C end the process at once, until `main_with_exit_code` handles it. An ignored SIGINT
# stays ignored: a script starts background commands so.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _exit)


def backend_ai() -> NoReturn:
    """Run `backend.ai`."""
    from .main import main

    main()


def lcc() -> NoReturn:
    """Run `lcc`: `lcc ...` is `backend.ai run c ...`."""
    from .main import run_shortcut

    run_shortcut("c", "lcc")


def lpython() -> NoReturn:
    """Run `lpython`: `lpython ...` is `backend.ai run python ...`."""
    from .main import run_shortcut

    run_shortcut("python", "lpython")
