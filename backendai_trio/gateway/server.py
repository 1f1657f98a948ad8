"""Opens a gateway: a real HTTP server on this machine, and everything that ends with it."""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import trio

from .. import __version__
from .._asgi import ServerLimits, drop_connections, serve_app
from .._groups import one_error
from ..config.settings import Config
from ..errors import GatewayError
from ..wire.apps import HALF_CLOSE
from ..wire.execution import (
    INTERRUPT_RUN,
    RAW_CONSOLE,
    RICH_OUTPUT,
    RUN_PROGRAM,
    SHOW_VALUE,
    STDIN_EOF,
)
from ..wire.files import ARCHIVES
from ..wire.kernel_spec import MOUNT_PERMISSIONS
from ..wire.listings import LIST_FILTERS, REQUESTED_SLOTS
from ..wire.resumable import RESUMABLE_STREAMS
from ..wire.stdio import CHOOSE_STDIO
from ..wire.storage_proxy import TUS_CHECKSUM
from ..wire.versions import FOLDER_ARCHIVES, POSITIONS, Era, Hello, Protection
from .cleanup import clean_up_in_thread
from .limits import GatewayLimits
from .releases import OURS, release_named
from .resource_slots import Amounts, total_amounts
from .settings import GatewayOptions, bind, check_platform, client_config, open_store
from .storage.database import KeyPair, Store

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .kernels.registry import SessionRegistry
    from .processes.isolation import Isolation
    from .storage.vfolders import VFolders

__all__ = ["Gateway", "open_gateway", "serve_gateway"]

_log = logging.getLogger("backendai_trio.gateway.http")
LAST_MESSAGES_SECONDS = 0.1
"""How long connections stay open for their last messages after all kernels have ended."""
FEATURES = frozenset(
    {
        RAW_CONSOLE,
        RICH_OUTPUT,
        STDIN_EOF,
        INTERRUPT_RUN,
        RUN_PROGRAM,
        SHOW_VALUE,
        CHOOSE_STDIO,
        RESUMABLE_STREAMS,
        TUS_CHECKSUM,
        HALF_CLOSE,
        FOLDER_ARCHIVES,
        LIST_FILTERS,
        REQUESTED_SLOTS,
        MOUNT_PERMISSIONS,
        POSITIONS,
    }
)


class Gateway:
    """An open gateway. Made by `open_gateway`.

    Attributes:
        config: settings for a client of it.
        isolation: how its kernels are isolated: "bubblewrap" or "process-group".
        protections: what keeps them apart from this machine, and what does not.
        faults: what it does wrong on purpose, for tests; may be changed at any time.
    """

    def __init__(
        self,
        config: Config,
        isolation: str,
        protections: Sequence[Protection],
        sessions: SessionRegistry,
    ) -> None:
        self.config = config
        self.isolation = isolation
        self.protections = protections
        self.faults = sessions.faults
        self._sessions = sessions

    def __repr__(self) -> str:
        return f"<Gateway at {self.url}>"

    @property
    def url(self) -> str:
        """Its address, e.g. ``http://127.0.0.1:8080``."""
        return self.config.endpoint.url

    def tokens(self) -> list[str]:
        """The tokens of the running kernels, newest first."""
        return [session.token for session in self._sessions.running()]

    def waiting_tokens(self) -> list[str]:
        """The tokens of the kernels that do not run yet, newest first."""
        return [item.token for item in self._sessions.queued()]


