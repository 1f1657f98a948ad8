"""WebSockets: executions and terminals, numbered for our clients, else in the managers' form."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..._groups import one_error
from ...errors import RemoteProtocolError
from ...wire.execution import ExecuteRequest
from ...wire.manager_streams import (
    Resize,
    Restart,
    Stdin,
    decode_start,
    decode_typed,
    encode_reply,
    encode_typed_out,
)
from ...wire.resumable import (
    Ack,
    Control,
    EndOfInput,
    Input,
    InputSeen,
    Mark,
    Output,
    decode_from_client,
    encode_frame,
)
from ..kernels.output_buffer import Ring
from ..kernels.run import Input as TypedInput
from ..kernels.session import Session
from ..kernels.terminal import Screen

__all__ = ["serve_execution", "serve_screen"]

FRAME_BYTES = 128 * 1024
"""Of a numbered stream: more at once keeps a client busy for so long that, where CPUs are few, the
program has to wait."""
MESSAGE_BYTES = 64 * 1024
"""Largest message of a streaming execution: clients queue messages by number, not by size."""
SEEN_BYTES = 32 * 1024
"""A client hears after so much input that it may send more; to tell it after every key would keep
the key's echo waiting."""
MAX_INPUT_BYTES = 8 * 1024 * 1024
"""More than any number of our clients send without having been asked for more."""
AGGREGATE_SECONDS = 0.2
"""A message of the managers' streaming execution covers about this much time (section 6.2)."""
ANSWERS_AHEAD = 16
"""A client that sends more messages than that before anybody asks is cut off."""
NORMAL = 1000
GOING_AWAY = 1001
POLICY = 1008


async def serve_execution(socket: WebSocket, session: Session) -> None:
    """A run over a WebSocket; returns when it is over or the client has gone."""
    await socket.accept()
    position = _position(socket)
    try:
        first = await _receive(socket)
        if position is None:
            await _serve_managers_execution(socket, session, decode_start(first))
        else:
            body = first.encode() if isinstance(first, str) else first
            await _serve_numbered_execution(socket, session, ExecuteRequest.decode(body), position)
    except RemoteProtocolError as exc:
        await socket.close(POLICY, str(exc)[:120])
    except WebSocketDisconnect:
        pass


async def serve_screen(socket: WebSocket, session: Session) -> None:
    """The kernel's terminal over a WebSocket."""
    await socket.accept()
    position = _position(socket)
    screen = await session.open_screen()
    scope = trio.CancelScope()
    screen.attach(scope)
    try:
        with scope:
            if position is None:
                await _serve_managers_screen(socket, session, screen)
            else:
                await _serve_numbered_screen(socket, session, screen, position)
            return
        await socket.close(GOING_AWAY, "attached from elsewhere")
    except RemoteProtocolError as exc:
        await socket.close(POLICY, str(exc)[:120])
    except WebSocketDisconnect:
        pass
    finally:
        session.start_soon(screen.detach, scope)


# --- numbered streams ----------------------------------------------------------------------------


