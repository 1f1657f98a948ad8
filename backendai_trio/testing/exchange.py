"""Carrying requests and answers through a network with faults."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

import h11
import trio

from .faulty_network import NetworkState
from .http_messages import READ_BYTES, Answer, Incoming, encode_answer, with_length
from .network_faults import (
    Cut,
    Delay,
    Drip,
    Duplicate,
    Fault,
    MalformedJson,
    Reorder,
    Reply,
    SlowRead,
    Stall,
    Vanish,
    WrongLength,
)

__all__ = ["carry"]


class _Ended(Exception):
    """The connection has been ended on purpose."""


async def carry(network: NetworkState, near: trio.SocketStream) -> None:
    """Carry all requests of one connection.

    Args:
        network: what they pass through.
        near: the client's end, which is closed at the end.
    """
    number = network.number_connection()
    behind = b""
    async with near:
        try:
            while True:
                incoming = Incoming(near, behind)
                while incoming.head is None:
                    if not await incoming.receive(READ_BYTES):
                        return
                await _Exchange(network, number, near, incoming).run()
                behind = incoming.behind
        except* (_Ended, OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
            pass  # the connection ends; OSError: the server is not there


class _Exchange:
    """One request and its answer, or the WebSocket that it opens.

    Args:
        network: what it passes through.
        number: of the connection.
        near: the client's end of it.
        incoming: the request, whose head has come.
    """

    def __init__(
        self, network: NetworkState, number: int, near: trio.SocketStream, incoming: Incoming
    ) -> None:
        assert incoming.head is not None
        self._network = network
        self._number = number
        self._near = near
        self._incoming = incoming
        self._answer = Answer(incoming.head)
        self._fault: Fault | None = None
        self._sent = 0  # bytes of the answer
        self._copy = b""  # of an answer that is to come twice

    async def run(self) -> None:
        """Carry it.

        Raises:
            _Ended, OSError, trio.BrokenResourceError, h11.RemoteProtocolError: the connection is
                to end; in groups.
        """
        network, incoming = self._network, self._incoming
        await network.wait_unless_vanished(self._number)
        fault = self._fault = network.take_fault(incoming.line)
        if isinstance(fault, Vanish):
            network.vanish(reachable=fault.reachable)
            await trio.sleep_forever()
        if isinstance(fault, Reply) and not fault.forward:
            while not incoming.complete:
                if not await incoming.receive(READ_BYTES):
                    raise _Ended
            await self._near.send_all(_encode_reply(fault))
            if incoming.is_last:
                raise _Ended
            return
        async with await network.connect() as far, trio.open_nursery() as nursery:
            nursery.start_soon(self._carry_request, far)
            await self._carry_answer(far)
            nursery.cancel_scope.cancel()
        network.note_passed()
        if not (self._answer.keeps_connection and incoming.complete):
            raise _Ended

    async def _carry_request(self, far: trio.SocketStream) -> None:
        """Carry the request, and what comes behind it if the connection is upgraded."""
        size, pause = READ_BYTES, 0.0
        if isinstance(self._fault, SlowRead):
            size, pause = self._fault.piece_bytes, self._fault.pause_seconds
        incoming = self._incoming
        with suppress(trio.BrokenResourceError):  # the server may have answered already
            while data := incoming.take():
                for start in range(0, len(data), size):
                    await self._network.wait_unless_vanished(self._number)
                    await far.send_all(data[start : start + size])
                    await trio.sleep(pause)
                if not incoming.complete and not await incoming.receive(size):
                    raise _Ended
        while True:
            data = await incoming.receive_behind()
            await self._network.wait_unless_vanished(self._number)
            if not data:  # the client does not wait any longer
                raise _Ended
            if self._answer.upgraded:
                await far.send_all(data)

    async def _carry_answer(self, far: trio.SocketStream) -> None:
        answer = self._answer
        while not answer.complete:
            data = bytes(await far.receive_some(READ_BYTES))
            await self._network.wait_unless_vanished(self._number)
            before = len(answer.head)
            answer.feed(data)
            if answer.status:
                await self._pass_on(data if before else answer.start, has_head=not before)
        await self._finish_answer()
        while answer.upgraded:
            data = bytes(await far.receive_some(READ_BYTES))
            await self._network.wait_unless_vanished(self._number)
            if not data:
                raise _Ended
            await self._send(data)

    async def _pass_on(self, data: bytes, *, has_head: bool) -> None:
        """Send a part of the answer, as the fault has it.

        Args:
            data: what the server sent.
            has_head: whether it is the first part, with the head.
        """
        if has_head:
            match self._fault:
                case Delay(seconds):
                    await trio.sleep(seconds)
                case Reorder(seconds):
                    with trio.move_on_after(seconds):
                        await self._network.wait_passed()
                case WrongLength(difference):
                    head = self._answer.head
                    data = with_length(head, lambda real: real + difference) + data[len(head) :]
        if not self._is_replaced():
            await self._send(data)
        elif isinstance(self._fault, Duplicate):
            self._copy += data

    async def _finish_answer(self) -> None:
        """Send what stands in for the answer, or comes behind it."""
        answer = self._answer
        match self._fault:
            case Duplicate() if self._is_replaced():
                await self._near.send_all(2 * self._copy)
            case MalformedJson() if self._is_replaced():
                half = bytes(answer.body[: len(answer.body) // 2])
                await self._near.send_all(encode_answer(answer.status, answer.headers, half))
            case Reply():
                await self._near.send_all(_encode_reply(self._fault))
                raise _Ended
            case WrongLength(difference) if difference > 0 and "content-length" in answer.headers:
                raise _Ended

    def _is_replaced(self) -> bool:
        """Whether another answer is sent instead, once this one has come."""
        match self._fault:
            case MalformedJson():
                kind = self._answer.headers.get("content-type", "")
                return "json" in kind and self._answer.headers.get("content-length") != "0"
            case Duplicate():
                return not self._answer.upgraded and "content-length" in self._answer.headers
            case Reply():
                return True
        return False

    async def _send(self, data: bytes) -> None:
        """Send bytes of the answer, up to where it is cut or stalls."""
        match self._fault:
            case Cut(after, of) | Stall(after, of):
                left = after + (len(self._answer.head) if of == "body" else 0) - self._sent
                if len(data) >= left:
                    await self._near.send_all(data[:left])
                    await self._stop(self._fault)
                await self._near.send_all(data)
            case Drip(size, pause):
                for start in range(0, len(data), size):
                    await self._near.send_all(data[start : start + size])
                    await trio.sleep(pause)
            case _:
                await self._near.send_all(data)
        self._sent += len(data)

    async def _stop(self, fault: Cut | Stall) -> None:
        if isinstance(fault, Stall):
            await trio.sleep_forever()
        elif fault.reset:
            self._near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Ended


def _encode_reply(fault: Reply) -> bytes:
    headers = {"Content-Type": fault.content_type, **fault.headers}
    return encode_answer(fault.status, headers, fault.body)
