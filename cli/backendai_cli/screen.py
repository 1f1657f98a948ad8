"""The user's terminal, connected to one in a kernel."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import trio

from backendai_trio import (
    BackendError,
    Connection,
    Execution,
    Terminal,
    TrioKernel,
    one_error,
    open_terminal,
)

from . import exits
from .console import Status, Stdin, TerminalMode, write_bytes

__all__ = [
    "DETACH",
    "Detached",
    "check_terminal",
    "connect",
    "follow_size",
    "raw_terminal",
    "tell_outages",
    "window_size",
]

DETACH = b"\x1d"
"""Ctrl-], as in telnet: hardly any program uses it."""


class Detached(Exception):
    """The user has left; what runs in the kernel goes on."""


def check_terminal() -> None:
    """Refuse to go on where nobody sits at a terminal.

    Raises:
        click.UsageError: standard input or output is none.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this needs a terminal; to run something in a script, use 'run'")


async def connect(kernel: TrioKernel, status: Status) -> int:
    """Hand every key to the kernel's terminal and show what it shows; returns the exit code.

    Raises:
        Detached: the user typed Ctrl-].
    """
    detached = False
    code = exits.FAILED
    status.info("Connected; Ctrl-] detaches.")
    async with open_terminal(kernel) as terminal:
        with _own_errors(), raw_terminal(TerminalMode(), status), one_error():
            async with trio.open_nursery() as nursery:

                async def show() -> None:
                    nonlocal code
                    while data := await terminal.receive_some():
                        await trio.to_thread.run_sync(
                            write_bytes, sys.stdout, data, abandon_on_cancel=True
                        )
                    code = terminal.exit_code or 0
                    nursery.cancel_scope.cancel()

                async def type_keys() -> None:
                    nonlocal detached
                    stdin = Stdin()
                    while keys := await stdin.read():
                        keys, detach, _ = keys.partition(DETACH)
                        await terminal.send_all(keys)
                        if detach:
                            detached = True
                            nursery.cancel_scope.cancel()
                    await terminal.send_eof()

                nursery.start_soon(show)
                nursery.start_soon(type_keys)
                nursery.start_soon(follow_size, terminal)
                nursery.start_soon(tell_outages, terminal.connection, status)
    click.echo(err=True)
    if detached:
        raise Detached
    return code


def window_size() -> tuple[int, int]:
    """Rows and columns of the user's window; the usual ones where it knows none (a serial line)."""
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    return rows or 24, columns or 80


async def follow_size(terminal: Terminal | Execution) -> None:
    """Tell the size of the window, now and whenever it changes."""
    await terminal.resize(*window_size())
    if not hasattr(signal, "SIGWINCH"):
        return
    with trio.open_signal_receiver(signal.SIGWINCH) as changes:
        async for _ in changes:
            await terminal.resize(*window_size())


async def tell_outages(connection: Connection, status: Status) -> None:
    """Say when the connection is lost, and when it is back."""
    while True:
        await connection.wait_lost()
        status.info("The connection is lost; trying again...")
        await connection.wait_back()
        status.done("The connection is back.")


@contextmanager
def raw_terminal(mode: TerminalMode, status: Status) -> Iterator[None]:
    """Hand every key on as it is during the block; status lines still begin where lines begin."""
    with mode:
        mode.raw()
        status.line_end = "\r\n"
        try:
            yield
        finally:
            status.line_end = "\n"


@contextmanager
def _own_errors() -> Iterator[None]:
    """Errors of the terminal's connection as those of this library, which have a line to say."""
    try:
        yield
    except trio.BrokenResourceError as exc:
        if isinstance(exc.__cause__, BackendError):
            raise exc.__cause__ from None
        raise
