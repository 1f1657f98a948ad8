"""A gateway in a process of its own, beside the one that uses it.

A command that runs code on this machine needs a client and a gateway, and most of its time goes
into loading them. Two processes load at the same time. The address is taken before, so that the
client may connect at once; it waits in the listener's queue.
"""

from __future__ import annotations

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
from .settings import GatewayOptions, bind, check_platform, client_config, open_store

__all__ = ["open_gateway_process"]

CLOSE_SECONDS = 10.0
"""How long the gateway's end may take; every step of it has a tighter bound of its own."""


@contextmanager
def open_gateway_process(options: GatewayOptions | None = None) -> Iterator[Config]:
    """Run a gateway in a new process until the block ends; a block of plain ``with``.

    For programs that load the client inside the block. Everything ends with the block, as it does
    with `open_gateway`: kernels, their processes and files; and the gateway notices when this
    process is killed. Signals that a terminal sends, as by Ctrl-C, do not reach it.

    The process is forked: to be called before this one starts threads or an event loop.

    Returns:
        Settings for a client of it. Connections succeed from now on, and are answered once the
        gateway is up.

    Raises:
        GatewayError: this is not Linux, or the address cannot be bound.
    """
    options = options or GatewayOptions()
    check_platform()
    _load_what_both_need()
    store, pair = open_store(options)
    store.close()
    lifeline, far = socket.socketpair()
    with lifeline:
        with far, bind(options) as listener:
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
                _become_gateway(options, listener, far)
        try:
            yield client_config(options, options.port, pair)
        finally:
            lifeline.close()
            _wait(pid)


def _load_what_both_need() -> None:
    """Import it once rather than twice, for the sake of machines whose cores are busy."""
    import h2.connection  # noqa: F401
    import h11  # noqa: F401
    import trio  # noqa: F401
    import wsproto  # noqa: F401


def _become_gateway(
    options: GatewayOptions, listener: socket.socket, far: socket.socket
) -> NoReturn:
    """In the new process: serve until the lifeline is closed. Nothing here may reach the caller."""
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)

        import trio

        from .server import open_gateway

        async def serve() -> None:
            async with open_gateway(options, listener=listener):
                # Nothing is ever sent, so that it becomes readable by its end.
                await trio.lowlevel.wait_readable(far)

        trio.run(serve)
        code = 0
    except BaseException:  # noqa: ASYNC103 (there is no caller)
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _wait(pid: int) -> None:
    """Wait until the gateway has ended; kill it if it does not, which its kernels notice."""
    deadline = time.monotonic() + CLOSE_SECONDS
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(0.005)
