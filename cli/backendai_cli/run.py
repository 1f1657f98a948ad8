"""`backend.ai run`: code or files, live, with the program's own exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import Literal, TextIO

import click
import trio

from backendai_trio import (
    BatchOptions,
    BuildFinished,
    Client,
    Event,
    Execution,
    Finished,
    Html,
    InputRequest,
    KernelSpec,
    Log,
    Media,
    Other,
    Statistics,
    Stderr,
    Stdout,
    TimedOut,
    TrioKernel,
    Upload,
    attach_kernel,
    check_uploads,
    new_token,
    one_error,
    open_kernel,
    plan_uploads,
)

from . import exits
from .console import Lines, Status, hidden_input, write_bytes
from .target import open_target

__all__ = ["command"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the command line asked for."""

    spec: KernelSpec
    token: str | None
    code: str | None
    uploads: list[Upload]
    options: BatchOptions
    keep: bool
    stats: bool
    local: bool


@click.command("run", context_settings={"show_default": False})
@click.argument("lang")
@click.argument("files", nargs=-1, type=click.Path())
@click.option(
    "-t",
    "--client-token",
    metavar="TOKEN",
    help="Join the kernel with this token, or create one that stays.",
)
@click.option("-c", "--code", metavar="CODE", help="The code to run.")
@click.option(
    "--build", metavar="CMD", help="Command that builds the files [default: the runtime's own]."
)
@click.option(
    "--exec", "execute", metavar="CMD", help="Command that runs them [default: the runtime's own]."
)
@click.option(
    "-e", "--env", multiple=True, metavar="KEY=VALUE", help="Environment variable; may be repeated."
)
@click.option(
    "-m", "--mount", multiple=True, metavar="NAME", help="Virtual folder to mount; may be repeated."
)
@click.option("-s", "--stats", is_flag=True, help="Show what the kernel used, when it has ended.")
@click.option("-q", "--quiet", is_flag=True, help="Show the program's output alone.")
@click.option(
    "--rm/--keep",
    "remove",
    default=None,
    help="End the kernel afterwards, or let it stay [default: end it, unless -t is given].",
)
@click.option("--local", is_flag=True, help="Run on this machine, whatever server is configured.")
def command(
    lang: str,
    files: tuple[str, ...],
    client_token: str | None,
    code: str | None,
    build: str | None,
    execute: str | None,
    env: tuple[str, ...],
    mount: tuple[str, ...],
    stats: bool,
    quiet: bool,
    remove: bool | None,
    local: bool,
) -> int:
    """Run code or files in a kernel of the runtime LANG.

    Files are uploaded, built and executed. What the program prints goes to standard output and
    standard error, what it asks is read from standard input, and its exit code is that of this
    command. Ctrl-C interrupts the program; a second one ends the kernel.

    \b
    Examples:
      backend.ai run python3 -c "print('hello world')"
      backend.ai run c main.c mylib.c mylib.h
      backend.ai run python main.py -e DEBUG=1 --stats
      backend.ai run python -t lab1 -c "x = 1"

    \b
    Exit codes of its own:
      124  the server ended the run because it took too long
      125  wrong usage or settings, or no connection
      126  the server refused or failed
      127  there is no such runtime
      130  interrupted with Ctrl-C
    """
    if code is None and not files:
        raise click.UsageError("nothing to run: give code with -c, or name files")
    if code is not None and files:
        raise click.UsageError("give either code with -c or files, not both")
    if code is not None and (build is not None or execute is not None):
        raise click.UsageError("--build and --exec go with files, not with -c")
    job = Job(
        spec=KernelSpec(runtime=lang, environ=_environment(env), mounts=mount),
        token=client_token,
        code=code,
        uploads=plan_uploads(files),
        options=BatchOptions(build=build or "*", exec=execute or "*"),
        keep=(client_token is not None) if remove is None else not remove,
        stats=stats,
        local=local,
    )
    return trio.run(_Runner(job, Status(quiet=quiet)).run)


def _environment(pairs: tuple[str, ...]) -> dict[str, str]:
    environ: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.UsageError(f"-e {pair}: write it as KEY=VALUE")
        environ[name] = value
    return environ


