"""Opening a gateway: a real HTTP server on loopback, and everything that ends with it."""

from __future__ import annotations

import ipaddress
import logging
import os
import shutil
import socket
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, cast

import hypercorn.trio
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.typing import ASGIFramework

from .._groups import one_error
from .._version import __version__
from ..config import Config, Endpoint
from ..errors import GatewayError
from ..wire.execution import INTERRUPT_RUN, RAW_CONSOLE, STDIN_EOF
from ..wire.files import ARCHIVES
from ..wire.numbered import NUMBERED_STREAMS
from ..wire.transfers import TUS_CHECKSUM
from ..wire.versions import SEED, SESSION_6, Era, Hello
from .store import KeyPair, MemoryStore, SqliteStore, Store

if TYPE_CHECKING:
    from .sessions import Sessions

__all__ = ["Gateway", "GatewayOptions", "open_gateway", "serve_gateway", "stored_config"]

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
FAREWELL_SECONDS = 0.1
"""Time for last words to leave, before connections are dropped."""
CLOSE_SECONDS = 5.0
"""How long the kernels' ends may take; each is bounded by itself."""
FEATURES = frozenset({RAW_CONSOLE, STDIN_EOF, INTERRUPT_RUN, NUMBERED_STREAMS, TUS_CHECKSUM})


@dataclass(frozen=True, kw_only=True)
class GatewayOptions:
    """How a gateway is set up."""

    host: str = "127.0.0.1"
    """Address to listen on, as a number."""
    port: int = 0
    """TCP port, 0 for a free one."""
    certificate: tuple[Path, Path] | None = None
    """PEM files of a certificate chain and its key; needed for any address beyond loopback."""
    data: Path | None = None
    """Folder of what it remembers from one start to the next, virtual folders among it; default: it
    remembers nothing, and they end with it."""
    access_key: str | None = None
    """The access key it takes; default: the one it remembers, else a fresh one."""
    secret_key: str | None = field(default=None, repr=False)
    """The secret key, likewise."""
    eras: Sequence[Era] = (SEED, SESSION_6)
    """Whose APIs it speaks; the last one is what it announces."""
    idle_seconds: float = 3600.0
    """A kernel that nobody has used for so long ends."""
    max_sessions: int = 100
    """How many kernels may run at once."""
    max_vfolders: int = 100
    """How many virtual folders a key pair may have."""
    max_vfolder_bytes: int = 0
    """Bytes that each of them may hold, 0 for as many as there is room on the disk."""
    manager_limits: bool = False
    """Keep a manager's limits on files: 20 of under 1 MiB in an upload (19 in the seed era), 5
    archives of 1 MiB in a download, and none of our own ways around them."""


