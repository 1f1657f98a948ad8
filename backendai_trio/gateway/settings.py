"""What a gateway is set up with, before a server is loaded that could run it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ..config.settings import Config, Endpoint
from ..errors import GatewayError
from ..wire.versions import SEED, SESSION_6, Era
from .storage.database import KeyPair, MemoryStore, SqliteStore, Store

__all__ = [
    "Account",
    "GatewayOptions",
    "WantedIsolation",
    "bind",
    "check_platform",
    "client_config",
    "open_store",
    "stored_config",
]

WantedIsolation: TypeAlias = Literal["auto", "bubblewrap", "process-group"]

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True)
class Account:
    """Who may log in with a password, and is let in with the gateway's key pair."""

    username: str
    password: str = field(repr=False)
    otp: str | None = field(default=None, repr=False)
    """A one-time password that is wanted as well. It stays the same: this is to try clients."""
    login_seconds: float = 7 * 24 * 3600.0
    """How long a login holds."""


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
    account: Account | None = None
    """Serve logins as well, as the web server before a manager does."""
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
    isolation: WantedIsolation = "auto"
    """What keeps kernels apart from this machine: bubblewrap (namespaces of their own), or nothing
    but a process group. "auto" is bubblewrap where it is installed and works."""
    manager_limits: bool = False
    """Keep a manager's limits on files: 20 of under 1 MiB in an upload (19 in the seed era), 5
    archives of 1 MiB in a download, and none of our own ways around them."""


def check_platform() -> None:
    """Kernels need Linux.

    Raises:
        GatewayError: this is something else.
    """
    if sys.platform != "linux":
        raise GatewayError(
            f"the embedded gateway runs kernels as Linux processes, and this is {sys.platform}; "
            "set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY to use a server"
        )


def stored_config(options: GatewayOptions) -> Config:
    """Settings for a client of the gateway that these options describe, without starting it."""
    store, pair = open_store(options)
    store.close()
    return client_config(options, options.port, pair)


def client_config(options: GatewayOptions, port: int, pair: KeyPair) -> Config:
    """Settings for a client of the gateway that these options describe, which has that port."""
    scheme = "https" if options.certificate else "http"
    # A wildcard address is no destination.
    host = _LOOPBACK.get(options.host, options.host)
    return Config(Endpoint(scheme, host, port, ""), pair.access_key, pair.secret_key)


def open_store(options: GatewayOptions) -> tuple[Store, KeyPair]:
    """The gateway's memory, which the caller closes, and the key pair it takes."""
    if options.data is not None:
        stored = SqliteStore(options.data)
        return stored, stored.keypair(options.access_key, options.secret_key)
    fresh = KeyPair.generate(options.access_key)
    pair = KeyPair(fresh.access_key, options.secret_key or fresh.secret_key)
    return MemoryStore(pair), pair


def bind(options: GatewayOptions) -> socket.socket:
    """Take the address, before anything else is started; clients may connect from here on.

    Raises:
        GatewayError: it cannot be had, or it is open to the network and there is no certificate.
    """
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
