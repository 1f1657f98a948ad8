"""The one place where errors become a line on standard error and an exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import click

from . import exit_codes
from .confirmation import Declined
from .lost_interrupts import deliver_lost_interrupts
from .program_output import STANDARD_OUTPUT, open_standard_streams
from .termination import EndedBySignal
from .usage_errors import usage_text

if TYPE_CHECKING:
    from backendai_trio import ApiError

__all__ = [
    "WaitedTooLong",
    "main_with_exit_code",
    "message_of",
    "one_line",
    "read_failure",
    "report_error",
]


_AFTER_A_FAILURE = (
    "try again, and if it fails again, show an administrator the output with 'backend.ai -v'"
)


class WaitedTooLong(click.ClickException):
    """What a command waits for did not come within the user's time limit."""


def main_with_exit_code(command: click.Command, arguments: Sequence[str], name: str) -> NoReturn:
    """Run a command and end the process with its exit code.

    The interpreter is not finalized: to take all modules apart lasts longer than `--help`, and the
    command has closed everything by then.

    Args:
        command: the command.
        arguments: the command line without the program.
        name: the program, for help and errors.
    """
    open_standard_streams()
    code = _flush(_run(command, arguments, name))
    os._exit(code)


def _flush(code: int) -> int:
    """Write what is left in the buffers.

    Args:
        code: the exit code so far.

    Returns:
        The exit code.
    """
    try:
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = exit_codes.INTERRUPTED
    except BrokenPipeError:
        code = exit_codes.BROKEN_PIPE
    except OSError as exc:
        # Unless a full disk is the error that was reported already.
        code = code or report_error(exc)
    with suppress(OSError):  # what could not be written there cannot be reported
        sys.stderr.flush()
    return code


def _invoke(command: click.Command, arguments: Sequence[str], name: str) -> object:
    """Run a command. A signal that came while the command was failing is how it ended."""
    try:
        return command.main(list(arguments), prog_name=name, standalone_mode=False)
    except BaseExceptionGroup as group:
        signals = group.subgroup((KeyboardInterrupt, EndedBySignal))
        if signals is None:
            raise
        ended: BaseException = signals
        while isinstance(ended, BaseExceptionGroup):
            ended = ended.exceptions[0]
        raise ended from None


def _run(command: click.Command, arguments: Sequence[str], name: str) -> int:
    warnings.showwarning = _show_warning
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            deliver_lost_interrupts()
        result = _invoke(command, arguments, name)
        return result if isinstance(result, int) else 0
    except (BrokenPipeError, SystemExit):
        # Click raises SystemExit for a broken pipe, and with `standalone_mode=False` only then.
        return exit_codes.BROKEN_PIPE
    except EndedBySignal as exc:
        name = signal.Signals(exc.number).name
        _show_end("Interrupted." if name == "SIGINT" else f"Ended by {name}.")
        return exit_codes.SIGNALED + exc.number
    except KeyboardInterrupt:
        _begin_line()
        _show_end("Interrupted.")
        return exit_codes.INTERRUPTED
    except click.Abort as exc:
        if not isinstance(exc, Declined):  # within the line of a question
            _begin_line()
        _show_end("Cancelled.")
        return exit_codes.INTERRUPTED
    except click.UsageError as exc:
        _show_error(usage_text(exc))
        return exit_codes.FAILED
    except click.ClickException as exc:
        _show_error(exc.format_message())
        return exit_codes.TIMED_OUT if isinstance(exc, WaitedTooLong) else exit_codes.FAILED
    except Exception as exc:
        if os.environ.get("BACKEND_TRACEBACK"):
            raise
        # Several uploads can fail at once, each with its own error.
        codes = [report_error(error) for error in _errors_in(exc)]
        return codes[0]
    finally:
        from .console import Status

        Status().clear()  # what was being waited for is over


