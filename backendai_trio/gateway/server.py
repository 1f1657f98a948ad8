"""Opening a gateway: a real HTTP server on loopback, and everything that ends with it."""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import trio

from .._asgi import drop_connections, serve_app
from .._groups import one_error
from .._version import __version__
from ..config.settings import Config
from ..wire.apps import HALF_CLOSE
from ..wire.execution import INTERRUPT_RUN, RAW_CONSOLE, SHOW_VALUE, STDIN_EOF
from ..wire.files import ARCHIVES
from ..wire.resumable import RESUMABLE_STREAMS
from ..wire.storage_proxy import TUS_CHECKSUM
from ..wire.versions import Hello
from .settings import GatewayOptions, bind, check_platform, client_config, open_store

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .kernels.registry import Sessions

__all__ = ["Gateway", "open_gateway", "serve_gateway"]

_log = logging.getLogger("backendai_trio.gateway.http")
FAREWELL_SECONDS = 0.1
"""Time for last words to leave, before connections are dropped."""
CLOSE_SECONDS = 5.0
"""How long the kernels' ends may take; each is bounded by itself."""
FEATURES = frozenset(
    {RAW_CONSOLE, STDIN_EOF, INTERRUPT_RUN, SHOW_VALUE, RESUMABLE_STREAMS, TUS_CHECKSUM, HALF_CLOSE}
)


class Gateway:
    """A gateway that is open. Made by `open_gateway`.

    Attributes:
        config: settings for a client of it.
        isolation: what keeps its kernels apart from the machine, "bubblewrap" or "process-group".
        faults: what it does wrong on purpose; for tests.
    """

    def __init__(self, config: Config, isolation: str, sessions: Sessions) -> None:
        self.config = config
        self.isolation = isolation
        self.faults = sessions.faults
        self._sessions = sessions

    def __repr__(self) -> str:
        return f"<Gateway at {self.url}>"

    @property
    def url(self) -> str:
        """Its address."""
        return self.config.endpoint.url

    def tokens(self) -> list[str]:
        """The tokens of the kernels that run now, newest first."""
        return [session.token for session in self._sessions.running()]


@asynccontextmanager
async def open_gateway(
    options: GatewayOptions | None = None, *, listener: socket.socket | None = None
) -> AsyncIterator[Gateway]:
    """Serve the Backend.AI API on this machine, with kernels as local processes.

    Everything ends with the block: kernels, their processes and files. Should this process be
    killed, its kernels notice and end within moments.

    Args:
        options: how it is set up.
        listener: a socket that listens already, which is closed in the end; default: one that is
            bound to the address in the options.

    Raises:
        GatewayError: this is not Linux, the address cannot be bound, it is open to the network and
            there is no certificate, or the isolation that was asked for does not work here.
    """
    options = options or GatewayOptions()
    check_platform()
    # From here on modules are needed that exist on Linux only.
    from .processes.isolation import try_isolation

    listener = listener or bind(options)
    try:
        with try_isolation(options.isolation) as trial:
            from .api.app import make_app
            from .api.logins import LoginServer
            from .kernels.registry import Sessions
            from .processes.ext4 import spread_folders
            from .storage.vfolders import VFolders

            isolation = await trio.to_thread.run_sync(trial.result)
        store, pair = open_store(options)
    except BaseException:  # cancelled, too: nobody else would close it
        listener.close()
        raise
    config = client_config(options, listener.getsockname()[1], pair)
    folder = Path(mkdtemp(prefix="backendai-gateway-"))
    spread_folders(folder)
    folders = VFolders(
        (options.data or folder) / "vfolders",
        lasting=options.data is not None,
        max_folders=options.max_vfolders,
        max_bytes=options.max_vfolder_bytes,
    )
    isolation = isolation.hiding(folder, options.data)
    features = FEATURES if options.manager_limits else FEATURES | {ARCHIVES}
    hello = Hello(
        options.eras[-1].version, f"backendai-trio/{__version__}", isolation.name, features
    )
    ready, close = trio.Event(), trio.Event()
    gateways: list[Gateway] = []

    async def run() -> None:
        # Shielded: when the block is cancelled, clients still hear that their kernels have ended.
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                sessions = Sessions(
                    nursery,
                    folder,
                    store,
                    folders,
                    isolation,
                    options.idle_seconds,
                    options.max_sessions,
                    options.manager_limits,
                )
                serve = partial(serve_app, log=_log, certificate=options.certificate)
                app: ASGIApp = make_app(sessions, options.eras, hello)
                if options.account is not None:
                    secure = options.certificate is not None
                    app = LoginServer(app, options.account, pair.access_key, secure=secure)
                await nursery.start(serve, app, listener)
                gateways.append(Gateway(config, isolation.name, sessions))
                ready.set()
                await close.wait()
                last_words = bool(sessions.running())
                with trio.move_on_after(CLOSE_SECONDS):
                    await sessions.close()
                if last_words:
                    await trio.sleep(FAREWELL_SECONDS)
                drop_connections(config.endpoint.port)
                nursery.cancel_scope.cancel()

    try:
        with one_error():
            async with trio.open_nursery() as nursery:
                # Not with `start`: a cancellation there would wait for a task that waits for us.
                nursery.start_soon(run)
                try:
                    await ready.wait()
                    yield gateways[0]
                finally:
                    close.set()
    finally:
        listener.close()
        store.close()
        folders.close()
        shutil.rmtree(folder, ignore_errors=True)


async def serve_gateway(
    options: GatewayOptions, *, task_status: trio.TaskStatus[Gateway] = trio.TASK_STATUS_IGNORED
) -> None:
    """Hold a gateway open until cancelled; for ``await nursery.start(serve_gateway, options)``."""
    async with open_gateway(options) as gateway:
        task_status.started(gateway)
        await trio.sleep_forever()
