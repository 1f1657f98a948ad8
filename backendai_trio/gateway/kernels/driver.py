"""How a run is executed: the programs that are started for it, and the exit code they give it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import trio

from ..._groups import one_error
from ...errors import GatewayError
from ..cleanup import clean_up_in_thread
from ..processes.interpreter import Interpreter, open_interpreter
from ..processes.process import Ask, Process, Sink
from ..processes.process_host import KernelHost, ProgramNotStartedError
from ..processes.program_streams import INTERACTIVE, PIPED, ProgramStdio
from ..shortages import shortage_of
from .commands import build_argv, exec_argv, kernel_environment, query_file, query_steps
from .display import Display, listen_at
from .input_buffer import InputBuffer
from .run import Run
from .runtimes import Runtime
from .terminal import term_of

__all__ = ["INTERRUPTED", "Driver"]

INTERRUPTED = 130
_NOT_STARTED = 127
_INPUT_BYTES = 4096


class Driver:
    """Executes the runs of one kernel. The caller sees to it that they come one at a time."""

    def __init__(
        self,
        runtime: Runtime,
        host: KernelHost,
        environ: Mapping[str, str],
        nursery: trio.Nursery,
    ) -> None:
        """
        Args:
            runtime: the kernel's runtime.
            host: the kernel's process host.
            environ: variables that the user has asked for.
            nursery: the tasks of the interpreter and of the display live in it.

        Raises:
            OSError: the socket for pictures cannot be made.
        """
        self._runtime = runtime
        self._host = host
        self._argv = runtime.interpreter_argv()
        self.environ = kernel_environment(
            runtime, home=host.home, tmp=host.tmp, display=host.display, user=environ
        )
        self._display = Display()
        if runtime.language == "python":
            nursery.start_soon(self._display.serve, listen_at(host.display))
        self._nursery = nursery
        self._interpreter: Interpreter | None = None
        self._interpreter_scope = trio.CancelScope()
        """Cancelled by who ends the interpreter, which is not to be used any more from then on."""
        self._interpreter_closed = trio.Event()
        self._active: trio.CancelScope | None = None
        self._crash = ""
        """How the last interpreter ended, until the next run has reported it."""

    async def drive(self, run: Run) -> None:
        """Execute a run. `Run.finish` is called last, unless this is cancelled."""
        with trio.CancelScope() as self._active:
            try:
                if run.request.mode == "batch":
                    code = await self._batch(run)
                elif self._argv is not None and run.request.window is None:
                    code = await self._query(run)
                else:
                    code = await self._program(run)
            except GatewayError as exc:
                await run.write("stderr", f"{exc}\n".encode())
                code = _NOT_STARTED if isinstance(exc, ProgramNotStartedError) else 1
            except (OSError, MemoryError, RuntimeError) as exc:
                reason = shortage_of(exc)
                if not (reason or isinstance(exc, OSError)):
                    raise
                await run.write(
                    "stderr", f"the gateway cannot run this: {reason or exc}\n".encode()
                )
                code = 1
            for text in self._limits_reached(code):
                await run.write("stderr", text.encode())
            run.finish(code)
        self._active = None

    def _limits_reached(self, code: int) -> Iterator[str]:
        """What explains the end of a program that has used too much.

        Args:
            code: its exit code.
        """
        if self._host.memory is not None:
            yield self._host.memory.take_report()
        limits = self._host.limits
        if code == 128 + signal.SIGXCPU and limits.cpu_seconds:
            yield f"[a program used its limit of CPU time, {limits.cpu_seconds:,} s]\n"
        if code == 128 + signal.SIGXFSZ and limits.file_bytes:
            yield f"[a program wrote a file beyond its size limit, {limits.file_bytes:,} bytes]\n"

    async def complete(self, code: str, options: Mapping[str, Any]) -> list[str]:
        """Completions of `code`; none where the runtime has no interpreter."""
        if self._argv is None:
            return []
        interpreter = await self._live_interpreter()
        return await interpreter.complete(code, options)

    async def restart(self) -> None:
        """End the current run, and the interpreter with its state."""
        if self._active is not None:
            self._active.cancel()
        self._crash = ""
        await self._close_interpreter()

    async def _query(self, run: Run) -> int:
        """Run code in the interpreter, which keeps its state from run to run."""
        interpreter = await self._live_interpreter()
        if run.interrupted:
            return INTERRUPTED
        if self._crash:
            text = f"[a new interpreter runs this: {self._crash}]\n"
            self._crash = ""
            await run.write("stderr", text.encode())
        run.interrupt = interpreter.interrupt
        try:
            async with self._display.showing(run, partial(interpreter.drain, run.write)):
                code = await interpreter.execute(
                    run.request.code,
                    run.write,
                    run.ask_line,
                    run.ask_bytes,
                    show_value=run.request.shows_value,
                    piped=run.request.stdio.stdout == "pipe",
                )
        finally:
            run.interrupt = None
        if not interpreter.alive:
            self._crash = _crash_of(code)
            if code > 128:  # not `os._exit`, which a program calls on purpose
                text = f"[{self._crash}; the next run starts a new interpreter]\n"
                await run.write("stderr", text.encode())
        return code

    async def _program(self, run: Run) -> int:
        """Run code as a program, which is built, run and removed."""
        work = self._host.work
        folder = Path(await trio.to_thread.run_sync(partial(mkdtemp, prefix=".query-", dir=work)))
        try:
            source = folder / query_file(self._runtime)
            code = run.request.code.encode("utf-8", "surrogateescape")
            await trio.to_thread.run_sync(source.write_bytes, code)
            steps = query_steps(self._runtime, folder.name)
            if steps.build is not None and (failed := await self._stage(run, steps.build, PIPED)):
                return failed
            return await self._stage(run, steps.run, _stdio_of(run))
        finally:
            remove = partial(shutil.rmtree, folder, ignore_errors=True)
            await clean_up_in_thread(remove)  # noqa: ASYNC102 (bounded there)

    async def _batch(self, run: Run) -> int:
        """Clean, build and execute the files in the work folder."""
        options = run.request.batch_options()
        if options.clean not in (None, "*"):  # no runtime has a default clean command
            code = await self._stage(run, ("/bin/sh", "-c", options.clean or ""), PIPED)
            run.stage_finished("clean-finished", code)
        command = build_argv(self._runtime, options.build, await self._files())
        if command is not None:
            code = await self._stage(run, command, PIPED, show_output=options.build_log)
            run.stage_finished("build-finished", code)
            if code != 0:
                return code
        elif run.stage_gap_seconds:
            run.stage_finished("build-finished", 0)  # agents report what they leave out
        command = exec_argv(
            self._runtime,
            options.exec,
            await self._files(),
            program=options.program,
            arguments=options.arguments,
        )
        return 0 if command is None else await self._stage(run, command, _stdio_of(run))

    async def _files(self) -> list[str]:
        return await trio.to_thread.run_sync(os.listdir, self._host.work)

    async def _stage(
        self,
        run: Run,
        command: Sequence[str],
        stdio: ProgramStdio,
        *,
        show_output: bool = True,
    ) -> int:
        """Run one program; returns its exit code."""

        async def write(kind: Literal["stdout", "stderr"], data: bytes) -> None:
            if show_output or kind == "stderr":
                await run.write(kind, data)

        if run.interrupted:
            return INTERRUPTED
        interactive = stdio == INTERACTIVE
        env = dict(self.environ)
        if interactive:
            env["TERM"] = term_of(run.request.options.get("term"))
        async with self._host.open_process(
            command, env=env, cwd=self._host.work, stdio=stdio
        ) as process:
            run.interrupt = process.interrupt
            run.on_resize = process.resize
            if run.window is not None:
                process.resize(*run.window)
            if run.interrupted:  # while it was being started
                process.interrupt()
            try:
                async with self._display.showing(run, partial(process.drain, write)):
                    if not run.live:
                        return await process.run(write, run.ask_bytes)
                    # On an interactive terminal the user sees that a program waits.
                    ask = None if interactive else run.ask_eof
                    return await _run_with_input(process, run.input, write, ask)
            finally:
                run.interrupt = run.on_resize = None

    async def _live_interpreter(self) -> Interpreter:
        """The running interpreter; a new one if there is none, or if it has died or is ended."""
        if self._interpreter_scope.cancel_called:
            await self._interpreter_closed.wait()
        if self._interpreter is not None and not self._interpreter.alive:
            # It may have died between two runs, in a background thread.
            self._crash = self._crash or _crash_of(self._interpreter.exit_code or 0)
            await self._close_interpreter()
        if self._interpreter is None:
            self._interpreter = await self._nursery.start(self._run_interpreter)
        return self._interpreter

    async def _close_interpreter(self) -> None:
        if self._interpreter is not None:
            self._interpreter_scope.cancel()
            await self._interpreter_closed.wait()

    async def _run_interpreter(self, *, task_status: trio.TaskStatus[Interpreter]) -> None:
        self._interpreter_closed = trio.Event()
        try:
            with trio.CancelScope() as self._interpreter_scope:
                assert self._argv is not None
                async with open_interpreter(
                    self._host, self._argv, env=self.environ
                ) as interpreter:
                    task_status.started(interpreter)
                    await trio.sleep_forever()
        finally:
            self._interpreter = None
            self._interpreter_closed.set()


async def _run_with_input(process: Process, typed: InputBuffer, sink: Sink, ask: Ask | None) -> int:
    """Run a program that gets its input as it arrives; returns its exit code."""
    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_forward_input, typed, process)
            code = await process.run(sink, ask)
            nursery.cancel_scope.cancel()
    return code


async def _forward_input(typed: InputBuffer, process: Process) -> None:
    """Give a program its input as it arrives, whether the program waits for it or not."""
    nowait = process.write_stdin_nowait
    while (data := await typed.receive_some(_INPUT_BYTES, nowait)) is not None:
        await process.write_stdin(data)
    await process.write_stdin(None)


def _stdio_of(run: Run) -> ProgramStdio:
    """The standard streams of a program of this run."""
    return run.request.stdio if run.request.window is None else INTERACTIVE


def _crash_of(exit_code: int) -> str:
    """How an interpreter has ended, and what that means for its user."""
    if exit_code > 128:
        try:
            number = signal.Signals(exit_code - 128)
        except ValueError:
            pass
        else:
            text = signal.strsignal(number)
            return f"the interpreter was killed by {number.name} ({text}), its variables are lost"
    return f"the interpreter exited with code {exit_code}, its variables are lost"
