"""Kernels through plain calls: each returns data, and nothing needs a block.

This is the interface of the official client 1.1.1, in Trio; the blocking and the asyncio face show
the same methods, a line each. A kernel from here lives until somebody destroys it. For kernels,
runs and terminals that end with their block, see `open_kernel`.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import LocalProtocolError
from ..kernels.execution import Execution, ExecutionResult, execute
from ..kernels.kernel import TrioKernel
from ..kernels.opening import attach_kernel, find_kernel, open_kernel
from ..kernels.terminal import Terminal, open_terminal
from ..transport.client import Client
from ..wire.execution import BatchOptions, ExecuteRequest, check_run_id
from ..wire.files import Listing
from ..wire.kernels import KernelInfo, KernelSpec, Statistics
from ..wire.versions import SEED

__all__ = ["ExecutionResult", "Mode", "PlainKernel"]

Mode = Literal["query", "batch", "continue", "input"]


class PlainKernel:
    """A kernel that stays until it is destroyed."""

    def __init__(self, kernel: TrioKernel, *, ours: bool = False) -> None:
        self.kernel = kernel
        self._ours = ours

    def __repr__(self) -> str:
        return f"<kernel {self.token} at {self.kernel.client.config.endpoint.url}>"

    @classmethod
    async def get_or_create(
        cls,
        client: Client,
        lang: str,
        client_token: str | None = None,
        mounts: Iterable[str] | None = None,
        envs: Mapping[str, str] | None = None,
        *,
        resources: Mapping[str, str] | None = None,
    ) -> PlainKernel:
        """Join the kernel that has a token, or create it; without a token, create one.

        Args:
            client: where.
            lang: runtime, optionally with a tag: ``python``, ``lua5``, ``python:3.11``.
            client_token: 1 to 64 letters, digits, ``_``, ``.``, ``-``; managers want 4 or more.
            mounts: names of virtual folders to mount below the work folder.
            envs: environment variables of every program in the kernel.
            resources: resource slots to amounts, e.g. ``{"cpu": "1", "mem": "1g"}``.

        Raises:
            NotFound: no such runtime, or no such folder.
            InvalidRequest: the token's kernel has another runtime.
            QuotaExceeded: the key pair has as many kernels as it may have.

        Cancellation:
            Leaves no kernel behind, unless a token was given: then there may be one.
        """
        spec = KernelSpec(
            runtime=lang,
            mounts=tuple(mounts or ()),
            environ=dict(envs or {}),
            resources=dict(resources or {}),
        )
        if client_token is not None:
            return cls(await attach_kernel(client, spec, token=client_token))
        async with open_kernel(client, spec) as kernel:
            kernel.release()
            return cls(kernel, ours=True)

    @classmethod
    async def find(cls, client: Client, token: str) -> PlainKernel:
        """A kernel that exists, by its token or (from 20.09 on) its id.

        Raises:
            NotFound: there is none.
        """
        return cls(await find_kernel(client, token))

    async def discard(self) -> None:
        """Undo `get_or_create`: destroy the kernel if nobody else can know it."""
        if self._ours:
            await self.kernel.destroy()

    @property
    def kernel_id(self) -> str:
        """Session UUID from 20.03 on, before that the token."""
        return self.kernel.kernel_id

    @property
    def token(self) -> str:
        """Client session token; the session's name from 20.03 on."""
        return self.kernel.token

    @property
    def created(self) -> bool:
        """False when an existing kernel was joined."""
        return self.kernel.created

    async def execute(
        self,
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
            code_or_run_id: the code; the run id if `code` is given by name (the order of 1.1.1).
            code: the code, or the answer without its newline (mode ``input``).
            run_id: name of the run, at most 64 characters; needed to answer or to go on with a run
                that asked for input, else a fresh one by default.
            mode: ``query`` runs code in the kernel's interpreter; ``batch`` builds and executes the
                files in the work folder; ``input`` answers, ``continue`` goes on listening.
            opts: commands of a batch run: ``clean``, ``build``, ``exec`` (a missing one is left
                out, ``"*"`` is the runtime's own) and ``buildLog``; by default the runtime's own.

        Raises:
            LocalProtocolError: the arguments do not fit together.

        Cancellation:
            Interrupts the code in the kernel and waits, for the grace time at most, until it has
            stopped.
        """
        first = _first_request(code_or_run_id, code, run_id, mode, opts)
        return await execute(self.kernel.client, self.kernel.address, first)

    def stream_execute(
        self,
        code: str = "",
        *,
        mode: Literal["query", "batch"] = "query",
        opts: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        window: tuple[int, int] | None = None,
    ) -> AbstractAsyncContextManager[Execution]:
        """Run code whose events come as they happen; the run ends with the block.

        Args:
            code: the source, in query mode.
            mode: ``query`` or ``batch``, as for `execute`.
            opts: commands of a batch run, as for `execute`.
            run_id: name of the run; default: a fresh one.
            window: rows and columns of a terminal for the program; only our own gateway has that.
        """
        options = _batch_options(opts)
        return self.kernel.execute(code, mode=mode, options=options, run_id=run_id, window=window)

    def stream_pty(self) -> AbstractAsyncContextManager[Terminal]:
        """Attach to the kernel's terminal; what runs there goes on after the block."""
        return open_terminal(self.kernel)

    async def upload(
        self,
        files: Iterable[str | os.PathLike[str]],
        *,
        to: str = "",
        base: Path | None = None,
    ) -> None:
        """Put local files and folders into the work folder; see `TrioKernel.upload`.

        Args:
            files: paths; those below `base` keep their relative path, others their name.
            to: a folder to put them in, relative to the work folder; it is made.
            base: folder that names are relative to; default: the current one.

        Raises:
            UploadError: a file cannot be read, or the server would not take it. Nothing has been
                changed then.
        """
        await self.kernel.upload(files, to=to, base=base)

    async def download(
        self,
        paths: Sequence[str],
        into: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
    ) -> list[Path]:
        """Get files and folders out of the work folder; see `TrioKernel.download`.

        Args:
            paths: relative to the work folder; each arrives under its last component.
            into: a local folder; it is made.
            overwrite: whether files that are there may be replaced.

        Returns:
            The local paths.

        Raises:
            DownloadError: something is there already, cannot be written, or is too large for the
                server. Nothing was changed then.
            InvalidRequest: there is no such file.
        """
        return await self.kernel.download(paths, into, overwrite=overwrite)

    async def list_files(self, path: str = ".") -> Listing:
        """What is in a folder of the kernel; `Listing.problem` tells why there is no list."""
        return await self.kernel.list_files(path)

    async def mkdir(self, path: str) -> None:
        """Make a folder and those above it; one that is there is fine."""
        await self.kernel.mkdir(path)

    async def remove(self, paths: Sequence[str], *, recursive: bool = False) -> None:
        """Remove files, and with `recursive` folders."""
        await self.kernel.remove(paths, recursive=recursive)

    async def interrupt(self) -> None:
        """Stop the code that runs now, as Ctrl-C would; without one, nothing happens."""
        await self.kernel.interrupt()

    async def restart(self) -> None:
        """Start the kernel anew: files stay, variables and processes go."""
        await self.kernel.restart()

    async def complete(self, code: str, opts: Mapping[str, Any] | None = None) -> list[str]:
        """Candidates to go on with after `code`.

        Args:
            code: the text up to the cursor.
            opts: ``row`` and ``col`` of the cursor, the ``line`` it is in, the text behind it
                (``post``).
        """
        place = dict(opts or {})
        return await self.kernel.complete(
            code,
            row=int(place.get("row", 0)),
            col=int(place.get("col", 0)),
            line=str(place.get("line", "")),
            post=str(place.get("post", "")),
        )

    async def info(self) -> KernelInfo:
        """What the server says of the kernel."""
        return await self.kernel.info()

    async def get_info(self) -> dict[str, Any]:
        """The same with the keys of API 2: ``lang``, ``age``, ``numQueriesExecuted`` and more."""
        found: dict[str, Any] = json.loads((await self.kernel.info()).encode(SEED))
        return found

    async def logs(self) -> str:
        """What the kernel has printed so far, as far as the server keeps it."""
        return await self.kernel.logs()

    async def destroy(self) -> Statistics | None:
        """End the kernel; may be repeated. Returns what it used, where the server tells.

        Cancellation:
            Is raised when the kernel has ended all the same, or after the grace time.
        """
        return await self.kernel.destroy()


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
