"""Executions and terminals over WebSockets in the form of managers.

Source: docs/protocol.md, sections 6.1 and 6.2.
"""

from __future__ import annotations

import math

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
from ..kernels.run import Run
from ..kernels.session import Session
from ..kernels.terminal import TerminalSession
from .sockets import NORMAL, POLICY_VIOLATION, close_socket, receive_message, send_message
from .streams import FRAME_BYTES, attached_terminal

__all__ = ["serve_manager_execution", "serve_manager_terminal"]

AGGREGATE_SECONDS = 0.2
"""A message of an execution covers about this much time (docs/protocol.md, section 6.2)."""
MESSAGE_BYTES = 64 * 1024
"""Largest message of an execution: clients bound their queues by messages, not by bytes."""
ANSWERS_AHEAD = 16
"""A client that has sent more unread answers than this is disconnected."""


async def serve_manager_execution(socket: WebSocket, session: Session) -> None:
    """Serve an execution until it ends; a client that disconnects interrupts it."""
    await socket.accept()
    try:
        await _stream_execution(socket, session, decode_start(await receive_message(socket)))
    except RemoteProtocolError as exc:
        await close_socket(socket, POLICY_VIOLATION, str(exc))
    except WebSocketDisconnect:
        pass


async def serve_manager_terminal(socket: WebSocket, session: Session) -> None:
    """Serve the kernel's terminal until its shell ends or the client disconnects."""
    await attached_terminal(socket, session, _stream_terminal)


async def _stream_execution(socket: WebSocket, session: Session, request: ExecuteRequest) -> None:
    """Send replies as JSON; answers come as plain text.

    As with a manager, no reply follows an input request until an answer has come, even if an
    interrupt has ended the request meanwhile.
    """
    run = session.start(request)
    send_answer, answers = trio.open_memory_channel[str](ANSWERS_AHEAD)

    async def receive() -> None:
        try:
            while True:
                answer = await receive_message(socket)
                send_answer.send_nowait(answer if isinstance(answer, str) else answer.decode())
        except (WebSocketDisconnect, UnicodeDecodeError, trio.WouldBlock):
            nursery.cancel_scope.cancel()

    finished = False
    try:
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                try:
                    await _send_replies(socket, session, run, answers)
                    finished = True
                except WebSocketDisconnect:
                    pass
                nursery.cancel_scope.cancel()
    finally:
        session.forget(run)
        if not finished:
            run.abandon()
    if finished:
        await close_socket(socket, NORMAL)


async def _send_replies(
    socket: WebSocket, session: Session, run: Run, answers: trio.MemoryReceiveChannel[str]
) -> None:
    if session.is_stuck:
        await trio.sleep_forever()
    while True:
        reply = await run.poll(AGGREGATE_SECONDS, MESSAGE_BYTES)
        run.last_seen = math.inf  # the client may take any time to answer
        request = run.input_request
        await send_message(socket, encode_reply(reply))
        if reply.status == "finished":
            return
        if reply.status == "waiting-input":
            answer = await answers.receive()
            if run.input_request is request:
                await run.answer(answer)


async def _stream_terminal(socket: WebSocket, session: Session, terminal: TerminalSession) -> None:
    """Send output as JSON with base64. It is not acknowledged, so it cannot be resumed."""

    async def receive() -> None:
        try:
            while True:
                match decode_typed(await receive_message(socket)):
                    case Stdin(data):
                        await terminal.input.put(data)
                    case Resize(rows, columns):
                        terminal.resize(rows, columns)
                    case Restart():
                        await session.restart()
                    case _:
                        pass
        except WebSocketDisconnect:
            nursery.cancel_scope.cancel()

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            try:
                await _send_terminal_output(socket, terminal)
            except WebSocketDisconnect:
                pass
            nursery.cancel_scope.cancel()


async def _send_terminal_output(socket: WebSocket, terminal: TerminalSession) -> None:
    output = terminal.output
    position = output.end
    output.release(position)  # the history ends with it, and the shell may be waiting for room
    if history := terminal.history:
        await send_message(socket, encode_typed_out(history))
    while True:
        chunk = await output.wait_read(position, FRAME_BYTES)
        position = chunk.end
        if chunk.mark is not None:
            break
        await send_message(socket, encode_typed_out(chunk.data))
        output.release(position)
    await close_socket(socket, NORMAL)