def report_error(exc: Exception) -> int:
    """Show an error on standard error.

    Returns:
        The exit code for it.
    """
    from backendai_trio import ApiError, BackendError, RemoteProtocolError
    from backendai_trio.gateway import shortage_of

    if isinstance(exc, ApiError):
        message, advice = message_of(exc), exc.advice or _advice_for(exc)
        if advice == _AFTER_A_FAILURE:
            message = f"the server failed: {message}"
        _show_error(f"{message.rstrip('.')}; {advice}" if advice else message)
        return exit_codes.NOT_FOUND if exc.is_unknown_image else exit_codes.REFUSED
    if isinstance(exc, OSError) and exc.filename == STANDARD_OUTPUT:
        _show_error(f"{exc.filename} cannot be written: {exc.strerror}")
    elif isinstance(exc, BlockingIOError | MemoryError | RuntimeError) and shortage_of(exc):
        _show_error(f"this machine failed: {shortage_of(exc)}")
    elif isinstance(exc, RemoteProtocolError):
        message = f"the server's answer cannot be understood: {message_of(exc)}"
        if "BACKEND_ENDPOINT" not in message:
            message += (
                "; check BACKEND_ENDPOINT, or show an administrator the output with 'backend.ai -v'"
            )
        _show_error(message)
    elif isinstance(exc, BackendError | OSError):
        _show_error(message_of(exc))
    else:
        _show_error(
            f"a bug in backend.ai: {type(exc).__name__}: {exc}; "
            "please report it with the output of the command under BACKEND_TRACEBACK=1"
        )
    return exit_codes.FAILED


def _advice_for(exc: ApiError) -> str:
    """What a user at a terminal can do about a refusal; ``""`` where nothing is known."""
    from backendai_trio.errors import QuotaExceeded

    if exc.status == 403:
        return "ask an administrator for the permission, or use another profile (--profile)"
    if isinstance(exc, QuotaExceeded) and exc.status != 429:
        return "'backend.ai resources' shows your limits"
    if exc.kind in ("folder-not-found", "vfolder-not-found"):
        return "'backend.ai vfolder list' lists yours"
    if exc.title.startswith("No such invitation"):
        return "'backend.ai vfolder invitations' lists yours"
    if exc.status == 500 and exc.kind in ("", "internal-server-error"):
        return _AFTER_A_FAILURE
    return ""


def message_of(exc: BaseException) -> str:
    """The text of an error on one line; requests and their status are in it only with -v."""
    from backendai_trio import ApiError, ConnectionFailed, RemoteProtocolError

    from .console import requests_are_shown

    text = str(exc)
    if isinstance(exc, OSError) and exc.strerror:  # without its number
        text = f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    if not requests_are_shown():
        if isinstance(exc, RemoteProtocolError):
            text = re.sub(r"^[A-Z]+ /\S*: ", "", text)
        for cause in _causes_of(exc):
            if isinstance(cause, ApiError | ConnectionFailed):
                text = text.replace(str(cause), cause.reason)
    return one_line(text)


def _causes_of(exc: BaseException) -> Iterator[BaseException]:
    """An error and its causes. An error that is raised again may be a cause of its own cause."""
    seen: list[BaseException] = []
    cause: BaseException | None = exc
    while cause is not None and not any(cause is other for other in seen):
        yield cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__


def read_failure(exc: OSError | UnicodeDecodeError) -> str:
    """Why a text file could not be read, without its name."""
    return "it is not text in UTF-8" if isinstance(exc, UnicodeDecodeError) else f"{exc.strerror}"


def one_line(text: str) -> str:
    """A text with each run of whitespace replaced by a space."""
    return " ".join(text.split())


def _errors_in(exc: Exception) -> Iterator[Exception]:
    """The errors in a group of any depth; an error that is not a group itself."""
    if isinstance(exc, ExceptionGroup):
        for inner in exc.exceptions:
            yield from _errors_in(inner)
    else:
        yield exc


def _show_warning(message: Warning | str, *_details: object, **_options: object) -> None:
    """In place of `warnings.showwarning`, which shows a line of source code with the message."""
    from .console import Status

    Status().warn(one_line(str(message)))


def _begin_line() -> None:
    from .console import Status

    Status().begin_line()


def _show_end(message: str) -> None:
    """Say how the command has ended, if it is no part of another program (ssh's ProxyCommand)."""
    if not (os.isatty(0) or os.isatty(1)):
        return
    from .console import Status

    Status().ended(message)


def _show_error(message: str) -> None:
    from .console import Status

    Status().fail(one_line(message))
