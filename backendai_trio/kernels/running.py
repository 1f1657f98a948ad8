"""Running code in a kernel: methods of `TrioKernel`."""

from __future__ import annotations

import secrets
from contextlib import AbstractAsyncContextManager
from typing import Literal

from ..errors import LocalProtocolError
from ..transport.client import Client
from ..wire.execution import RUN_PROGRAM, SHOW_VALUE, BatchOptions, ExecuteRequest, check_run_id
from ..wire.resumable import RESUMABLE_STREAMS
from ..wire.stdio import CHOOSE_STDIO, Stdio
from .addressed import AddressedKernel
from .execution import Execution, ExecutionResult, open_execution
from .run_streams import loses_batch_ends

__all__ = ["execute", "run"]


def execute(
    kernel: AddressedKernel,
    code: str = "",
    *,
    mode: Literal["query", "batch"] = "query",
    options: BatchOptions | None = None,
    run_id: str | None = None,
    window: tuple[int, int] | None = None,
    term: str | None = None,
    stdio: Stdio | None = None,
    show_value: bool = False,
) -> AbstractAsyncContextManager[Execution]:
    """Run code; use as ``async with kernel.execute(...) as run: async for event in run: ...``

    Args:
        code: the source, in query mode.
        mode: ``query`` runs `code` in the kernel's interpreter, where it has one; ``batch``
            builds and executes the files in the work folder.
        options: commands of a batch run; default: the runtime's own rules.
        run_id: name of the run, at most 64 characters; default: a fresh one.
        window: rows and columns of a terminal for the program, which then echoes and edits
            what is typed, and gets all output as `Stdout`. Only our own gateway has that.
        term: TERM of a program with a `window`, such as ``screen``; default:
            ``xterm-256color``.
        stdio: the standard streams of a program without a `window`; default: ``Stdio()``. On
            servers other than our own gateway, and for code in the kernel's interpreter, the
            kernel decides; Python's on our own gateway gathers many printed lines for 50 ms if
            `stdout` is a pipe (for longer while C code holds the GIL).
        show_value: in query mode, print the value of the expression that the code ends in, as
            a prompt does. On servers other than our own gateway, the kernel's image decides.

    Returns:
        The block's `Execution`. Its last event has the program's exit code; what that is where
        the server does not tell it, `Finished` says.

    Raises:
        LocalProtocolError: the run id is malformed; or the server has no terminals for runs, or
            takes no `BatchOptions.program`.

    Cancellation:
        Interrupts the code in the kernel and waits, for the grace time at most, until it has
        stopped. Leaving the block early does the same.

    Endpoint: ``POST /session/{name}`` (docs/protocol.md, section 4).
    """
    check_run_id(run_id)
    wanted = _run_options(kernel.client, mode, options, show_value)
    if window is not None:
        if not kernel.client.has(RESUMABLE_STREAMS):
            raise LocalProtocolError("programs have no terminal on this server; use open_terminal")
        wanted["tty"] = list(window)
        if term:
            wanted["term"] = term
    if stdio is not None and kernel.client.has(CHOOSE_STDIO):
        wanted["stdio"] = stdio.as_json()
    first = ExecuteRequest(mode, run_id or secrets.token_hex(8), code, wanted)
    return open_execution(kernel.client, kernel.address, first)


def _run_options(
    client: Client, mode: Literal["query", "batch"], options: BatchOptions | None, show_value: bool
) -> dict[str, object]:
    options = options or BatchOptions()
    if (options.program or options.arguments) and not client.has(RUN_PROGRAM):
        raise LocalProtocolError(
            "this server has no rule for a program with a name or with arguments; "
            "write both into the command, BatchOptions.exec"
        )
    wanted = options.as_json() if mode == "batch" else {}
    if show_value and client.has(SHOW_VALUE):
        wanted["showValue"] = True
    return wanted


async def run(
    kernel: AddressedKernel,
    code: str = "",
    *,
    mode: Literal["query", "batch"] = "query",
    options: BatchOptions | None = None,
    stdin: bytes = b"",
    show_value: bool = False,
) -> ExecutionResult:
    """Run code to its end, and return what it has printed.

    Args:
        code: the source, in query mode.
        mode: as for `execute`.
        options: as for `execute`.
        stdin: all of the program's input. What it asks for beyond that is the end of input.
        show_value: as for `execute`.

    Returns:
        Its output and exit code (see `Finished.exit_code`). All output is held in memory;
        `execute` is for more than that.

    Raises:
        LocalProtocolError: the server takes no `BatchOptions.program`.
        ExecutionError: the run ended without an outcome, or asks for more input on a server
            that cannot tell the program that there is none.
        ApiError: the server refused or failed.
        ConnectionFailed: it could not be reached, or the connection broke.

    Cancellation:
        Interrupts the code in the kernel and waits, for the grace time at most, until it has
        stopped.

    Endpoint: ``POST /session/{name}`` (docs/protocol.md, section 4); with `stdin`, a WebSocket
    where the server has one (section 6.2).
    """
    wanted = _run_options(kernel.client, mode, options, show_value)
    first = ExecuteRequest(mode, secrets.token_hex(8), code, wanted)
    # Input has to flow as the program reads it: line by line is not enough. And a batch run
    # that waits for this client (see `held_batch`) begins sooner than its first poll ends.
    live = bool(stdin) or (mode == "batch" and loses_batch_ends(kernel.client))
    async with open_execution(kernel.client, kernel.address, first, live=live) as execution:
        if stdin:
            await execution.send_stdin(stdin)
        await execution.close_stdin()
        while (result := await execution.collect())["status"] == "waiting-input":
            pass
        return result
