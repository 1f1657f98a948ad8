"""A gateway in a child process of the program that uses it.

A command that runs code on this machine needs a client and a gateway, and spends most of its time
on importing them. Two processes import them in parallel. The parent binds the address first, so a
client can connect at once; it waits in the listener's queue.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NoReturn

from ..config.settings import Config
from ..errors import ConnectionFailed, ExecutionError, GatewayError
from .settings import GatewayOptions, bind, check_platform, client_config, open_store
from .shortages import shortage_of

__all__ = ["open_gateway_process"]

CLOSE_SECONDS = 10.0
"""How long the gateway may take to end; each step of that has a shorter limit of its own."""
REASON_SECONDS = 0.2
"""How long to wait, after an error of the client, for the reason of a gateway that is ending."""


@contextmanager
def open_gateway_process(options: GatewayOptions | None = None) -> Iterator[Config]:
    """Run a gateway in a new process until the block ends; for a plain ``with`` statement.

    It is meant for programs that import the client inside the block. As with `open_gateway`,
    everything ends with the block: kernels, their processes and files. If this process is killed,
    the gateway ends as well. Signals from the terminal, such as Ctrl-C, do not reach the gateway.

    The process is forked, so this must be called before threads or an event loop are started.

    Args:
        options: the gateway's options; default: `GatewayOptions()`.

    Returns:
        Settings for a client of the gateway. Connections are accepted at once, and answered as soon
        as the gateway is ready.

    Raises:
        GatewayError: this is not Linux, the address or the data folder cannot be used, or the
            machine lacks something that the gateway needs. In that last case the block has failed
            with a `ConnectionFailed` or an `ExecutionError` of its client. Other errors in the new
            process are printed to standard error.
    """
    options = options or GatewayOptions()
    check_platform()
    _import_shared_modules()
    store, pair = open_store(options)
    store.close()
    lifeline, child_end = socket.socketpair()
    with lifeline:
        with child_end, bind(options) as listener:
            options = replace(
                options,
                port=listener.getsockname()[1],
                access_key=pair.access_key,
                secret_key=pair.secret_key,
            )
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                lifeline.close()
                _run_gateway(options, listener, child_end)
        try:
            yield client_config(options, options.port, pair)
        except (ConnectionFailed, ExecutionError):  # what a client sees of a gateway that ends
            lifeline.settimeout(REASON_SECONDS)
            if reason := _received_reason(lifeline):
                raise GatewayError(f"the gateway on this machine has failed: {reason}") from None
            raise
        finally:
            lifeline.close()
            _wait(pid)


def _received_reason(lifeline: socket.socket) -> str:
    """Why the gateway has ended; ``""`` if it has not, or has printed it."""
    try:
        return lifeline.recv(4096).decode()
    except OSError:
        return ""


def _import_shared_modules() -> None:
    """Import modules that both processes need, once instead of twice."""
    import h2.connection  # noqa: F401
    import h11  # noqa: F401
    import trio  # noqa: F401
    import wsproto  # noqa: F401


def _run_gateway(
    options: GatewayOptions, listener: socket.socket, lifeline: socket.socket
) -> NoReturn:
    """In the new process: serve until the parent closes the lifeline. Never returns or raises."""
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)

        # Its only client gets the same as an error.
        logging.getLogger("backendai_trio.gateway").setLevel(logging.ERROR)

        import trio

        from .server import open_gateway

        async def serve() -> None:
            async with open_gateway(options, listener=listener):
                # The parent sends nothing: it becomes readable when the parent closes it or dies.
                await trio.lowlevel.wait_readable(lifeline)

        trio.run(serve)
        code = 0
    except BaseException as exc:  # noqa: ASYNC103 (the process ends here)
        reason = str(exc) if isinstance(exc, GatewayError) else shortage_of(exc)
        if reason:
            lifeline.sendall(reason.encode())
        else:
            sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _wait(pid: int) -> None:
    """Wait until the gateway has ended. If it does not, kill it; its kernels notice that."""
    deadline = time.monotonic() + CLOSE_SECONDS
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(0.005)
