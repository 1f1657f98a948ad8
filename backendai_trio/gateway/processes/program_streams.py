"""The terminal and the pipes that a program of a kernel gets for its standard streams."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import Final, Literal, NamedTuple, TypeAlias

import trio

from ...wire.stdio import Stdio
from .output_source import OutputSource
from .pty import PseudoTerminal
from .stdin_pipe import StdinPipe

__all__ = ["INTERACTIVE", "PIPED", "ProgramStdio", "ProgramStreams", "open_streams"]

INTERACTIVE: Final = "interactive"
"""An ordinary terminal for all three streams, as shells expect it: it echoes, edits lines, and
sends signals."""
ProgramStdio: TypeAlias = Stdio | Literal["interactive"]
PIPED: Final = Stdio(stdout="pipe")
"""Output in pipes, where a program can see when it was read."""
_ALL_TERMINAL = Stdio(stderr="terminal")


class ProgramStreams(NamedTuple):
    """A program's terminal and pipes.

    Attributes:
        stdin: takes the program's input.
        terminal: its terminal; None if it has none.
        sources: its output.
        control: the gateway's end of its descriptor 3, if it has one.
        fds: its descriptors 0, 1, 2 and perhaps 3.
    """

    stdin: PseudoTerminal | StdinPipe
    terminal: PseudoTerminal | None
    sources: list[OutputSource]
    control: trio.SocketStream | None
    fds: list[int]


def open_streams(
    gateway_ends: ExitStack,
    program_ends: ExitStack,
    stdio: ProgramStdio,
    devpts: int | None,
    *,
    control: bool,
) -> ProgramStreams:
    """Open a program's terminal and pipes; each stack closes its own ends."""
    interactive = stdio == INTERACTIVE
    chosen = _ALL_TERMINAL if stdio == INTERACTIVE else stdio
    terminal: PseudoTerminal | None = None
    sources: list[OutputSource] = []
    if "terminal" in (chosen.stdin, chosen.stdout, chosen.stderr):
        terminal = gateway_ends.enter_context(
            PseudoTerminal.open(interactive=interactive, devpts=devpts)
        )
        # What is written to /dev/tty belongs to the user's terminal, so where there is one.
        on_stderr = chosen.stdout == "pipe" and chosen.stderr == "terminal"
        name: Literal["stdout", "stderr"] = "stderr" if on_stderr else "stdout"
        sources.append(OutputSource(name, terminal.master, is_terminal=True))

    def slave() -> int:
        assert terminal is not None
        return terminal.slave

    stdin: PseudoTerminal | StdinPipe
    if chosen.stdin == "terminal":
        assert terminal is not None
        stdin, fds = terminal, [terminal.slave]
    else:
        stdin = gateway_ends.enter_context(StdinPipe.open())
        fds = [stdin.read_end]
    if chosen.stdout == "terminal":
        fds.append(slave())
    else:
        source, fd = _open_pipe("stdout", gateway_ends, program_ends)
        fds.append(fd)
        # Before the terminal: a prompt on /dev/tty comes after what was printed before it.
        sources.insert(0, source)
    if chosen.stderr == "terminal":
        fds.append(slave())
    elif chosen.stderr == "stdout":
        fds.append(fds[1])
    else:
        source, fd = _open_pipe("stderr", gateway_ends, program_ends)
        fds.append(fd)
        sources.append(source)
    stream: trio.SocketStream | None = None
    if control:
        near, far = socket.socketpair()
        program_ends.callback(far.close)
        gateway_ends.callback(near.close)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(near))
        fds.append(far.fileno())
    return ProgramStreams(stdin, terminal, sources, stream, fds)


def _open_pipe(
    name: Literal["stdout", "stderr"], gateway_ends: ExitStack, program_ends: ExitStack
) -> tuple[OutputSource, int]:
    near, far = os.pipe()
    gateway_ends.callback(os.close, near)
    program_ends.callback(os.close, far)
    os.set_blocking(near, False)
    return OutputSource(name, near), far
