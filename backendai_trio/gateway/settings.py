"""Options of a gateway, and what they imply before the server is loaded."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ..config.settings import Config, Endpoint
from ..errors import GatewayError
from ..wire.versions import SEED, SESSION_6, TRANSITION, Era
from .kernel_limits import KernelLimits
from .limits import GatewayLimits
from .storage.database import KeyPair, MemoryStore, SqliteStore, Store

__all__ = [
    "Account",
    "GatewayOptions",
    "RequestedIsolation",
    "RequestedNetwork",
    "bind",
    "check_platform",
    "client_config",
    "open_store",
    "stored_config",
]

RequestedIsolation: TypeAlias = Literal["auto", "bubblewrap", "process-group"]
RequestedNetwork: TypeAlias = Literal["host", "loopback", "none"]

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True)
class Account:
    """A user who may log in with a password; requests of the login use the gateway's key pair."""

    username: str
    password: str = field(repr=False)
    otp: str | None = field(default=None, repr=False)
    """A one-time password that is required as well. It never changes: it serves to try clients."""
    login_seconds: float = 7 * 24 * 3600.0
    """How long a login is valid."""


@dataclass(frozen=True, kw_only=True)
class GatewayOptions:
    """Options of a gateway."""

    host: str = "127.0.0.1"
    """IP address to listen on."""
    port: int = 0
    """TCP port; 0 for a free one."""
    certificate: tuple[Path, Path] | None = None
    """PEM files of a certificate chain and its key. Required for addresses other than loopback."""
    data: Path | None = None
    """Folder with what the gateway remembers from one start to the next, such as virtual folders.
    Default: it remembers nothing, and virtual folders end with it."""
    access_key: str | None = None
    """The access key of clients; default: the remembered one, else a new one."""
    secret_key: str | None = field(default=None, repr=False)
    """The secret key of clients; default: as for `access_key`."""
    account: Account | None = None
    """Accept logins as well, as the web server in front of a manager does."""
    eras: Sequence[Era] = (SEED, TRANSITION, SESSION_6)
    """The API versions to speak; the last one is announced."""
    release: str = ""
    """A manager's release to behave as, to try clients on: a key of `RELEASES`, such as ``23.09``.
    It takes the place of `eras` and `manager_limits`: only that release's API is spoken, and with
    its faults."""
    idle_seconds: float = 3600.0
    """A kernel that was not used for this long ends."""
    max_sessions: int = 100
    """How many kernels may run at once."""
    max_waiting: int = 1000
    """How many more kernels may wait for their turn; none does before 20.03."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """What kernels that ask for resources may have together, such as ``{"cpu": "4", "mem": "8g"}``,
    with amounts as in `KernelSpec.resources`. Default for each slot: all that the machine has. It
    counts what kernels ask for, not what they use; one that asks for nothing never waits for it."""
    max_vfolders: int = 100
    """How many virtual folders a key pair may have."""
    max_vfolder_bytes: int = 0
    """Quota of each virtual folder in bytes; 0 for none."""
    isolation: RequestedIsolation = "auto"
    """How kernels are kept apart from the machine: "bubblewrap" (namespaces of their own) or
    "process-group" (nothing else). "auto" is bubblewrap where it is installed and works."""
    network: RequestedNetwork = "host"
    """What kernels reach: "host" is what the machine does, its own servers included. "loopback" is
    a localhost of each kernel's own, and "none" not even that; both need bubblewrap."""
    readable: Sequence[Path] = ()
    """Files and folders of the machine that kernels may read under bubblewrap, in addition to the
    operating system's and to those of the runtimes. In a process group they read what the
    gateway's user can."""
    kernel_limits: KernelLimits = field(default_factory=KernelLimits)
    """What the programs of each kernel may use; default: all that the machine has."""
    manager_limits: bool = False
    """Keep a manager's limits for files: 20 of less than 1 MiB in an upload (19 in the seed era), 5
    archives of 1 MiB in a download; and do not offer the gateway's own requests without limits."""
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    """Time limits and sizes."""


def check_platform() -> None:
    """Check that kernels can run here.

    Raises:
        GatewayError: this is not Linux.
    """
    if sys.platform != "linux":
        raise GatewayError(
            f"the embedded gateway runs kernels as Linux processes, and this is {sys.platform}; "
            "set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY to use a server"
        )


def stored_config(options: GatewayOptions) -> Config:
    """Settings for a client of the gateway with these options, which is not started.

    Args:
        options: the gateway's options, with a port.

    Returns:
        The settings. Without `GatewayOptions.data` their key pair is a new one each time, unless
        the options have one.

    Raises:
        GatewayError: the data folder cannot be read or made.
    """
    store, pair = open_store(options)
    store.close()
    return client_config(options, options.port, pair)


def client_config(options: GatewayOptions, port: int, pair: KeyPair) -> Config:
    """Settings for a client of the gateway with these options.

    Args:
        options: the gateway's options.
        port: the port that it listens on.
        pair: its key pair.
    """
    scheme = "https" if options.certificate else "http"
    # A client cannot connect to a wildcard address.
    host = _LOOPBACK.get(options.host, options.host)
    return Config(Endpoint(scheme, host, port, ""), pair.access_key, pair.secret_key)


def open_store(options: GatewayOptions) -> tuple[Store, KeyPair]:
    """Open the gateway's store, which the caller closes.

    Returns:
        The store, and the gateway's key pair.

    Raises:
        GatewayError: the data folder cannot be read or made.
    """
    if options.data is not None:
        stored = SqliteStore(options.data)
        return stored, stored.keypair(options.access_key, options.secret_key)
    new = KeyPair.generate(options.access_key)
    pair = KeyPair(new.access_key, options.secret_key or new.secret_key)
    return MemoryStore(pair), pair


def bind(options: GatewayOptions) -> socket.socket:
    """Listen on the gateway's address, before anything else is started.

    Clients can connect from now on; they wait until the gateway answers.

    Raises:
        GatewayError: the address cannot be used, or it can be reached from the network and there is
            no certificate.
    """
    try:
        address = ipaddress.ip_address(options.host)
    except ValueError:
        raise GatewayError(
            f"{options.host!r} is not an IP address; set --host to one, e.g. 127.0.0.1"
        ) from None
    if not address.is_loopback and options.certificate is None:
        raise GatewayError(
            f"{options.host} can be reached from the network, and code and output would travel in "
            "the clear; give a certificate (--certificate and --certificate-key), or listen on "
            "127.0.0.1"
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    if options.certificate is not None:
        _check_certificate(*options.certificate)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        # A busy gateway accepts one connection in each turn of its event loop. Those for which
        # there is no room try again after a second, and after two, four, eight.
        listener.listen(socket.SOMAXCONN)
    except (OSError, OverflowError) as exc:
        listener.close()
        raise GatewayError(
            f"cannot serve on {options.host} port {options.port}: "
            f"{getattr(exc, 'strerror', None) or exc}; "
            "choose another port, or 0 for a free one"
        ) from exc
    return listener


def _check_certificate(chain: Path, key: Path) -> None:
    for path, option in ((chain, "--certificate"), (key, "--certificate-key")):
        try:
            path.read_bytes()
        except OSError as exc:
            raise GatewayError(f"{path} ({option}) cannot be read: {exc.strerror}") from exc
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(chain, key)
    except ssl.SSLError as exc:
        raise GatewayError(
            f"{chain} (--certificate) and {key} (--certificate-key) are not a certificate and its "
            "key; name two PEM files that belong together"
        ) from exc