class _Runner:
    """One call of `run`: the job, and what signals may do to it."""

    def __init__(self, job: Job, status: Status) -> None:
        self._job = job
        self._status = status
        self._lines = Lines()
        self._execution: Execution | None = None
        self._prompt: trio.CancelScope | None = None
        self._interrupted = False
        self._signal: int | None = None

    async def run(self) -> int:
        """Do it; returns the exit code."""
        code = exits.FAILED
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._watch_signals, nursery)
                code = await self._run()
                nursery.cancel_scope.cancel()
        return 128 + self._signal if self._signal is not None else code

    async def _run(self) -> int:
        job = self._job
        async with open_target(self._status, local=job.local) as client:
            check_uploads(job.uploads, client.era)
            async with self._open_kernel(client) as kernel:
                self._status.done(f"Kernel (ID: {kernel.kernel_id}) is ready.")
                if job.uploads:
                    self._status.wait("Uploading source files...")
                    await kernel.upload(job.uploads)
                    self._status.done("Uploading done.")
                    self._status.wait("Building your code...")
                return await self._execute(kernel)

    @asynccontextmanager
    async def _open_kernel(self, client: Client) -> AsyncIterator[TrioKernel]:
        """The kernel: joined or created, and ended afterwards or not, as the options say."""
        job, status = self._job, self._status
        token = job.token or new_token()
        status.info(f"Client session token: {token}")
        if job.token is None and not job.keep:
            status.wait("Creating a temporary kernel...")
            async with open_kernel(client, job.spec, token=token) as kernel:
                yield kernel
                status.wait("Cleaning up the temporary kernel...")
                await kernel.destroy()
                self._tell_end(kernel.statistics)
            return
        status.wait("Connecting to the kernel...")
        kernel = await attach_kernel(client, job.spec, token=token)
        try:
            yield kernel
        finally:
            if not job.keep:
                with trio.move_on_after(client.config.grace_seconds, shield=True):
                    self._tell_end(await kernel.destroy())

    def _tell_end(self, statistics: Statistics | None) -> None:
        self._status.done("Cleaned up the kernel.")
        if not self._job.stats:
            return
        if statistics is None:
            self._status.info("Statistics are not available.")
            return
        for item in fields(statistics):
            value = getattr(statistics, item.name)
            name, text = item.name, f"{value:,}"
            if name == "cpu_used":
                name = "cpu_used_msec"
            elif value >= 1024:
                text = _readable(value)
            self._status.info(f"{name:<20} {text:>12}")

    async def _execute(self, kernel: TrioKernel) -> int:
        """Run the code and carry its output and questions; returns its exit code."""
        job = self._job
        mode: Literal["query", "batch"] = "query" if job.code is not None else "batch"
        async with kernel.execute(job.code or "", mode=mode, options=job.options) as run:
            self._execution = run
            try:
                async for event in run:
                    await self._show(event, run)
            finally:
                self._execution = None
        if not isinstance(run.outcome, Finished):
            self._status.fail("The server ended the run: it took too long.")
            return exits.TIMED_OUT
        if run.outcome.exit_code is not None:
            return run.outcome.exit_code
        # Managers do not tell in query mode; an interrupted run is none that succeeded.
        return exits.INTERRUPTED if self._interrupted else 0

    async def _show(self, event: Event, run: Execution) -> None:
        match event:
            case Stdout(text):
                await self._print(sys.stdout, text)
            case Stderr(text):
                await self._print(sys.stderr, text)
            case InputRequest(is_password):
                await self._answer(run, is_password)
            case BuildFinished(None | 0):
                self._status.done("Build finished.")
            case BuildFinished(code):
                self._status.fail(f"Build failed (exit code {code}).")
            case Log(text):
                self._status.info(text)
            case Media(kind, data):
                self._status.info(f"[{kind}, {len(data):,} characters]")
            case Html(text):
                self._status.info(f"[HTML, {len(text):,} characters]")
            case Other(kind, _):
                self._status.info(f"[output of kind {kind!r}]")
            case TimedOut() | Finished():
                self._status.clear()

    async def _print(self, stream: TextIO, text: str) -> None:
        self._status.clear()
        data = _as_bytes(text)
        # In a thread: a reader that does not read (a pager, Ctrl-S) must not stop the event loop,
        # which would be deaf to Ctrl-C and, with a local gateway, stop that as well.
        await trio.to_thread.run_sync(write_bytes, stream, data, abandon_on_cancel=True)

    async def _answer(self, run: Execution, is_password: bool) -> None:
        self._status.clear()
        with trio.CancelScope() as self._prompt:
            if is_password:
                with hidden_input():
                    line = await self._lines.next()
            else:
                line = await self._lines.next()
            await run.send_input(None if line is None else line.decode("utf-8", "surrogateescape"))
        self._prompt = None

    async def _watch_signals(
        self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Ctrl-C once interrupts the program, twice ends everything; so do the other signals."""
        with trio.open_signal_receiver(*exits.ending_signals()) as received:
            task_status.started()
            async for number in received:
                run = self._execution
                if number == signal.SIGINT and run is not None and not self._interrupted:
                    self._interrupted = True
                    self._status.info("Interrupting the program; Ctrl-C again ends the kernel.")
                    nursery.start_soon(self._interrupt, run)
                else:
                    self._signal = number
                    nursery.cancel_scope.cancel()

    async def _interrupt(self, run: Execution) -> None:
        await run.interrupt()
        if self._prompt is not None:
            self._prompt.cancel()


def _as_bytes(text: str) -> bytes:
    """The bytes a program wrote; those that are no UTF-8 arrive as lone surrogates (PEP 383)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other surrogates, which no server should send
        return text.encode("utf-8", "replace")


def _readable(size: float) -> str:
    units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        del units[0]
    return f"{size:.1f} {units[0]}"
