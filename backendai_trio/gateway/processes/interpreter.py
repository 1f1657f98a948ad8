"""Query mode: the gateway's side of an interpreter that keeps its state between runs."""

from __future__ import annotations

import json
import marshal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

import trio

from ...errors import GatewayError
from .kernel_host import KernelHost
from .process import Ask, Process, Sink
from .program_streams import PIPED

__all__ = ["Interpreter", "open_interpreter"]

_Phase = Literal["idle", "completing", "preparing", "submitted", "running", "done"]
"""What an interpreter does; the last four are of a run."""
#: A run that is cancelled before it has begun can be interrupted only once it has; this is how long
#: to wait for that. An interpreter takes 50 ms to start.
START_SECONDS = 2.0


@asynccontextmanager
async def open_interpreter(
    host: KernelHost, argv: Sequence[str], *, env: Mapping[str, str]
) -> AsyncIterator[Interpreter]:
    """Start an interpreter in the work folder; kill it at the end of the block.

    Does not wait until it is ready: the first `Interpreter.execute` fails if it did not start.

    Args:
        host: the kernel's process host.
        argv: its command, from `Runtime.interpreter_argv`.
        env: the whole environment.

    Raises:
        ProgramNotStartedError: the program could not be started at all.
        GatewayError: the process host has died.
    """
    async with host.open_process(
        argv, env=env, cwd=host.work, stdio=PIPED, control=True
    ) as process:
        yield Interpreter(process)


