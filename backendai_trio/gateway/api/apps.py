"""Apps of kernels: the TCP ports that their programs listen on.

A gateway's kernels may share the ports of the machine with all other processes, so only those ports
are reachable through a kernel that its own processes listen on. They may also have a network of
their own, so the kernel's process host makes the sockets. An app's name is the port's number.
There is also ``sshd``, where the machine has an SSH server, which is started on demand.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..._groups import one_error
from ...errors import GatewayError, RemoteProtocolError
from ...wire.apps import (
    END_OF_STREAM,
    SERVICE_BROKEN,
    SERVICE_CLOSED,
    SERVICE_REFUSED,
    AppInfo,
    is_end_of_stream,
    wants_half_close,
)
from ...wire.services import ServiceAddress, ServiceOptions, StartService, decode_shutdown
from ...wire.ssh import APP as SSH
from ..kernels.session import Session
from ..processes.host.process_tree import below
from ..refusals import Refused
from .sockets import close_socket, send_message

__all__ = ["list_apps", "serve_app_connection", "shutdown_app", "start_app"]

_CHUNK_BYTES = 64 * 1024
_SSH_PORT = 2200  # as on managers; the real one is a free port of the machine
_LISTEN = "0A"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class _Address(NamedTuple):
    host: str
    port: int


def list_apps(session: Session) -> list[AppInfo]:
    """The apps of a kernel at this moment, sorted by port; the SSH server is the first."""
    ports = {address.port for address in _listening(session)}
    ports.discard(session.ssh.occupied_port)
    apps = [AppInfo(str(port), "tcp", (port,)) for port in sorted(ports)]
    if session.ssh.user:
        apps.insert(0, AppInfo(SSH, "tcp", (_SSH_PORT,), user=session.ssh.user))
    return apps


async def start_app(session: Session, body: bytes) -> ServiceAddress:
    """Refuse to start an app for an app proxy, as managers do where there is none.

    Args:
        session: the kernel.
        body: the request's.

    Returns:
        The address, where the gateway was told to pretend that there is a proxy (`Faults`).

    Raises:
        Refused: 503, there is no app proxy; this comes first. 404, there is no such app.
        RemoteProtocolError: the body is malformed.
    """
    start = StartService.decode(body)
    if not session.faults.app_proxy:
        await trio.lowlevel.checkpoint()
        raise Refused(
            503,
            "service-unavailable",
            "Service unavailable.",
            "No coordinator configured for this resource group",
        )
    await _address_of(session, start.app)
    return ServiceAddress(session.faults.app_proxy, uuid.uuid4().hex)


def shutdown_app(session: Session, arguments: Mapping[str, object]) -> None:
    """End an app that the gateway has started. Others go on, as on managers.

    Args:
        session: the kernel.
        arguments: the request's, of query and body together.

    Raises:
        RemoteProtocolError: they name no app.
    """
    if decode_shutdown(arguments) == SSH:
        session.ssh.stop()


async def serve_app_connection(websocket: WebSocket, session: Session) -> None:
    """Tunnel a connection to an app through a WebSocket, which is accepted here.

    Raises:
        Refused: 404, the kernel has no such app; 500, it did not start; 400, its options are
            malformed.
    """
    query = websocket.query_params
    half_close = wants_half_close(query.get("halfClose"))
    try:
        ServiceOptions.decode(query)  # apps here take none, and managers ignore them then
    except RemoteProtocolError as exc:
        raise Refused(400, "invalid-api-params", "Malformed options", str(exc)) from None
    address = await _address_of(session, query.get("app", ""))
    await websocket.accept()
    try:
        stream = await _connect(session, address)
    except (OSError, GatewayError) as exc:
        reason = f"port {address.port}: {_explain(exc)}"
        await close_socket(websocket, SERVICE_REFUSED, reason)
        return
    session.connections += 1
    try:
        async with stream:
            await _tunnel(websocket, stream, half_close)
    finally:
        session.connections -= 1
        session.touch()


async def _connect(session: Session, address: _Address) -> trio.SocketStream:
    """Connect to a port in the network of the kernel.

    Raises:
        OSError: it cannot be connected to.
        GatewayError: the kernel's process host has died.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    opened = trio.socket.from_stdlib_socket(await session.host.open_socket(family))
    try:
        await opened.connect(address)
    except BaseException:  # cancelled, too: nobody else would close it
        opened.close()
        raise
    return trio.SocketStream(opened)


