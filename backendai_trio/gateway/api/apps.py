"""Services of kernels: the TCP ports that their programs listen on.

A kernel here is a group of processes that share this machine's ports with everybody, so what may be
reached through it is what its own processes listen on, and nothing else. A service is called by its
port's number.
"""

from __future__ import annotations

import os
import socket as sockets
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import trio
from starlette.websockets import WebSocket

from ..._groups import one_error
from ...wire.apps import (
    END_OF_STREAM,
    SERVICE_BROKEN,
    SERVICE_CLOSED,
    SERVICE_REFUSED,
    AppInfo,
    is_end_of_stream,
    wants_half_close,
)
from ..kernels.session import Session
from ..processes.host_main import below
from ..refusals import Refused

__all__ = ["offered", "serve_service"]

_CHUNK_BYTES = 64 * 1024
_LISTEN = "0A"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class _Address(NamedTuple):
    host: str
    port: int


def offered(session: Session) -> list[AppInfo]:
    """What a kernel offers now, by port."""
    ports = sorted({address.port for address in _listening(below(session.host.pid))})
    return [AppInfo(str(port), "tcp", (port,)) for port in ports]


async def serve_service(socket: WebSocket, session: Session) -> None:
    """A connection to a service over a WebSocket that is not accepted yet.

    Raises:
        Refused: 404, the kernel has no such service.
    """
    name = socket.query_params.get("app", "")
    half_close = wants_half_close(socket.query_params.get("halfClose"))
    address = _find(session, name)
    await socket.accept()
    try:
        stream = await trio.open_tcp_stream(*address)
    except OSError as exc:
        await socket.close(SERVICE_REFUSED, f"port {address.port}: {exc.strerror or exc}"[:120])
        return
    session.connections += 1
    try:
        async with stream:
            await _carry(socket, stream, half_close)
    finally:
        session.connections -= 1
        session.touch()


def _find(session: Session, name: str) -> _Address:
    listening = _listening(below(session.host.pid))
    # A port may be open for both kinds of addresses; the old one is what most clients mean.
    for address in sorted(listening, key=lambda found: ":" in found.host):
        if str(address.port) == name:
            return address
    ports = ", ".join(str(port) for port in sorted({found.port for found in listening}))
    raise Refused(
        404,
        "app-not-found",
        "No such service",
        f"no program in this kernel listens on {name!r}; ports that are listened on: "
        f"{ports or 'none'}",
    )


async def _carry(socket: WebSocket, stream: trio.SocketStream, half_close: bool) -> None:
    """Carry bytes both ways until both directions have ended, or one side is gone."""

    async def to_client() -> None:
        try:
            while data := await stream.receive_some(_CHUNK_BYTES):
                await socket.send_bytes(data)
        except trio.BrokenResourceError:
            await socket.close(SERVICE_BROKEN, "the service has reset the connection")
            nursery.cancel_scope.cancel()
            return
        if half_close:
            await socket.send_text(END_OF_STREAM)
        else:
            await socket.close(SERVICE_CLOSED, "the service has closed the connection")
            nursery.cancel_scope.cancel()

    async def to_service() -> None:
        while True:
            message = await socket.receive()
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
                pass  # it no longer reads; it may still have something to say

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(to_client)
            nursery.start_soon(to_service)


# --- who listens ---------------------------------------------------------------------------------


def _listening(pids: Iterable[int]) -> list[_Address]:
    """Where these processes listen."""
    ours = {inode for pid in pids for inode in _sockets_of(pid)}
    return [address for inode, address in _all_listening() if inode in ours]


def _sockets_of(pid: int) -> Iterator[str]:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                try:
                    target = os.readlink(entry.path)  # noqa: PTH115 (on a hot path)
                except OSError:
                    continue  # closed meanwhile
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]
    except OSError:
        pass  # it has ended


def _all_listening() -> Iterator[tuple[str, _Address]]:
    """Inode and address of every TCP socket of this machine that listens."""
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # no IPv6 here
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                yield fields[9], _address(fields[1])


def _address(text: str) -> _Address:
    """An address as /proc writes it: words of 32 bits in the machine's own order, in hex."""
    words, _, port = text.partition(":")
    raw = b"".join(
        struct.pack("=I", int(words[start : start + 8], 16)) for start in range(0, len(words), 8)
    )
    family = sockets.AF_INET if len(raw) == 4 else sockets.AF_INET6
    host = sockets.inet_ntop(family, raw)
    return _Address(_ANY.get(host, host), int(port, 16))