@asynccontextmanager
async def open_gateway(
    options: GatewayOptions | None = None, *, listener: socket.socket | None = None
) -> AsyncIterator[Gateway]:
    """Serve the Backend.AI API on this machine, with kernels as local processes.

    Everything ends with the block: kernels, their processes and their files. If this process is
    killed, its kernels notice and end within moments.

    Args:
        options: the gateway's options; default: `GatewayOptions()`.
        listener: a listening socket, which is closed at the end; default: a new one on the address
            in the options.

    Raises:
        GatewayError: this is not Linux, the address cannot be used, it can be reached from the
            network and there is no certificate, the data folder cannot be used or is damaged, the
            isolation in the options does not work here, a path that is to be readable does not
            exist, or the resources in the options are malformed.
        OSError: the folder for kernels cannot be made.

    Cancellation: clients are still told that their kernels have ended. The end is shielded, and
    bounded by `GatewayLimits.close_seconds` plus what the processes of one kernel may take.
    """
    options = options or GatewayOptions()
    check_platform()
    listener = listener or bind(options)
    try:
        isolation = await _choose_isolation(options)
        store, pair = open_store(options)
    except BaseException:  # a cancellation, too: nothing else would close it
        listener.close()
        raise
    folder: Path | None = None
    folders: VFolders | None = None
    try:
        folder = _make_kernels_folder()
        folders = _open_vfolders(options, folder)
        parts = _Parts(
            options=options,
            listener=listener,
            store=store,
            pair=pair,
            config=client_config(options, listener.getsockname()[1], pair),
            folder=folder,
            folders=folders,
            isolation=isolation.hiding(folder, options.data),
            resources=total_amounts(options.resources),
        )
        async with _serve(parts) as gateway:
            yield gateway
    finally:
        listener.close()
        store.close()
        if folders is not None:
            folders.close()
        if folder is not None:
            remove = partial(shutil.rmtree, folder, ignore_errors=True)
            await clean_up_in_thread(remove)  # noqa: ASYNC102 (bounded there)


