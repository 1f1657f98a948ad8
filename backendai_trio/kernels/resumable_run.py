"""A run over the resumable stream of our own gateway (docs/protocol.md, section 13)."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from ..errors import ConnectionFailed, ExecutionError, RemoteProtocolError
from ..transport.client import Client
from ..transport.resumable import ResumableStream, open_resumable
from ..wire.execution import ExecuteRequest
from ..wire.resumable import Output, RecordParser
from ..wire.run_events import (
    BuildFinished,
    CleanFinished,
    Event,
    Finished,
    InputRequest,
    Stderr,
    Stdout,
    TimedOut,
    event_of,
)
from .poll_run import open_poll_run

__all__ = ["ResumableRun", "open_resumable_run"]


class ResumableRun:
    """See `RunStream`. Input and output flow by themselves, and survive a broken connection."""

    def __init__(
        self, client: Client, address: str, stream: ResumableStream, run_id: str | None
    ) -> None:
        self.run_id = run_id
        self.outcome: Finished | TimedOut | None = None
        self.connection = stream.connection
        self.begun = True
        self.asks = False
        self._client = client
        self._address = address
        self._stream = stream
        self._interrupts = 0
        # Incremental: a character may be cut by the frames it came in.
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {kind: decoder("surrogateescape") for kind in ("stdout", "stderr")}
        self._records = RecordParser()

    async def receive(self) -> list[Event]:
        """See `RunStream.receive`."""
        while True:
            try:
                message = await self._stream.receive()
            except (trio.EndOfChannel, ConnectionFailed) as exc:
                reason = str(exc) or f"{self._client.config.endpoint.url} ended the stream early"
                raise ExecutionError(f"the outcome of the run is not known: {reason}") from exc
            if not isinstance(message, Output):
                events = self._mark(message.fields)
                self.asks = isinstance(events[-1], InputRequest)
                return events
            if message.kind == "records":
                if records := self._records.feed(message.data):
                    self.asks = False
                    return [event_of(*record) for record in records]
                continue
            if text := self._decoders[message.kind].decode(message.data):
                self.asks = False
                return [_output(message.kind, text)]

    async def send_stdin(self, data: bytes) -> None:
        """See `RunStream.send_stdin`."""
        if b"\n" in data:
            self.asks = False
        await self._stream.send(data)

    async def close_stdin(self) -> None:
        """See `RunStream.close_stdin`."""
        self.asks = False
        await self._stream.send_eof()

    async def resize(self, rows: int, columns: int) -> None:
        """See `RunStream.resize`."""
        await self._stream.control({"resize": [rows, columns]}, keep=True)

    async def interrupt(self) -> None:
        """See `RunStream.interrupt`."""
        # Counted: when it is repeated after a reconnect, the code is not interrupted again.
        self._interrupts += 1
        self.asks = False
        await self._stream.control({"interrupts": self._interrupts}, keep=True)

    async def stop(self) -> Finished | TimedOut | None:
        """See `RunStream.stop`. By polls: a cancellation has just ended the tasks of the stream."""
        again = ExecuteRequest("continue", self.run_id)
        async with open_poll_run(self._client, self._address, again) as run:
            return await run.stop()

    def _mark(self, fields: Mapping[str, Any]) -> list[Event]:
        code = fields.get("exit_code")
        match fields.get("status"):
            case "waiting-input":
                return [InputRequest(fields.get("is_password") is True)]
            case "build-finished":
                return [BuildFinished(code)]
            case "clean-finished":
                return [CleanFinished(code)]
            case "finished" if code is None or isinstance(code, int):
                rest = {kind: d.decode(b"", final=True) for kind, d in self._decoders.items()}
                self.outcome = Finished(code)
                self._stream.discard_input()
                return [*(_output(kind, text) for kind, text in rest.items() if text), self.outcome]
        raise RemoteProtocolError(f"stream: unknown mark {dict(fields)!r}")


@asynccontextmanager
async def open_resumable_run(
    client: Client, address: str, first: ExecuteRequest
) -> AsyncIterator[ResumableRun]:
    """Start a run over a resumable stream, which is closed at the block's end.

    Args:
        client: of the gateway.
        address: the kernel's token or id.
        first: the run's first request.

    Raises:
        ApiError: the gateway refused it.
        ConnectionFailed: it cannot be reached.
    """
    path = client.era.stream_path(address, "execute")
    again = ExecuteRequest("continue", first.run_id)
    is_new = first.mode not in ("continue", "input")
    async with open_resumable(
        client, path, first=_text(first), again=_text(again), is_new=is_new
    ) as stream:
        yield ResumableRun(client, address, stream, first.run_id)


def _text(request: ExecuteRequest) -> str:
    return request.encode().decode("ascii")


def _output(kind: str, text: str) -> Event:
    return Stdout(text) if kind == "stdout" else Stderr(text)