def _explain(exc: OSError | GatewayError) -> str:
    """Why a port was not connected to."""
    if isinstance(exc, GatewayError):
        return str(exc)
    if exc.errno == errno.ENETUNREACH:
        return "the kernel has no network (the gateway serves with --network none)"
    return exc.strerror or str(exc)


async def _address_of(session: Session, name: str) -> _Address:
    """Where an app listens; it is started if need be."""
    if name != SSH or not session.ssh.user:
        await trio.lowlevel.checkpoint()
        return _find(session, name)
    try:
        return _Address("127.0.0.1", await session.ssh.start())
    except GatewayError as exc:
        raise Refused(
            500, "internal-server-error", "Failed to launch the app service", str(exc)
        ) from None


def _find(session: Session, name: str) -> _Address:
    listening = _listening(session)
    # A program may listen on IPv4 and IPv6; most clients expect IPv4.
    for address in sorted(listening, key=lambda found: ":" in found.host):
        if str(address.port) == name:
            return address
    found = {address.port for address in listening} - {session.ssh.occupied_port}
    ports = ", ".join(map(str, sorted(found)))
    reason = (
        f"there is no SSH server: {session.ssh.lacking}"
        if name == SSH
        else f"no program in this kernel listens on port {name!r}; its programs listen on: "
        f"{ports or 'no port'}"
    )
    raise Refused(404, "app-not-found", "No such app", reason)


async def _tunnel(websocket: WebSocket, stream: trio.SocketStream, half_close: bool) -> None:
    """Carry bytes both ways until both directions have ended, or one side has disconnected."""

    async def to_client() -> None:
        try:
            while data := await stream.receive_some(_CHUNK_BYTES):
                await send_message(websocket, data)
            if half_close:
                await send_message(websocket, END_OF_STREAM)
                return
            await close_socket(websocket, SERVICE_CLOSED, "the app has closed the connection")
        except trio.BrokenResourceError:
            await close_socket(websocket, SERVICE_BROKEN, "the app has reset the connection")
        except WebSocketDisconnect:
            pass
        nursery.cancel_scope.cancel()

    async def to_app() -> None:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                nursery.cancel_scope.cancel()
                return
            try:
                if (data := message.get("bytes")) is not None:
                    await stream.send_all(data)
                elif half_close and is_end_of_stream(message.get("text") or ""):
                    await stream.send_eof()
                    return
            except trio.BrokenResourceError:
                pass  # the app no longer reads, but it may still write

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(to_client)
            nursery.start_soon(to_app)


# --- listening sockets ---------------------------------------------------------------------------


def _listening(session: Session) -> list[_Address]:
    """The addresses that the kernel's processes listen on."""
    own = {inode for pid in below(session.host.pid) for inode in _sockets_of(pid)}
    return [address for inode, address in _all_listening(session.host.own_pid) if inode in own]


def _sockets_of(pid: int) -> Iterator[str]:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                try:
                    target = os.readlink(entry.path)  # noqa: PTH115 (on a hot path)
                except OSError:
                    continue  # was closed meanwhile
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]
    except OSError:
        pass  # the process has ended


def _all_listening(pid: int) -> Iterator[tuple[str, _Address]]:
    """Inode and address of each listening TCP socket of the network that a process is in."""
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # no IPv6 here, or the process has ended
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                yield fields[9], _address(fields[1])


def _address(text: str) -> _Address:
    """Parse an address of /proc/net/tcp: hexadecimal 32-bit words in the machine's byte order."""
    words, _, port = text.partition(":")
    raw = b"".join(
        struct.pack("=I", int(words[start : start + 8], 16)) for start in range(0, len(words), 8)
    )
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    host = socket.inet_ntop(family, raw)
    return _Address(_ANY.get(host, host), int(port, 16))
