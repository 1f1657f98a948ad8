"""A kernel's terminal: a shell that goes on when its client goes, and waits for it to come back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import trio

from ..._groups import one_error
from ...errors import GatewayError
from ..processes.child import Child
from ..processes.process_host import KernelHost
from .output_buffer import Ring
from .run import Input

__all__ = ["Screen", "hold_screen"]

HISTORY_BYTES = 32 * 1024
"""What a client that attaches anew gets to see of what was printed before."""
KEEP_SECONDS = 60.0
"""How long output waits for a client whose connection broke, before the oldest gives way."""


# What programs ask a terminal, and it answers as if typed: its state (DSR), kind (DA, DECID, ENQ,
# XTVERSION), modes (DECRQM), settings (DCS), colours (OSC), window and keyboard.
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


class Screen:
    """A shell on a terminal. Made by `hold_screen`.

    Attributes:
        ring: what it prints.
        input: what is typed.
    """

    def __init__(self) -> None:
        self.ring = Ring()
        self.input = Input()
        self._history = bytearray()
        self._size = (0, 0)
        self._attached: trio.CancelScope | None = None
        self._child: Child | None = None
        self._life = trio.CancelScope()

    @property
    def past(self) -> bytes:
        """The end of what was printed, for who attaches anew.

        Without questions to the terminal: they were answered, and to answer them again would be to
        type into whatever runs now.
        """
        return _QUERIES.sub(b"", self._history)

    @property
    def attached(self) -> bool:
        """Whether it has a client."""
        return self._attached is not None

    def attach(self, scope: trio.CancelScope) -> None:
        """Become the client; whoever was it before is cancelled."""
        if self._attached is not None:
            self._attached.cancel()
        self._attached = scope
        self.ring.keep()

    async def detach(self, scope: trio.CancelScope) -> None:
        """Go; output is held for a while, and then gives way."""
        if self._attached is not scope:
            return
        self._attached = None
        await trio.sleep(KEEP_SECONDS)
        if self._attached is None:
            self.ring.drop()

    def resize(self, rows: int, columns: int) -> None:
        """Set the window's size. The same size again makes full-screen programs paint anew."""
        if self._child is not None:
            if (rows, columns) == self._size:
                self._child.resize(rows, max(columns - 1, 1))
            self._child.resize(rows, columns)
        self._size = (rows, columns)

    def restart(self) -> None:
        """End the shell and all below it; a fresh one takes its place."""
        self.input.discard()
        self._life.cancel()

    async def show(self, child: Child) -> int | None:
        """Be the terminal of a shell until it ends; its exit code, None if it is to be replaced."""
        self._child = child
        if self._size != (0, 0):
            child.resize(*self._size)
        code: int | None = None
        try:
            with trio.CancelScope() as self._life, one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_type, self.input, child)
                    code = await child.run(self.write, None)
                    nursery.cancel_scope.cancel()
        finally:
            self._child = None
        return code

    async def write(self, kind: Literal["stdout", "stderr"], data: bytes) -> None:
        """Take output in."""
        self._history += data[-HISTORY_BYTES:]
        del self._history[:-HISTORY_BYTES]
        await self.ring.write(kind, data)


async def hold_screen(
    host: KernelHost,
    env: Mapping[str, str],
    ended: Callable[[], None],
    *,
    task_status: trio.TaskStatus[Screen],
) -> None:
    """Run a shell in the work folder until it ends, or this is cancelled; anew when told so.

    Args:
        host: the kernel's.
        env: the kernel's environment.
        ended: called when the shell has ended; the screen's last mark tells its exit code.
        task_status: gets the screen.
    """
    shell = shutil.which("bash") or "/bin/sh"
    environment = {**env, "TERM": "xterm-256color", "SHELL": shell, "PS1": r"\w\$ "}
    screen = Screen()
    started = False
    code: int | None = None
    try:
        while code is None:
            async with host.open_child(
                [shell], env=environment, cwd=Path(host.work), stdout="screen"
            ) as child:
                if not started:
                    task_status.started(screen)
                    started = True
                code = await screen.show(child)
    except GatewayError:
        if not started:
            raise
    finally:
        ended()
        screen.ring.mark(
            {"status": "finished", "exit_code": 127 if code is None else code}, last=True
        )


async def _type(typed: Input, child: Child) -> None:
    while (data := await typed.some(4096, child.type_nowait)) is not None:
        await child.type(data)
    await child.type(b"\x04")  # the end of input, as a person at a terminal types it
