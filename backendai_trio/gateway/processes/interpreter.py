"""Query mode: an interpreter that keeps its state from one execution to the next."""

from __future__ import annotations

import json
import marshal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trio

from ...errors import GatewayError
from .child import Ask, Child, Sink
from .process_host import KernelHost

__all__ = ["Interpreter", "open_interpreter"]

#: How long a run that was cancelled at once is waited for to begin, so that it can be interrupted.
#: An interpreter that starts takes 50 ms.
START_SECONDS = 2.0


@asynccontextmanager
async def open_interpreter(
    host: KernelHost, argv: Sequence[str], *, env: Mapping[str, str]
) -> AsyncIterator[Interpreter]:
    """Start `runner.py` (see `Runtime.interpreter`) in the work folder; kill it at the end.

    Does not wait for it to be ready: an interpreter that fails to start is seen by the first
    `Interpreter.execute`.

    Raises:
        ProgramNotStarted: it could not be started at all.
    """
    async with host.open_child(argv, env=env, cwd=host.work, stdout="pipe", control=True) as child:
        yield Interpreter(child)


class Interpreter:
    """A running interpreter. Made by `open_interpreter`.

    It does one thing at a time; a second call meanwhile is a `trio.BusyResourceError`.
    """

    def __init__(self, child: Child) -> None:
        assert child.control is not None
        self._child = child
        self._control = child.control
        self._received = bytearray()
        self._busy = False
        self._run = 0
        self._submitted = False
        self._started = False
        self._interrupt_at_start = False
        self._reads_terminal = False

    @property
    def alive(self) -> bool:
        """Whether the process still runs; code can end it (``os._exit``, a crash)."""
        return self._child.exit_code is None

    def interrupt(self) -> None:
        """SIGINT to the code that runs, and to its child processes; nothing if no code runs."""
        if not self._busy:
            return
        if self._started:
            self._child.interrupt()
        else:
            # Before the interpreter is set up, the signal would kill it.
            self._interrupt_at_start = True

    async def execute(
        self,
        source: str,
        sink: Sink,
        ask: Ask,
        ask_bytes: Ask | None = None,
        *,
        show_value: bool = False,
    ) -> int:
        """Run `source` and return its exit code; all its output is delivered then.

        Args:
            source: the code.
            sink: gets the output.
            ask: asked when the code calls ``input`` or ``getpass``.
            ask_bytes: asked when it reads descriptor 0 itself; may return any amount. Default:
                `ask`. Once it was asked, ``input`` reads the descriptor too, since the code may
                have read further than it has used.
            show_value: print the value of the expression that it ends in, if it does.

        Output of background threads since the last run is given to this one's sink; between two
        runs a pipe (64 KiB) holds it, and the thread waits when that is full.

        Returns:
            0; 1 after an exception; 130 after an interrupt; what ``sys.exit`` said; if the process
            has died, its exit code (128 + n for signal n), with `alive` False from then on.

        Raises:
            trio.BusyResourceError: something else is being done.
            GatewayError: the interpreter died in an earlier run, or the process host died.

        Cancellation: the code is interrupted. A run that goes on nevertheless delays the next one.
        """
        with self._doing_one_thing():
            self._run += 1
            self._submitted = self._started = self._interrupt_at_start = False
            self._reads_terminal = False

            async def ask_terminal(is_password: bool) -> bytes | None:
                self._reads_terminal = True
                return await (ask_bytes or ask)(is_password)

            try:
                async with self._child.streaming(sink, ask_terminal):
                    return await self._converse(source, show_value, sink, ask)
            except BaseException:
                # Cancelled, or sink or ask failed: nobody listens to that code any more.
                with trio.move_on_after(START_SECONDS, shield=True):
                    try:
                        await self._abandon()
                    except trio.BrokenResourceError:
                        pass  # its kernel is being killed, and took the process first
                raise

    async def complete(self, code: str, options: Mapping[str, Any]) -> list[str]:
        """What the code may go on with.

        Args:
            code: the code up to the cursor.
            options: ``line``, the text left of the cursor, counts more than `code` if it is there.

        Raises:
            trio.BusyResourceError: code is running.
            GatewayError: the interpreter has died.
        """
        with self._doing_one_thing():
            await self._send({"op": "complete", "code": code, "options": dict(options)})
            while (event := await self._receive()) is not None:
                if event["ev"] == "completions":
                    return [str(item) for item in event["items"]]
                await self._dismiss(event)
            raise GatewayError("the interpreter has ended")

    @contextmanager
    def _doing_one_thing(self) -> Iterator[None]:
        if self._busy:
            raise trio.BusyResourceError("this interpreter is doing something else")
        if not self.alive:
            raise GatewayError("the interpreter has ended")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    async def _abandon(self) -> None:
        """Interrupt this run, which has to begin first if it was submitted at all."""
        self.interrupt()
        while self._submitted and not self._started and self.alive:
            event = await self._receive()
            if event is None:
                return
            if event["run"] != self._run:
                await self._dismiss(event)
            elif event["ev"] == "started":
                self._started = True
                self.interrupt()

    async def _converse(self, source: str, show_value: bool, sink: Sink, ask: Ask) -> int:
        """Follow a run until it is done or the process has ended."""
        code: int | None = None

        async def converse() -> None:
            nonlocal code
            try:
                message = {"op": "execute", "run": self._run, "code": source}
                await self._send(message | {"show": show_value})
                self._submitted = True
                code = await self._follow(nursery, sink, ask)
            except trio.BrokenResourceError:
                await trio.lowlevel.checkpoint()  # it has just died: `wait` below will say so
            if code is not None:
                nursery.cancel_scope.cancel()

        # The end of the process, not of the socket: a fork can hold the socket open.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(converse)
            ended = await self._child.wait()
            nursery.cancel_scope.cancel()
        return ended if code is None else code

    async def _follow(self, nursery: trio.Nursery, sink: Sink, ask: Ask) -> int | None:
        """Take events of this run until it is done; None when the socket has closed."""
        question = trio.CancelScope()
        while (event := await self._receive()) is not None:
            if event["run"] != self._run:
                await self._dismiss(event)
                continue
            match event["ev"]:
                case "started":
                    self._started = True
                    if self._interrupt_at_start:
                        self._child.interrupt()
                case "input":
                    question = trio.CancelScope()
                    nursery.start_soon(self._ask, question, event, sink, ask)
                case "input-over":
                    question.cancel()
                case "done":
                    return int(event["code"])
        return None

    async def _ask(
        self, scope: trio.CancelScope, event: Mapping[str, Any], sink: Sink, ask: Ask
    ) -> None:
        with scope:
            await self._child.drain(sink)
            if self._reads_terminal and not event["password"]:
                await self._send({"op": "answer", "id": event["id"], "stdin": True})
            else:
                await self._answer(event, await ask(bool(event["password"])))

    async def _answer(self, event: Mapping[str, Any], line: bytes | None) -> None:
        answer: dict[str, Any] = {"op": "answer", "id": event["id"]}
        if line is None:
            answer["eof"] = True
        else:
            answer["text"] = line.decode("utf-8", "surrogateescape").removesuffix("\n")
        await self._send(answer)

    async def _dismiss(self, event: Mapping[str, Any]) -> None:
        """Deal with an event of a run that was cancelled: its questions have no answer."""
        if event["ev"] == "input":
            await self._answer(event, None)
        else:
            await trio.lowlevel.checkpoint()

    # -- the control socket ---------------------------------------------------------------------

    async def _send(self, message: dict[str, Any]) -> None:
        body = marshal.dumps(message)
        rest = data = len(body).to_bytes(4, "little") + body
        try:
            while True:
                rest = rest[await self._control.socket.send(rest) :]
                if not rest:
                    return
        except trio.Cancelled:
            if len(rest) < len(data):
                # Half a message is on its way and would spoil every later one. Only a long program
                # can get here, while code of a cancelled run still goes on.
                self._child.kill()
            raise
        except OSError as exc:
            raise trio.BrokenResourceError from exc

    async def _receive(self) -> dict[str, Any] | None:
        await trio.lowlevel.checkpoint()
        while b"\n" not in self._received:
            try:
                data = await self._control.receive_some()
            except trio.ClosedResourceError as exc:  # with its kernel, while this was shielded
                raise trio.BrokenResourceError from exc
            if not data:
                return None
            self._received += data
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        event: dict[str, Any] = json.loads(line)
        return event
