"""The user's terminal, connected to one in a kernel."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial

import click
import trio

from backendai_trio import (
    BackendError,
    Config,
    Execution,
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
from ..console import Status, write_bytes
from ..errors import one_line
from ..keyboard import TerminalMode, terminal_name, window_size_at
from ..server import journal_for
from ..standard_input import Stdin
from ..termination import cancel_on_signals
from ..waiting import waiting_for_kernel
from .kernel import KernelRequest

__all__ = [
    "DETACH",
    "Detached",
    "connect",
    "follow_window_size",
    "raw_terminal",
    "report_outages",
    "run_shell",
]

DETACH = b"\x1d"
"""Ctrl-], as in telnet: hardly any program uses it."""


_REASON_SECONDS = 1.0
"""How long the connection is lost before the reason is shown: most outages are over by then, and a
server that has been killed first answers in several ways."""


class Detached(Exception):
    """The user has detached; the programs in the kernel go on."""


async def run_shell(config: Config, request: KernelRequest, status: Status, embedded: bool) -> int:
    """Open a terminal in a kernel; returns the exit code of its shell.

    Args:
        config: settings of the server.
        request: the kernel to create, or to join if it has a token; that one stays.
        status: where to report.
        embedded: the server is a gateway that ends with this command.
    """
    async with (
        cancel_on_signals(),
        open_client(config, journal=journal_for(config)) as client,
    ):
        spec, token, max_wait = request.spec, request.token, request.max_wait
        if token is not None:
            async with waiting_for_kernel(status, max_wait) as progress:
                kernel = await attach_kernel(
                    client, spec, token=token, reuse=request.reuse, progress=progress
                )
            return await _connect_or_detach(kernel, status, embedded)
        async with AsyncExitStack() as stack:
            async with waiting_for_kernel(status, max_wait) as progress:
                opened = open_kernel(client, spec, progress=progress)
                kernel = await stack.enter_async_context(opened)
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
            status.info("Detached. The kernel ends, since it runs in this command.")
        else:
            kernel.release()
            status.info(f"Detached. To come back:  backend.ai attach {kernel.token}")
        return 0


async def connect(kernel: TrioKernel, status: Status) -> int:
    """Connect the user's terminal to one in the kernel; returns the exit code of its shell.

    Raises:
        Detached: the user typed Ctrl-].
    """
    detached = False
    code = exit_codes.FAILED
    async with open_terminal(kernel, term=terminal_name()) as terminal:
        status.info("Connected; Ctrl-] detaches.")
        with _library_errors(), raw_terminal(TerminalMode(), status), one_error():
            async with trio.open_nursery() as nursery:

                async def show_output() -> None:
                    nonlocal code
                    while data := await terminal.receive_some():
                        await trio.to_thread.run_sync(
                            write_bytes, sys.stdout, data, abandon_on_cancel=True
                        )
                    code = terminal.exit_code or 0
                    nursery.cancel_scope.cancel()

                async def send_keys() -> None:
                    nonlocal detached
                    stdin = Stdin()
                    while keys := await stdin.read():
                        keys, detach, _ = keys.partition(DETACH)
                        await terminal.send_all(keys)
                        if detach:
                            detached = True
                            nursery.cancel_scope.cancel()
                    await terminal.send_eof()

                nursery.start_soon(show_output)
                nursery.start_soon(send_keys)
                nursery.start_soon(follow_window_size, terminal)
                nursery.start_soon(
                    partial(
                        report_outages,
                        terminal.connection,
                        kernel.client.config.endpoint.url,
                        status,
                        leave="Ctrl-] leaves",
                    )
                )
    click.echo(err=True)
    if detached:
        raise Detached
    return code


async def follow_window_size(terminal: Terminal | Execution, fd: int = 1) -> None:
    """Send the size of the window, now and whenever it changes.

    Args:
        terminal: whose size it is.
        fd: descriptor of the user's terminal.
    """
    await terminal.resize(*window_size_at(fd))
    if not hasattr(signal, "SIGWINCH"):
        return
    with trio.open_signal_receiver(signal.SIGWINCH) as changes:
        async for _ in changes:
            await terminal.resize(*window_size_at(fd))


async def report_outages(
    connection: ConnectionState, url: str, status: Status, *, leave: str = "Ctrl-C leaves"
) -> None:
    """Report that the connection is lost, why it does not come back, and that it is back.

    Args:
        connection: of a run or a terminal.
        url: of the server.
        status: where to report.
        leave: how the user can leave meanwhile.
    """
    while True:
        await connection.wait_lost()
        seconds = connection.outage_seconds
        if status.line_end != "\n":  # a raw terminal: most probably within a prompt or a picture
            status.begin_line()
        status.warn(f"The connection to {url} is lost; trying again for {seconds:g} s. {leave}.")
        shown = ""
        with trio.move_on_after(_REASON_SECONDS):
            await connection.wait_back()
        while not connection.up:
            if connection.failure != shown:
                shown = connection.failure
                status.info(f"Not back yet: {one_line(shown)}")
            await connection.wait_changed()
        status.done("The connection is back.")


@contextmanager
def raw_terminal(mode: TerminalMode, status: Status) -> Iterator[None]:
    """Pass every key on during the block; status lines still begin at the left margin."""
    with mode:
        mode.raw()
        status.line_end = "\r\n"
        try:
            yield
        finally:
            status.line_end = "\n"


@contextmanager
def _library_errors() -> Iterator[None]:
    """Raise the library's error that broke the stream of a terminal: its message is for people."""
    try:
        yield
    except trio.BrokenResourceError as exc:
        if isinstance(exc.__cause__, BackendError):
            raise exc.__cause__ from None
        raise