async def serve_gateway(
    options: GatewayOptions, *, task_status: trio.TaskStatus[Gateway] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a gateway until cancelled; for ``await nursery.start(serve_gateway, options)``.

    Args:
        options: the gateway's options.
        task_status: gets the `Gateway`.

    Raises:
        GatewayError: see `open_gateway`.

    Cancellation: ends the gateway, as the end of the block of `open_gateway` does.
    """
    async with open_gateway(options) as gateway:
        task_status.started(gateway)
        await trio.sleep_forever()


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a gateway is made of, except its tasks."""

    options: GatewayOptions
    listener: socket.socket
    store: Store
    pair: KeyPair
    config: Config
    folder: Path
    folders: VFolders
    isolation: Isolation
    resources: Amounts


async def _choose_isolation(options: GatewayOptions) -> Isolation:
    """Test which isolation works here, and load the rest of the gateway meanwhile.

    Raises:
        GatewayError: the isolation in the options does not work here, or a path that is to be
            readable does not exist.
    """
    # These modules can be imported on Linux only.
    from .processes.isolation import try_isolation

    with try_isolation(options.isolation, options.network) as trial:
        from .api import app, logins  # noqa: F401
        from .kernels import registry  # noqa: F401
        from .kernels.runtime_files import runtime_files

        def choose() -> Isolation:
            isolation = trial.result()
            if not isolation.separates:
                return isolation
            return isolation.reading(*runtime_files(), *_readable_paths(options))

        return await trio.to_thread.run_sync(choose)


def _readable_paths(options: GatewayOptions) -> list[Path]:
    paths = [path.absolute() for path in options.readable]
    for path in paths:
        if not path.exists():
            raise GatewayError(
                f"{path} does not exist, so kernels cannot read it; name existing files and "
                "folders in --readable"
            )
    return paths


def _make_kernels_folder() -> Path:
    from .processes.ext4 import spread_folders

    folder = Path(mkdtemp(prefix="backendai-gateway-"))
    spread_folders(folder)
    return folder


def _open_vfolders(options: GatewayOptions, folder: Path) -> VFolders:
    from .storage.vfolders import VFolders

    folders = VFolders(
        (options.data or folder) / "vfolders",
        lasting=options.data is not None,
        max_folders=options.max_vfolders,
        max_bytes=options.max_vfolder_bytes,
    )
    folders.open_existing()
    return folders


@asynccontextmanager
async def _serve(parts: _Parts) -> AsyncIterator[Gateway]:
    """Run a gateway's tasks until the block ends."""
    ready, close = trio.Event(), trio.Event()
    gateways: list[Gateway] = []

    # It can be imported on Linux only.
    from .processes.protections import protections_of

    async def run() -> None:
        # Shielded: when the block is cancelled, clients are still told that their kernels ended.
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                sessions = _make_registry(parts, nursery)
                app = _make_asgi_app(parts, sessions)
                certificate = parts.options.certificate
                limits = _server_limits(parts.options.limits)
                serve = partial(serve_app, log=_log, certificate=certificate, limits=limits)
                await nursery.start(serve, app, parts.listener)
                nursery.start_soon(_keep_swept, parts)
                protections = protections_of(parts.isolation, parts.options.kernel_limits)
                isolation = parts.isolation.name
                gateways.append(Gateway(parts.config, isolation, protections, sessions))
                ready.set()
                await close.wait()
                await _close(sessions, parts)
                nursery.cancel_scope.cancel()

    with one_error():
        async with trio.open_nursery() as nursery:
            # Not `nursery.start`: when cancelled, it would wait for a task that waits for `close`.
            nursery.start_soon(run)
            try:
                await ready.wait()
                yield gateways[0]
            finally:
                close.set()


async def _close(sessions: SessionRegistry, parts: _Parts) -> None:
    """End all kernels, let clients receive their last messages, and drop the connections."""
    had_kernels = bool(sessions.running())
    with trio.move_on_after(parts.options.limits.close_seconds):
        await sessions.close()
    if had_kernels:
        await trio.sleep(LAST_MESSAGES_SECONDS)
    drop_connections(parts.config.endpoint.port)


async def _keep_swept(parts: _Parts) -> None:
    from .storage.folder_sweep import keep_swept

    await keep_swept(parts.folders, every_seconds=parts.options.limits.sweep_seconds)


def _make_registry(parts: _Parts, nursery: trio.Nursery) -> SessionRegistry:
    from .kernels.registry import SessionRegistry

    release = release_named(parts.options.release)
    return SessionRegistry(
        nursery,
        parts.folder,
        parts.store,
        parts.folders,
        parts.isolation,
        parts.options.idle_seconds,
        parts.options.max_sessions,
        parts.options.max_waiting,
        parts.options.manager_limits or bool(parts.options.release),
        release,
        parts.options.limits,
        release.faults,
        parts.options.kernel_limits,
        parts.resources,
    )


def _server_limits(limits: GatewayLimits) -> ServerLimits:
    return ServerLimits(
        connections=limits.max_connections,
        head_bytes=limits.max_head_bytes,
        message_bytes=limits.max_message_bytes,
        head_seconds=limits.head_seconds,
        rest_bytes=limits.max_body_bytes,
        rest_seconds=limits.refused_seconds,
    )


def _make_asgi_app(parts: _Parts, sessions: SessionRegistry) -> ASGIApp:
    from .api.app import make_app
    from .api.logins import LoginServer
    from .processes.protections import protections_of

    options = parts.options
    eras: Sequence[Era] = options.eras
    if sessions.release is not OURS:
        eras, hello = (sessions.release.era,), sessions.release.hello
    else:
        features = FEATURES if options.manager_limits else FEATURES | {ARCHIVES}
        name = f"backendai-trio/{__version__}"
        protections = protections_of(parts.isolation, options.kernel_limits)
        hello = Hello(eras[-1].version, name, parts.isolation.name, features, protections)
    app: ASGIApp = make_app(sessions, eras, hello)
    if options.account is not None:
        secure = options.certificate is not None
        seconds = options.limits.body_seconds
        app = LoginServer(
            app, options.account, parts.pair.access_key, secure=secure, body_seconds=seconds
        )
    return app
