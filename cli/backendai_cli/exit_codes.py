"""How a command ends: errors become one line and an exit code, in this one place.

A program's own exit code is passed through by `run`. Ours are those that `docker run` and `timeout`
use, so that they are not mistaken for the program's.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

import click

__all__ = [
    "CASE_FAILED",
    "FAILED",
    "INTERRUPTED",
    "NOT_FOUND",
    "REFUSED",
    "TIMED_OUT",
    "ending_on_signals",
    "ending_signals",
    "explain",
    "leave_with",
]

CASE_FAILED = 1
"""A case of a sweep has failed."""
TIMED_OUT = 124
"""The server ended the run because it took too long."""
FAILED = 125
"""Wrong usage, wrong settings, or no connection."""
REFUSED = 126
"""The server refused or failed."""
NOT_FOUND = 127
"""The runtime does not exist there."""
INTERRUPTED = 130
_BROKEN_PIPE = 141


def leave_with(command: click.Command, arguments: Sequence[str], name: str) -> NoReturn:
    """Run a command and end the process with its exit code.

    All that lives has ended with the command. What the interpreter would do yet is to take its
    modules apart one by one, and that takes longer than `--help` does; so it is not asked to.
    """
    code = _run(command, arguments, name)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = _BROKEN_PIPE  # whoever read our output has enough
    except OSError as exc:  # the disk is full
        code = code or explain(exc)
    os._exit(code)


def _run(command: click.Command, arguments: Sequence[str], name: str) -> int:
    warnings.showwarning = _warn
    try:
        result = command.main(list(arguments), prog_name=name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (BrokenPipeError, SystemExit):
        # Click makes a SystemExit of a broken pipe, and of nothing else when not "standalone".
        return _BROKEN_PIPE
    except Ended as exc:
        return 128 + exc.number
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.UsageError as exc:
        hint = f" (see '{exc.ctx.command_path} --help')" if exc.ctx is not None else ""
        _tell(f"{exc.format_message()}{hint}")
        return FAILED
    except click.ClickException as exc:
        _tell(exc.format_message())
        return FAILED
    except Exception as exc:
        if os.environ.get("BACKEND_TRACEBACK"):
            raise
        # Several uploads can fail at once; each has something to say.
        codes = [explain(leaf) for leaf in _leaves(exc)]
        return codes[0]


def ending_signals() -> list[signal.Signals]:
    """The signals that ask a command to end.

    One that was ignored when we started stays so: SIGHUP under nohup, SIGINT behind a script's &.
    """
    names = ("SIGINT", "SIGHUP")
    asking = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [signal.SIGTERM, *(n for n in asking if signal.getsignal(n) != signal.SIG_IGN)]


class Ended(Exception):
    """A signal has ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@asynccontextmanager
async def ending_on_signals() -> AsyncIterator[None]:
    """Let a signal cancel the block, so that it cleans up; the exit code is then 128 + signal."""
    import trio

    from backendai_trio.kernels import one_error

    async def watch(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(*ending_signals()) as received:
            task_status.started()
            async for number in received:
                raise Ended(number)

    with one_error():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch)
            yield
            nursery.cancel_scope.cancel()


def _leaves(exc: Exception) -> list[Exception]:
    """The errors in a group of any depth; of a single one, itself."""
    if not isinstance(exc, ExceptionGroup):
        return [exc]
    return [leaf for inner in exc.exceptions for leaf in _leaves(inner)]


def explain(exc: Exception) -> int:
    """Say what an error means; returns the exit code for it."""
    from backendai_trio import ApiError, BackendError

    if isinstance(exc, ApiError):
        _tell(f"{exc}; {exc.advice}" if exc.advice else str(exc))
        return NOT_FOUND if exc.kind == "image-not-found" else REFUSED
    if isinstance(exc, BackendError | OSError):
        _tell(str(exc))
    else:
        _tell(
            f"a defect of this program: {type(exc).__name__}: {exc}; "
            "please report it with what BACKEND_TRACEBACK=1 shows"
        )
    return FAILED


def _warn(message: Warning | str, *details: object, **more: object) -> None:
    """In place of `warnings.showwarning`, which would show a line of our source with it."""
    _tell(str(message))


def _tell(message: str) -> None:
    from .console import Status

    Status().fail(" ".join(message.split()))