async def _serve_numbered_execution(
    socket: WebSocket, session: Session, request: ExecuteRequest, position: int
) -> None:
    run = session.stream(request, position)
    if run is None:
        # Its client was away for too long; to start it would be to run the code a second time.
        raise RemoteProtocolError("the run has ended, and its output is gone")
    run.streams += 1
    run.last_seen = math.inf

    async def control(fields: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if (size := _size(fields)) is not None:
            run.resize(*size)
        interrupts = fields.get("interrupts")
        if isinstance(interrupts, int) and interrupts > run.interrupts:
            run.interrupts = interrupts
            session.interrupt(run.run_id)

    try:
        await _exchange(socket, run.ring, run.input, position, control)
    finally:
        run.streams -= 1
        # A connection may be found dead long after its client has come back over another one.
        if run.streams == 0:
            run.last_seen = trio.current_time()
        if run.outcome is not None and run.ring.start == run.ring.end:
            session.forget(run)
        elif run.streams == 0:
            # A client that leaves on purpose has stopped the run by a request of its own: of a
            # WebSocket that ends, the server does not tell how.
            session.start_soon(session.abandon_later, run)


async def _serve_numbered_screen(
    socket: WebSocket, session: Session, screen: Screen, position: int
) -> None:
    if position == 0 and screen.ring.end > 0:
        # A new client, not one that comes back: what it missed is history, and its place is now.
        past, position = screen.past, screen.ring.end
        screen.ring.release(position)
        await _send(socket, Output("stdout", position, past))

    async def control(fields: Mapping[str, Any]) -> None:
        await _control_screen(session, screen, fields)

    await _exchange(socket, screen.ring, screen.input, position, control)


async def _exchange(
    socket: WebSocket,
    ring: Ring,
    typed: TypedInput,
    position: int,
    control: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    """Carry a numbered stream until its last mark was acknowledged, or the client has gone.

    Raises:
        WebSocketDisconnect: the client has gone.
    """
    await _send(socket, InputSeen(typed.position))
    lost: WebSocketDisconnect | None = None

    async def send() -> None:
        cursor = position
        while True:
            piece = await ring.next(cursor, FRAME_BYTES)
            cursor = piece.end
            if piece.mark is not None:
                await _send(socket, Mark(piece.end, piece.mark))
            else:
                await _send(socket, Output(piece.kind, piece.end, piece.data))

    async def ask_for_more() -> None:
        wanted = typed.position
        while True:
            await typed.wait_room(wanted)
            seen = typed.position
            await _send(socket, InputSeen(seen))
            wanted = seen + SEEN_BYTES

    async def receive() -> None:
        nonlocal lost
        try:
            while True:
                match decode_from_client(await _receive(socket)):
                    case Input(start, data):
                        if start > typed.position:
                            raise RemoteProtocolError(f"input is missing before position {start}")
                        # Without waiting for the program, which may itself wait for the
                        # acknowledgement behind this.
                        typed.put_nowait(data[typed.position - start :])
                        if len(typed) > MAX_INPUT_BYTES:
                            raise RemoteProtocolError("more input than was asked for")
                    case EndOfInput():
                        typed.end()
                    case Ack(acknowledged):
                        ring.release(acknowledged)
                        if ring.closed and ring.start == ring.end:
                            break
                    case Control(fields):
                        await control(fields)
        except WebSocketDisconnect as exc:
            lost = exc
        nursery.cancel_scope.cancel()

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_for_more)
            nursery.start_soon(send)
            nursery.start_soon(receive)
    if lost is not None:
        raise lost


async def _control_screen(session: Session, screen: Screen, fields: Mapping[str, Any]) -> None:
    await trio.lowlevel.checkpoint()
    if (size := _size(fields)) is not None:
        screen.resize(*size)
    if fields.get("restart") is True:
        await session.restart()


def _size(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    """The window's size in a control message."""
    return ExecuteRequest("query", None, options={"tty": fields.get("resize")}).window


# --- the managers' form --------------------------------------------------------------------------


async def _serve_managers_execution(
    socket: WebSocket, session: Session, request: ExecuteRequest
) -> None:
    """Contract section 6.2: JSON replies, answers as plain text; a client that goes interrupts.

    As with a manager, a question stops the replies until something comes for an answer, even if an
    interruption has ended it meanwhile.
    """
    run = session.start(request)
    finished = False
    heard, answers = trio.open_memory_channel[str](ANSWERS_AHEAD)

    async def receive() -> None:
        try:
            while True:
                answer = await _receive(socket)
                heard.send_nowait(answer if isinstance(answer, str) else answer.decode())
        except (WebSocketDisconnect, UnicodeDecodeError, trio.WouldBlock):
            nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            while not finished:
                reply = await run.poll(AGGREGATE_SECONDS, MESSAGE_BYTES)
                run.last_seen = math.inf  # however long an answer takes
                question = run.question
                finished = reply.status == "finished"
                await socket.send_text(encode_reply(reply))
                if reply.status == "waiting-input":
                    answer = await answers.receive()
                    if run.question is question:
                        await run.answer(answer)
            nursery.cancel_scope.cancel()
    finally:
        session.forget(run)
        if not finished:
            run.abandon()
    if finished:
        await socket.close(NORMAL)


async def _serve_managers_screen(socket: WebSocket, session: Session, screen: Screen) -> None:
    """Contract section 6.1: JSON with base64; not acknowledged, so it cannot be resumed."""
    ring = screen.ring

    async def receive() -> None:
        try:
            while True:
                match decode_typed(await _receive(socket)):
                    case Stdin(data):
                        await screen.input.put(data)
                    case Resize(rows, columns):
                        screen.resize(rows, columns)
                    case Restart():
                        await session.restart()
                    case _:
                        pass
        except WebSocketDisconnect:
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        cursor = ring.end
        ring.release(cursor)  # the past shows the end of it; the shell may be waiting for room
        if past := screen.past:
            await socket.send_text(encode_typed_out(past))
        while True:
            piece = await ring.next(cursor, FRAME_BYTES)
            cursor = piece.end
            if piece.mark is not None:
                break
            await socket.send_text(encode_typed_out(piece.data))
            ring.release(cursor)
        await socket.close(NORMAL)
        nursery.cancel_scope.cancel()


# --- both ----------------------------------------------------------------------------------------


def _position(socket: WebSocket) -> int | None:
    """Where a numbered stream goes on; None for a client that does not know them."""
    text = socket.query_params.get("position")
    return int(text) if text is not None and text.isdecimal() and len(text) < 19 else None


async def _receive(socket: WebSocket) -> str | bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or GOING_AWAY)
    text: str | None = message.get("text")
    data: bytes = message.get("bytes") or b""
    return data if text is None else text


async def _send(socket: WebSocket, message: Output | Mark | InputSeen) -> None:
    frame = encode_frame(message)
    if isinstance(frame, bytes):
        await socket.send_bytes(frame)
    else:
        await socket.send_text(frame)