class Interpreter:
    """A running interpreter. Made by `open_interpreter`.

    It does one thing at a time; a second call meanwhile raises `trio.BusyResourceError`.
    """

    def __init__(self, process: Process) -> None:
        assert process.control is not None
        self._process = process
        self._control = process.control
        self._received = bytearray()
        self._run = 0
        self._phase: _Phase = "idle"
        self._interrupt_at_start = False
        self._reads_terminal = False

    @property
    def alive(self) -> bool:
        """Whether the process still runs; code can end it (``os._exit``, a crash)."""
        return self._process.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """Exit code of the process, 128 + n after signal n; None while it runs."""
        return self._process.exit_code

    def interrupt(self) -> None:
        """Send SIGINT to the running code and its child processes; does nothing if none runs."""
        if self._phase == "running":
            self._process.interrupt()
        elif self._phase in ("preparing", "submitted"):
            # The signal would kill an interpreter that is not set up yet.
            self._interrupt_at_start = True

    async def execute(
        self,
        source: str,
        sink: Sink,
        ask: Ask,
        ask_bytes: Ask | None = None,
        *,
        show_value: bool = False,
        piped: bool = False,
    ) -> int:
        """Run code.

        Output of background threads since the last run goes to this run's sink. Between two runs a
        pipe (64 KiB) holds it, and the thread waits while the pipe is full.

        Args:
            source: the code.
            sink: gets the output; it has got all of it when this returns.
            ask: called when the code calls ``input`` or ``getpass``.
            ask_bytes: called when the code reads descriptor 0 itself; may return any number of
                bytes. Default: `ask`. After it was called, ``input`` reads the descriptor too,
                because the code may have read more than it has used.
            show_value: print the value of the code's last expression, as a prompt does.
            piped: the output goes to a pipe or a file in the end, so that many lines of Python code
                may be gathered for a moment.

        Returns:
            The exit code: 0; 1 after an exception; 130 after an interrupt; the argument of
            ``sys.exit``; if the process has died, its exit code (128 + n for signal n), and `alive`
            is False from then on.

        Raises:
            trio.BusyResourceError: the interpreter does something else.
            GatewayError: the interpreter died in an earlier run, or the process host died.

        Cancellation: the code is interrupted. If it goes on nevertheless, it delays the next run.
        """
        with self._exclusively("preparing"):
            self._run += 1
            message = {"op": "execute", "run": self._run, "code": source}
            message |= {"show": show_value, "piped": piped}
            self._interrupt_at_start = self._reads_terminal = False

            async def ask_terminal(is_password: bool) -> bytes | None:
                self._reads_terminal = True
                return await (ask_bytes or ask)(is_password)

            try:
                await self._process.wait_signalled()  # interrupts of the run before
                async with self._process.streaming(sink, ask_terminal):
                    return await self._run_until_done(message, sink, ask)
            except BaseException:
                # Cancelled, or sink or ask failed: no client follows that code any more.
                with trio.move_on_after(START_SECONDS, shield=True):
                    try:
                        await self._interrupt_once_started()
                    except trio.BrokenResourceError:
                        pass  # the kernel is ending, and has killed the process before
                raise

    async def drain(self, sink: Sink) -> None:
        """Deliver everything that running code has written so far."""
        await self._process.drain(sink)

    async def complete(self, code: str, options: Mapping[str, Any]) -> list[str]:
        """Completions of a piece of code.

        Args:
            code: the code up to the cursor.
            options: ``line``, the text left of the cursor, replaces `code` if it is given.

        Raises:
            trio.BusyResourceError: code is running.
            GatewayError: the interpreter has died.
        """
        with self._exclusively("completing"):
            await self._send({"op": "complete", "code": code, "options": dict(options)})
            while (event := await self._receive()) is not None:
                if event["ev"] == "completions":
                    return [str(item) for item in event["items"]]
                await self._decline(event)
            raise GatewayError("the interpreter has ended")

    @contextmanager
    def _exclusively(self, phase: _Phase) -> Iterator[None]:
        if self._phase != "idle":
            raise trio.BusyResourceError("this interpreter is doing something else")
        if not self.alive:
            raise GatewayError("the interpreter has ended")
        self._phase = phase
        try:
            yield
        finally:
            self._phase = "idle"

    async def _interrupt_once_started(self) -> None:
        """Interrupt this run; if it was submitted, wait until it has begun."""
        self.interrupt()
        while self._phase == "submitted" and self.alive:
            event = await self._receive()
            if event is None:
                return
            if event["run"] != self._run:
                await self._decline(event)
            elif event["ev"] == "started":
                self._phase = "running"
                self.interrupt()

    async def _run_until_done(self, message: dict[str, Any], sink: Sink, ask: Ask) -> int:
        """Run code until it is done or the process has ended."""
        code: int | None = None

        async def submit_and_follow() -> None:
            nonlocal code
            try:
                await self._send(message)
                self._phase = "submitted"
                code = await self._follow(nursery, sink, ask)
            except trio.BrokenResourceError:
                await trio.lowlevel.checkpoint()  # the process has just died: `wait` below returns
            if code is not None:
                nursery.cancel_scope.cancel()

        # Waits for the process and not the socket, which a fork could hold open.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit_and_follow)
            ended = await self._process.wait()
            nursery.cancel_scope.cancel()
        return ended if code is None else code

    async def _follow(self, nursery: trio.Nursery, sink: Sink, ask: Ask) -> int | None:
        """Handle events of this run until it is done; None when the socket was closed."""
        request = trio.CancelScope()
        while (event := await self._receive()) is not None:
            if event["run"] != self._run:
                await self._decline(event)
                continue
            match event["ev"]:
                case "started":
                    self._phase = "running"
                    if self._interrupt_at_start:
                        self._process.interrupt()
                case "input":
                    request = trio.CancelScope()
                    nursery.start_soon(self._ask, request, event, sink, ask)
                case "input-over":
                    request.cancel()
                case "done":
                    self._phase = "done"
                    return int(event["code"])
        return None

    async def _ask(
        self, scope: trio.CancelScope, event: Mapping[str, Any], sink: Sink, ask: Ask
    ) -> None:
        with scope:
            await self._process.drain(sink)
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

    async def _decline(self, event: Mapping[str, Any]) -> None:
        """Handle an event of a run that was cancelled: an input request gets end of file."""
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
                # A part of a message was sent, which would garble every later one. It takes a long
                # program to get here, while code of a cancelled run still goes on.
                self._process.kill()
            raise
        except OSError as exc:
            raise trio.BrokenResourceError from exc

    async def _receive(self) -> dict[str, Any] | None:
        await trio.lowlevel.checkpoint()
        while b"\n" not in self._received:
            try:
                data = await self._control.receive_some()
            except (
                trio.ClosedResourceError
            ) as exc:  # closed with its kernel, while this was shielded
                raise trio.BrokenResourceError from exc
            if not data:
                return None
            self._received += data
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        event: dict[str, Any] = json.loads(line)
        return event
