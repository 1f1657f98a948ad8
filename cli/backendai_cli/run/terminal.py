"""The user's terminal, connected to one in a kernel."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import trio

from backendai_trio import (
    BackendError,
    Config,
    Execution,
    KernelSpec,
    Terminal,
    TrioKernel,
    attach_kernel,
    open_client,
    open_kernel,
    open_terminal,
)
from backendai_trio.kernels import one_error
from backendai_trio.transport import ConnectionState

from .. import exit_codes
from ..console import Status, Stdin, TerminalMode, window_size, write_bytes
from ..server import journal_for

__all__ = [
    "DETACH",
    "Detached",
    "connect",
    "follow_size",
    "raw_terminal",
    "run_shell",
    "tell_outages",
]

DETACH = b"\x1d"
"""Ctrl-], as in telnet: hardly any program uses it."""


class Detached(Exception):
    """The user has left; what runs in the kernel goes on."""


async def run_shell(
    config: Config, spec: KernelSpec, token: str | None, status: Status, embedded: bool
) -> int:
    """A kernel, or the one with this token, and its terminal; returns the shell's exit code."""
    async with (
        exit_codes.ending_on_signals(),
        open_client(config, journal=journal_for(config)) as client,
    ):
        if token is not None:
            kernel = await attach_kernel(client, spec, token=token)
            return await _connect_or_detach(kernel, status, embedded)
        async with open_kernel(client, spec) as kernel:
            code = await _connect_or_detach(kernel, status, embedded)
    if not kernel.released:
        status.done("Cleaned up the kernel.")
    return code


async def _connect_or_detach(kernel: TrioKernel, status: Status, embedded: bool) -> int:
    status.done(f"Kernel (ID: {kernel.kernel_id}) is ready.")
    try:
        return await connect(kernel, status)
    except Detached:
        if embedded:
            status.info("Detached. The kernel ends here, since no server keeps it.")
        else:
            kernel.release()
            status.info(f"Detached. To come back:  backend.ai attach {kernel.token}")
        return 0


async def connect(kernel: TrioKernel, status: Status) -> int:
    """Hand every key to the kernel's terminal and show what it shows; returns the exit code.

    Raises:
        Detached: the user typed Ctrl-].
    """
    detached = False
    code = exit_codes.FAILED
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


async def follow_size(terminal: Terminal | Execution) -> None:
    """Tell the size of the window, now and whenever it changes."""
    await terminal.resize(*window_size())
    if not hasattr(signal, "SIGWINCH"):
        return
    with trio.open_signal_receiver(signal.SIGWINCH) as changes:
        async for _ in changes:
            await terminal.resize(*window_size())


async def tell_outages(connection: ConnectionState, status: Status) -> None:
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