class Gateway:
    """A gateway that is open. Made by `open_gateway`.

    Attributes:
        config: settings for a client of it.
        isolation: what keeps its kernels apart from the machine.
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
async def open_gateway(options: GatewayOptions | None = None) -> AsyncIterator[Gateway]:
    """Serve the Backend.AI API on this machine, with kernels as local processes.

    Everything ends with the block: kernels, their processes and files. Should this process be
    killed, its kernels notice and end within moments.

    Raises:
        GatewayError: this is not Linux, the address cannot be bound, or it is open to the network
            and there is no certificate.
    """
    options = options or GatewayOptions()
    if sys.platform != "linux":
        raise GatewayError(
            f"the embedded gateway runs kernels as Linux processes, and this is {sys.platform}; "
            "set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY to use a server"
        )
    # From here on modules are needed that exist on Linux only.
    from .app import make_app
    from .sessions import Sessions
    from .vfolders import VFolders

    listener = _bind(options)
    try:
        store, pair = _open_store(options)
    except GatewayError:
        listener.close()
        raise
    config = _config(options, listener.getsockname()[1], pair)
    folder = Path(mkdtemp(prefix="backendai-gateway-"))
    folders = VFolders(
        (options.data or folder) / "vfolders",
        lasting=options.data is not None,
        max_folders=options.max_vfolders,
        max_bytes=options.max_vfolder_bytes,
    )
    isolation = "process-group"
    features = FEATURES if options.manager_limits else FEATURES | {ARCHIVES}
    hello = Hello(options.eras[-1].version, f"backendai-trio/{__version__}", isolation, features)
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
                    options.idle_seconds,
                    options.max_sessions,
                    options.manager_limits,
                )
                app = cast(ASGIFramework, make_app(sessions, options.eras, hello))
                await nursery.start(_serve, app, listener, options)
                gateways.append(Gateway(config, isolation, sessions))
                ready.set()
                await close.wait()
                last_words = bool(sessions.running())
                with trio.move_on_after(CLOSE_SECONDS):
                    await sessions.close()
                if last_words:
                    await trio.sleep(FAREWELL_SECONDS)
                _drop_connections(config.endpoint.port)
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


async def _serve(
    app: ASGIFramework,
    listener: socket.socket,
    options: GatewayOptions,
    *,
    task_status: trio.TaskStatus[list[str]],
) -> None:
    """Run the HTTP server until cancelled."""
    config = HypercornConfig()
    config.bind = [f"fd://{listener.detach()}"]  # the server closes it
    config.accesslog = None
    config.errorlog = logging.getLogger("backendai_trio.gateway.http")
    config.loglevel = "WARNING"
    config.alpn_protocols = ["http/1.1"]
    config.graceful_timeout = 0.5
    config.keep_alive_timeout = 75.0
    config.keep_alive_max_requests = sys.maxsize
    config.include_server_header = False
    if options.certificate is not None:
        config.certfile, config.keyfile = map(str, options.certificate)
    await hypercorn.trio.serve(app, config, task_status=task_status, mode="asgi")


def stored_config(options: GatewayOptions) -> Config:
    """Settings for a client of the gateway that these options describe, without starting it."""
    store, pair = _open_store(options)
    store.close()
    return _config(options, options.port, pair)


def _config(options: GatewayOptions, port: int, pair: KeyPair) -> Config:
    scheme = "https" if options.certificate else "http"
    # A wildcard address is no destination.
    host = _LOOPBACK.get(options.host, options.host)
    return Config(Endpoint(scheme, host, port, ""), pair.access_key, pair.secret_key)


def _drop_connections(port: int) -> None:
    """Shut down what is still connected to us.

    The HTTP server shields its writes from cancellation, and keeps its connections to itself: a
    client that has stopped reading would hold it for ever. So they are found as the operating
    system's: every socket of this process whose own end is our port.
    """
    # A list, since the listing's own descriptor vanishes while it is read.
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as connection:
                if connection.family in _INTERNET and connection.getsockname()[1] == port:
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # closed meanwhile, or not connected


def _open_store(options: GatewayOptions) -> tuple[Store, KeyPair]:
    if options.data is not None:
        stored = SqliteStore(options.data)
        return stored, stored.keypair(options.access_key, options.secret_key)
    fresh = KeyPair.generate(options.access_key)
    pair = KeyPair(fresh.access_key, options.secret_key or fresh.secret_key)
    return MemoryStore(pair), pair


def _bind(options: GatewayOptions) -> socket.socket:
    """Take the address, before anything else is started."""
    try:
        address = ipaddress.ip_address(options.host)
    except ValueError:
        raise GatewayError(f"{options.host!r} is not an IP address; use e.g. 127.0.0.1") from None
    if not address.is_loopback and options.certificate is None:
        raise GatewayError(
            f"{options.host} can be reached from the network, and code and output would travel in "
            "the clear; give a certificate, or listen on 127.0.0.1"
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        listener.listen(128)
        if options.certificate is not None:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                *options.certificate
            )
    except (OSError, OverflowError) as exc:
        listener.close()
        raise GatewayError(
            f"cannot serve on {options.host} port {options.port}: {exc}; "
            "choose another port, or 0 for a free one"
        ) from exc
    return listener
