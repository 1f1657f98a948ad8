"""Executions and terminals over WebSockets as resumable streams.

A client asks for one with ``position=`` in the query; what goes over the WebSocket is described in
`backendai_trio.wire.resumable`. The managers' form is in `manager_streams.py`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..._groups import one_error
from ...errors import RemoteProtocolError
from ...wire.execution import ExecuteRequest
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
from ...wire.stdio import window_size_of
from ..kernels.input_buffer import InputBuffer
from ..kernels.output_buffer import ReplayBuffer
from ..kernels.session import Session
from ..kernels.terminal import MAX_CLIENT_NAME, TerminalSession, term_of
from .sockets import GOING_AWAY, POLICY_VIOLATION, close_socket, receive_message, send_message

__all__ = ["attached_terminal", "is_resumable", "serve_execution", "serve_terminal"]

FRAME_BYTES = 128 * 1024
"""Largest frame of output. A client is busy with a frame for a while, and where CPUs are few, the
program has to wait meanwhile."""
INPUT_SEEN_BYTES = 32 * 1024
"""The client is told after this much input that it may send more. After every key it would delay
the key's echo."""

_ControlHandler = Callable[[Mapping[str, Any]], Awaitable[None]]


def is_resumable(socket: WebSocket) -> bool:
    """Whether a client asks for a resumable stream."""
    text = socket.query_params.get("position")
    return text is not None and text.isdecimal() and len(text) < 19


async def serve_execution(socket: WebSocket, session: Session) -> None:
    """Serve an execution until it has ended and its client has got all of it, or disconnects."""
    await socket.accept()
    try:
        first = await receive_message(socket)
        body = first.encode() if isinstance(first, str) else first
        await _stream_execution(socket, session, ExecuteRequest.decode(body))
    except RemoteProtocolError as exc:
        await close_socket(socket, POLICY_VIOLATION, str(exc))
    except WebSocketDisconnect:
        pass


async def serve_terminal(socket: WebSocket, session: Session) -> None:
    """Serve the kernel's terminal until its shell ends or the client disconnects."""
    await attached_terminal(socket, session, _stream_terminal)


async def attached_terminal(
    socket: WebSocket,
    session: Session,
    serve: Callable[[WebSocket, Session, TerminalSession], Awaitable[None]],
) -> None:
    """Attach a client to the kernel's terminal; a client that attaches later takes it over.

    Args:
        socket: the client's WebSocket, which is accepted here.
        session: the kernel.
        serve: carries the terminal's bytes; cancelled when another client attaches.
    """
    await socket.accept()
    query = socket.query_params
    client = query.get("client", "")
    if len(client) > MAX_CLIENT_NAME:
        reason = f"the client's name is longer than {MAX_CLIENT_NAME} characters"
        await close_socket(socket, POLICY_VIOLATION, reason)
        return
    terminal = await session.terminal.open(
        term_of(query.get("term")),
        client=client,
        position=_position_of(socket) if is_resumable(socket) else 0,
    )
    if terminal is None:
        await close_socket(socket, POLICY_VIOLATION, "the shell has ended, and its output is gone")
        return
    scope = trio.CancelScope()
    terminal.attach(scope, client)
    try:
        with scope:
            await serve(socket, session, terminal)
            return
        await close_socket(socket, GOING_AWAY, "attached from elsewhere")
    except RemoteProtocolError as exc:
        await close_socket(socket, POLICY_VIOLATION, str(exc))
    except WebSocketDisconnect:
        pass
    finally:
        session.start_soon(terminal.detach, scope)


