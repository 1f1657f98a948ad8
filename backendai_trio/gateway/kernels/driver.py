"""How a run becomes programs: which are started, in which order, and what their ends mean."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import trio

from ..._groups import one_error
from ...errors import GatewayError
from ..processes.interpreter import Interpreter, open_interpreter
from ..processes.process_host import Child, KernelHost, ProgramNotStarted
from .run import Input, Run
from .runtimes import (
    Runtime,
    build_argv,
    exec_argv,
    kernel_environment,
    query_file,
    query_steps,
)

__all__ = ["Driver"]

INTERRUPTED = 130
_NOT_STARTED = 127
_TYPE_BYTES = 4096


class Driver:
    """Runs code in one kernel, one run at a time; the caller sees to the turns."""

    def __init__(
        self,
        runtime: Runtime,
        host: KernelHost,
        environ: Mapping[str, str],
        nursery: trio.Nursery,
    ) -> None:
        self._runtime = runtime
        self._host = host
        self._argv = runtime.interpreter_argv()
        self.environ = kernel_environment(runtime, home=host.home, tmp=host.tmp, user=environ)
        self._nursery = nursery
        self._interpreter: Interpreter | None = None
        self._interpreter_scope = trio.CancelScope()
        self._interpreter_gone = trio.Event()
        self._active: trio.CancelScope | None = None

    async def drive(self, run: Run) -> None:
        """Take a run to its end; `Run.finish` is called last unless this is cancelled."""
        with trio.CancelScope() as self._active:
            try:
                if run.request.mode == "batch":
                    code = await self._batch(run)
                elif self._argv is not None and run.window is None:
                    code = await self._query(run)
                else:
                    code = await self._program(run)
            except GatewayError as exc:
                await run.write("stderr", f"{exc}\n".encode())
                code = _NOT_STARTED if isinstance(exc, ProgramNotStarted) else 1
            run.finish(code)
        self._active = None

    async def complete(self, code: str, options: Mapping[str, Any]) -> list[str]:
        """Candidates for going on after `code`; none where the runtime has no interpreter."""
        if self._argv is None:
            return []
        interpreter = await self._live_interpreter()
        return await interpreter.complete(code, options)

    async def restart(self) -> None:
        """End what runs, and the interpreter with its state."""
        if self._active is not None:
            self._active.cancel()
        if self._interpreter is not None:
            self._interpreter_scope.cancel()
            await self._interpreter_gone.wait()

    async def _query(self, run: Run) -> int:
        """Code for the interpreter, which keeps its state from run to run."""
        interpreter = await self._live_interpreter()
        if run.interrupted:
            return INTERRUPTED
        run.interrupt = interpreter.interrupt
        try:
            return await interpreter.execute(
                run.request.code,
                run.write,
                run.ask_line,
                run.ask_bytes,
                show_value=run.request.shows_value,
            )
        finally:
            run.interrupt = None

    async def _program(self, run: Run) -> int:
        """Code for a runtime without an interpreter: a program, built, run and thrown away."""
        work = self._host.work
        folder = Path(await trio.to_thread.run_sync(partial(mkdtemp, prefix=".query-", dir=work)))
        try:
            source = folder / query_file(self._runtime)
            code = run.request.code.encode("utf-8", "surrogateescape")
            await trio.to_thread.run_sync(source.write_bytes, code)
            steps = query_steps(self._runtime, folder.name)
            if steps.build is not None and (failed := await self._stage(run, steps.build, "pipe")):
                return failed
            return await self._stage(run, steps.run, _display(run))
        finally:
            with trio.CancelScope(shield=True):  # local disk: ends by itself
                await trio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))

    async def _batch(self, run: Run) -> int:
        """Clean, build and execute the files in the work folder."""
        options = run.request.batch_options()
        if options.clean not in (None, "*"):  # no runtime has a rule of its own for it
            code = await self._stage(run, ("/bin/sh", "-c", options.clean or ""), "pipe")
            run.stage_finished("clean-finished", code)
        command = build_argv(self._runtime, options.build, await self._files())
        if command is not None:
            code = await self._stage(run, command, "pipe", show_output=options.build_log)
            run.stage_finished("build-finished", code)
            if code != 0:
                return code
        command = exec_argv(self._runtime, options.exec, await self._files())
        return 0 if command is None else await self._stage(run, command, _display(run))

    async def _files(self) -> list[str]:
        return await trio.to_thread.run_sync(os.listdir, self._host.work)

    async def _stage(
        self,
        run: Run,
        command: Sequence[str],
        stdout: Literal["terminal", "pipe", "screen"],
        *,
        show_output: bool = True,
    ) -> int:
        """Run one program; returns its exit code."""

        async def write(kind: Literal["stdout", "stderr"], data: bytes) -> None:
            if show_output or kind == "stderr":
                await run.write(kind, data)

        if run.interrupted:
            return INTERRUPTED
        env = self.environ | ({"TERM": "xterm-256color"} if stdout == "screen" else {})
        async with self._host.open_child(
            command, env=env, cwd=self._host.work, stdout=stdout
        ) as child:
            run.interrupt = child.interrupt
            if stdout == "screen" and run.window is not None:
                run.resized = child.resize
                child.resize(*run.window)
            if run.interrupted:  # while it was being started
                child.interrupt()
            try:
                if not run.live:
                    return await child.run(write, run.ask_bytes)
                with one_error():
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_type, run.input, child)
                        # On a screen, the user sees for himself that a program waits.
                        ask = None if stdout == "screen" else run.ask_end
                        code = await child.run(write, ask)
                        nursery.cancel_scope.cancel()
                return code
            finally:
                run.interrupt = run.resized = None

    async def _live_interpreter(self) -> Interpreter:
        if self._interpreter is None or not self._interpreter.alive:
            if self._interpreter is not None:  # it has died: let go of what is left of it
                self._interpreter_scope.cancel()
                await self._interpreter_gone.wait()
            self._interpreter = await self._nursery.start(self._hold_interpreter)
        return self._interpreter

    async def _hold_interpreter(self, *, task_status: trio.TaskStatus[Interpreter]) -> None:
        self._interpreter_gone = trio.Event()
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
            self._interpreter_gone.set()


async def _type(typed: Input, child: Child) -> None:
    """Give a program its input as it comes, whether it waits for it or not."""
    while (data := await typed.some(_TYPE_BYTES, child.type_nowait)) is not None:
        await child.type(data)
    await child.type(None)


def _display(run: Run) -> Literal["terminal", "screen"]:
    """What a program of this run writes to."""
    return "terminal" if run.window is None else "screen"
