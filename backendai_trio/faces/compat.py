"""The methods of the official client 1.1.1 whose arguments or results the Trio library has not.

A kernel from here lives until somebody destroys it. For kernels, runs and terminals that end with
their block, see `open_kernel`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, get_args

from ..errors import LocalProtocolError
from ..kernels import execution
from ..kernels.execution import Execution, ExecutionResult
from ..kernels.kernel import TrioKernel
from ..kernels.opening import attach_kernel, open_kernel
from ..kernels.terminal import Terminal, open_terminal
from ..transport.client import Client
from ..wire.execution import BatchOptions, ExecuteRequest, check_run_id
from ..wire.kernel_spec import KernelSpec
from ..wire.versions import SEED

__all__ = [
    "complete",
    "discard",
    "execute",
    "get_info",
    "get_or_create",
    "stream_execute",
    "stream_pty",
]

Mode = Literal["query", "batch", "continue", "input"]


async def get_or_create(
    client: Client,
    lang: str,
    client_token: str | None = None,
    mounts: Iterable[str] | None = None,
    envs: Mapping[str, str] | None = None,
    *,
    resources: Mapping[str, str] | None = None,
) -> TrioKernel:
    """Join the kernel that has a token, or create it; without a token, create one.

    The kernel lives until somebody destroys it.

    Args:
        client: client of the server.
        lang: runtime, optionally with a tag: ``python``, ``lua5``, ``python:3.11``.
        client_token: 1 to 64 letters, digits, ``_``, ``.``, ``-``; managers want 4 or more.
        mounts: names of virtual folders to mount below the work folder.
        envs: environment variables of every program in the kernel.
        resources: resource slots to amounts, e.g. ``{"cpu": "1", "mem": "1g"}``.

    Raises:
        LocalProtocolError: the token is malformed.
        NotFound: no such runtime, or no such folder.
        InvalidRequest: the token's kernel has another runtime.
        QuotaExceeded: the key pair has as many kernels as it may have.
        ServerError: the kernel could not be started.

    Cancellation:
        A kernel that was joined stays; one that was created does not.

    Endpoint: ``POST /session`` (docs/protocol.md, section 3.4).
    """
    spec = KernelSpec(
        runtime=lang,
        mounts=tuple(mounts or ()),
        environ=dict(envs or {}),
        resources=dict(resources or {}),
    )
    if client_token is not None:
        return await attach_kernel(client, spec, token=client_token)
    async with open_kernel(client, spec) as kernel:
        kernel.release()
        return kernel


async def discard(kernel: TrioKernel) -> None:
    """Undo `get_or_create`: destroy the kernel if that created it.

    Args:
        kernel: what `get_or_create` has returned.

    Raises:
        BackendError: the server failed, or could not be reached.
    """
    if kernel.created:
        await kernel.destroy()


async def execute(
    kernel: TrioKernel,
    code_or_run_id: str | None = None,
    /,
    *,
    code: str | None = None,
    run_id: str | None = None,
    mode: Mode = "query",
    opts: Mapping[str, Any] | None = None,
) -> ExecutionResult:
    """Run code until it ends or asks for input.

    Args:
        kernel: where to run it.
        code_or_run_id: the code; the run id if `code` is given by name (the order of 1.1.1).
        code: the code, or the answer without its newline (mode ``input``).
        run_id: name of the run, at most 64 characters; needed to answer or to go on with a run
            that asked for input, else a fresh one by default.
        mode: ``query`` runs code in the kernel's interpreter; ``batch`` builds and executes the
            files in the work folder; ``input`` answers, ``continue`` goes on listening.
        opts: commands of a batch run: ``clean``, ``build``, ``exec`` (a missing one is left
            out, ``"*"`` is the runtime's own) and ``buildLog``; by default the runtime's own.

    Returns:
        How the run ended or what it waits for, with all that was printed since the call.

    Raises:
        LocalProtocolError: the arguments do not fit together.
        NotFound: the kernel is gone.
        ApiError, ConnectionFailed: the server failed, or could not be reached.

    Cancellation:
        Interrupts the code in the kernel and waits, for the grace time at most, until it has
        stopped.

    Endpoint: ``POST /session/{name}`` (docs/protocol.md, section 4).
    """
    first = _first_request(code_or_run_id, code, run_id, mode, opts)
    return await execution.execute(kernel.client, kernel.address, first)


def stream_execute(
    kernel: TrioKernel,
    code: str = "",
    *,
    mode: Literal["query", "batch"] = "query",
    opts: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    window: tuple[int, int] | None = None,
) -> AbstractAsyncContextManager[Execution]:
    """Run code whose events come as they happen; the run ends when it is closed, or with its block.

    Args:
        kernel: where to run it.
        code: the source, in query mode.
        mode: ``query`` or ``batch``, as for `execute`.
        opts: commands of a batch run, as for `execute`.
        run_id: name of the run, at most 64 characters; default: a fresh one.
        window: rows and columns of a terminal for the program, in characters; only our own gateway
            has that.

    Raises:
        LocalProtocolError: the run id is malformed, or the server has no terminals for runs.
        ApiError, ConnectionFailed: the server failed, or could not be reached.

    Cancellation:
        Interrupts the code in the kernel and waits, for the grace time at most, until it has
        stopped. So does closing the run.

    Endpoint: ``POST /session/{name}`` (docs/protocol.md, section 4).
    """
    options = _batch_options(opts)
    return kernel.execute(code, mode=mode, options=options, run_id=run_id, window=window)


def stream_pty(kernel: TrioKernel) -> AbstractAsyncContextManager[Terminal]:
    """Attach to the kernel's terminal; what runs there goes on when the terminal is closed.

    Args:
        kernel: whose terminal.

    Raises:
        ApiError: the kernel is not there, or has no terminal.
        ConnectionFailed: the server cannot be reached.

    Endpoint: WebSocket ``/stream/session/{name}/pty`` (docs/protocol.md, section 6.1).
    """
    return open_terminal(kernel)


async def complete(
    kernel: TrioKernel, code: str, opts: Mapping[str, Any] | None = None
) -> list[str]:
    """Candidates to go on with after `code`.

    Args:
        kernel: whose interpreter to ask.
        code: the text up to the cursor.
        opts: ``row`` and ``col`` of the cursor, the ``line`` it is in, the text behind it
            (``post``).

    Returns:
        The candidates; an empty list where the server fails to complete.

    Raises:
        NotFound: the kernel is gone.
        ConnectionFailed: the server cannot be reached.

    Endpoint: ``POST /session/{name}/complete`` (docs/protocol.md, section 4.6).
    """
    place = dict(opts or {})
    return await kernel.complete(
        code,
        row=int(place.get("row", 0)),
        col=int(place.get("col", 0)),
        line=str(place.get("line", "")),
        post=str(place.get("post", "")),
    )


async def get_info(kernel: TrioKernel) -> dict[str, Any]:
    """The kernel's state with the keys of API 2: ``lang``, ``age``, and so on.

    Args:
        kernel: which one.

    Raises:
        NotFound: the kernel is gone.
        ConnectionFailed: the server cannot be reached.

    Endpoint: ``GET /session/{name}`` (docs/protocol.md, section 3.5).
    """
    found: dict[str, Any] = json.loads((await kernel.info()).encode(SEED))
    return found


def _first_request(
    code_or_run_id: str | None,
    code: str | None,
    run_id: str | None,
    mode: Mode,
    opts: Mapping[str, Any] | None,
) -> ExecuteRequest:
    if code is None:
        code = code_or_run_id
    elif code_or_run_id is not None:
        if run_id is not None:
            raise LocalProtocolError(
                "execute: with code and run_id given by name, nothing may come before them"
            )
        run_id = code_or_run_id
    if mode not in get_args(Mode):
        raise LocalProtocolError(
            f"execute: mode {mode!r} is none of {', '.join(get_args(Mode))}; "
            "for candidates there is complete()"
        )
    if run_id is None and mode in ("input", "continue"):
        raise LocalProtocolError(
            f"execute: mode {mode!r} goes on with a run; give its id, result['runId'], as run_id"
        )
    check_run_id(run_id)
    options = (_batch_options(opts) or BatchOptions()).as_json() if mode == "batch" else {}
    return ExecuteRequest(mode, run_id or secrets.token_hex(8), code or "", options)


def _batch_options(opts: Mapping[str, Any] | None) -> BatchOptions | None:
    if opts is None:
        return None
    return BatchOptions(
        clean=opts.get("clean"),
        build=opts.get("build"),
        exec=opts.get("exec"),
        build_log=bool(opts.get("buildLog", False)),
    )