async def _stream_execution(socket: WebSocket, session: Session, request: ExecuteRequest) -> None:
    position = _position_of(socket)
    run = session.stream(request, position)
    if run is None:
        # The client was away for too long. A new run would execute the code a second time.
        raise RemoteProtocolError("the run has ended, and its output is gone")
    run.connections += 1
    run.last_seen = math.inf

    async def control(fields: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if (size := _size_in(fields)) is not None:
            run.resize(*size)
        interrupts = fields.get("interrupts")
        if isinstance(interrupts, int) and interrupts > run.interrupts:
            run.interrupts = interrupts
            session.interrupt(run.run_id)

    try:
        most_input = session.limits.max_input_bytes
        await _exchange(socket, run.output, run.input, position, most_input, control)
    finally:
        run.connections -= 1
        # A dead connection may be noticed long after its client has come back over another one.
        if run.connections == 0:
            run.last_seen = trio.current_time()
        if run.outcome is not None and run.output.start == run.output.end:
            session.forget(run)
        elif run.connections == 0:
            # A client that leaves on purpose has interrupted the run by another request: from the
            # end of a WebSocket alone the server cannot tell.
            session.start_soon(session.abandon_later, run)


async def _stream_terminal(socket: WebSocket, session: Session, terminal: TerminalSession) -> None:
    position = _position_of(socket)
    output = terminal.output
    if position == 0 and output.end > 0:
        # A new client, not one that comes back: it gets the history, and then what is printed next.
        history, position = terminal.history, output.end
        output.release(position)
        await send_message(socket, encode_frame(Output("stdout", position, history)))

    async def control(fields: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if (size := _size_in(fields)) is not None:
            terminal.resize(*size)
        if fields.get("restart") is True:
            await session.restart()

    most_input = session.limits.max_input_bytes
    await _exchange(socket, output, terminal.input, position, most_input, control)


async def _exchange(
    socket: WebSocket,
    output: ReplayBuffer,
    typed: InputBuffer,
    position: int,
    most_input: int,
    control: _ControlHandler,
) -> None:
    """Carry a resumable stream until the client has acknowledged its last mark.

    Args:
        socket: an accepted WebSocket.
        output: sent to the client.
        typed: filled with what the client sends.
        position: the client has the output before it.
        most_input: how much of its input may be unread, in bytes.
        control: called with control messages.

    Raises:
        WebSocketDisconnect: the client has disconnected.
        RemoteProtocolError: the client has broken the protocol.
    """
    if typed.position or not _is_new(socket):
        await send_message(socket, encode_frame(InputSeen(typed.position)))
    disconnect: WebSocketDisconnect | None = None

    async def receive() -> None:
        nonlocal disconnect
        try:
            await _receive_frames(socket, output, typed, most_input, control)
        except WebSocketDisconnect as exc:
            disconnect = exc
        nursery.cancel_scope.cancel()

    async def send(task: Callable[[], Awaitable[None]]) -> None:
        nonlocal disconnect
        try:
            await task()
        except WebSocketDisconnect as exc:
            disconnect = exc
            nursery.cancel_scope.cancel()

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, lambda: _send_input_seen(socket, typed))
            nursery.start_soon(send, lambda: _send_output(socket, output, position))
            nursery.start_soon(receive)
    if disconnect is not None:
        raise disconnect


async def _send_output(socket: WebSocket, output: ReplayBuffer, position: int) -> None:
    while True:
        chunk = await output.wait_read(position, FRAME_BYTES)
        position = chunk.end
        message: Mark | Output
        if chunk.mark is not None:
            message = Mark(chunk.end, chunk.mark)
        else:
            message = Output(chunk.kind, chunk.end, chunk.data)
        await send_message(socket, encode_frame(message))


async def _send_input_seen(socket: WebSocket, typed: InputBuffer) -> None:
    """Tell the client that it may send more input, whenever the program has read most of it."""
    # All that came in may be unread, if a client comes back: it is told when that changes.
    awaited = typed.position or INPUT_SEEN_BYTES
    while True:
        await typed.wait_room(awaited)
        seen = typed.position
        await send_message(socket, encode_frame(InputSeen(seen)))
        awaited = seen + INPUT_SEEN_BYTES


async def _receive_frames(
    socket: WebSocket,
    output: ReplayBuffer,
    typed: InputBuffer,
    most_input: int,
    control: _ControlHandler,
) -> None:
    """Handle the client's frames until it has acknowledged the last mark."""
    while True:
        match decode_from_client(await receive_message(socket)):
            case Input(start, data):
                if start > typed.position:
                    raise RemoteProtocolError(f"input is missing before position {start}")
                # Without waiting for the program, which may itself wait for the acknowledgement in
                # the next frame.
                typed.put_nowait(data[typed.position - start :])
                if len(typed) > most_input:
                    raise RemoteProtocolError(
                        f"more than {most_input:,} bytes of input that was not asked for"
                    )
            case EndOfInput():
                typed.close()
            case Ack(acknowledged):
                output.release(acknowledged)
                if output.closed and output.start == output.end:
                    return
            case Control(fields):
                await control(fields)


def _position_of(socket: WebSocket) -> int:
    return int(socket.query_params["position"])


def _is_new(socket: WebSocket) -> bool:
    """Whether the client begins the stream: it knows that its input is at position 0."""
    return socket.query_params.get("new") == "1"


def _size_in(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    """The window's rows and columns in a control message; None if it has none."""
    return window_size_of(fields.get("resize"))
