"""A kernel's terminal: a shell that outlives its client's connection."""

from __future__ import annotations

import re
import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import trio

from ..._groups import one_error
from ...errors import GatewayError
from ..limits import GatewayLimits
from ..processes.process import Process
from ..processes.process_host import KernelHost
from ..processes.program_streams import INTERACTIVE
from .input_buffer import InputBuffer
from .output_buffer import ReplayBuffer

__all__ = ["DEFAULT_TERM", "MAX_CLIENT_NAME", "TerminalSession", "run_terminal", "term_of"]

DEFAULT_TERM = "xterm-256color"
"""TERM of programs on a terminal whose client did not say which one it has."""
HISTORY_BYTES = 32 * 1024
"""A newly attached client is shown this much of what was printed before."""
MAX_CLIENT_NAME = 64
"""Characters of a client's name."""
_REMEMBERED_CLIENTS = 64
_END_OF_INPUT = b"\x04"
_INPUT_BYTES = 4096
_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", re.ASCII)

# Questions of programs to the terminal, which the terminal answers by typing: its status (DSR),
# kind (DA, DECID, ENQ, XTVERSION), modes (DECRQM), settings (DCS), colours (OSC), window, keyboard.
_QUERIES = re.compile(
    rb"\x05|\x1bZ"
    rb"|\x1b\[[?>=]?[0-9;]*[nc]"
    rb"|\x1b\[\??[0-9;]*\$p"
    rb"|\x1b\[>[0-9;]*q"
    rb"|\x1b\[[0-9;]*t"
    rb"|\x1b\[\?u"
    rb"|\x1bP[+$]q[^\x1b]*\x1b\\"
    rb"|\x1b\][0-9;]*\?(?:\x07|\x1b\\)"
)


def term_of(value: object) -> str:
    """The TERM that a client has sent; the default if it sent none, or not a terminal's name."""
    return value if isinstance(value, str) and _TERM.fullmatch(value) else DEFAULT_TERM


class TerminalSession:
    """A shell on a terminal. Made by `run_terminal`.

    Attributes:
        output: what the shell prints.
        input: what the client types.
    """

    def __init__(self, limits: GatewayLimits) -> None:
        self.output = ReplayBuffer(limits.output_bytes)
        self.input = InputBuffer()
        self._clients: OrderedDict[str, None] = OrderedDict()
        self._limits = limits
        self._history = bytearray()
        self._size = (0, 0)
        self._client: trio.CancelScope | None = None
        self._process: Process | None = None
        self._process_scope = trio.CancelScope()

    @property
    def history(self) -> bytes:
        """The end of what was printed, for a client that attaches anew.

        Queries to the terminal are left out: they were answered when they were printed, and a
        second answer would be input of the program that runs now.
        """
        return _QUERIES.sub(b"", self._history)

    @property
    def attached(self) -> bool:
        """Whether a client is attached."""
        return self._client is not None

    def was_attached(self, name: str) -> bool:
        """Whether a client of this name was attached, among the last ones."""
        return name in self._clients

    def attach(self, scope: trio.CancelScope, name: str = "") -> None:
        """Attach a client; the one before is cancelled.

        Args:
            scope: what the client's connection runs in.
            name: of the client, no longer than `MAX_CLIENT_NAME`; empty for none.
        """
        if self._client is not None:
            self._client.cancel()
        self._client = scope
        if name:
            self._clients[name] = None
            self._clients.move_to_end(name)
            while len(self._clients) > _REMEMBERED_CLIENTS:
                self._clients.popitem(last=False)
        self.output.stop_discarding()

    async def detach(self, scope: trio.CancelScope) -> None:
        """Detach a client, unless another has taken its place.

        For `GatewayLimits.resume_seconds` the shell waits when the output buffer is full; after
        that the oldest output is discarded.
        """
        if self._client is not scope:
            return
        self._client = None
        await trio.sleep(self._limits.resume_seconds)
        if self._client is None:
            self.output.start_discarding()

    def resize(self, rows: int, columns: int) -> None:
        """Set the window's size. The same size again makes full-screen programs repaint."""
        if self._process is not None:
            if (rows, columns) == self._size:
                self._process.resize(rows, max(columns - 1, 1))
            self._process.resize(rows, columns)
        self._size = (rows, columns)

    def restart(self) -> None:
        """Kill the shell and its children; a new shell takes its place."""
        self.input.discard()
        self._process_scope.cancel()

    async def run(self, process: Process) -> int | None:
        """Connect a shell until it ends.

        Returns:
            Its exit code; None when `restart` was called.
        """
        self._process = process
        if self._size != (0, 0):
            process.resize(*self._size)
        code: int | None = None
        try:
            with trio.CancelScope() as self._process_scope, one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._forward_input, process)
                    code = await process.run(self.write, None)
                    nursery.cancel_scope.cancel()
        finally:
            self._process = None
        return code

    async def write(self, kind: Literal["stdout", "stderr"], data: bytes) -> None:
        """Take output from the shell."""
        self._history += data[-HISTORY_BYTES:]
        del self._history[:-HISTORY_BYTES]
        await self.output.write(kind, data)

    async def _forward_input(self, process: Process) -> None:
        receive_some = self.input.receive_some
        while (data := await receive_some(_INPUT_BYTES, process.write_stdin_nowait)) is not None:
            await process.write_stdin(data)
        await process.write_stdin(_END_OF_INPUT)


async def run_terminal(
    host: KernelHost,
    env: Mapping[str, str],
    limits: GatewayLimits,
    on_end: Callable[[], None],
    *,
    task_status: trio.TaskStatus[TerminalSession],
) -> None:
    """Run a shell in the work folder until it ends; for ``await nursery.start(run_terminal, ...)``.

    After `TerminalSession.restart` a new shell takes its place.

    Args:
        host: the kernel's process host.
        env: environment of the shell, with TERM.
        limits: time limits and sizes.
        on_end: called when the shell has ended. The last mark of the terminal's output has its exit
            code.
        task_status: gets the terminal.

    Raises:
        GatewayError: the shell could not be started.
    """
    shell = shutil.which("bash") or "/bin/sh"
    environment = {**env, "SHELL": shell, "PS1": r"\w\$ "}
    terminal = TerminalSession(limits)
    started = False
    code: int | None = None
    try:
        while code is None:
            async with host.open_process(
                [shell], env=environment, cwd=Path(host.work), stdio=INTERACTIVE
            ) as process:
                if not started:
                    task_status.started(terminal)
                    started = True
                code = await terminal.run(process)
    except GatewayError:
        if not started:
            raise
    finally:
        on_end()
        exit_code = 127 if code is None else code
        terminal.output.write_mark({"status": "finished", "exit_code": exit_code}, last=True)
