"""Python, as interactive prompts run it (see `interpreter_main.py`)."""

from __future__ import annotations

import _ast
import _thread
import builtins
import gc
import io
import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    from .interpreter_control import Control
    from .python_stdio import Stdio
else:
    import _signal as signal

    from interpreter_control import Control
    from python_stdio import Stdio

CO_COROUTINE = 0x80
"""`inspect.CO_COROUTINE`; importing `inspect` takes 10 ms."""
FOLDER = __file__.rpartition("/")[0]
INPUT_NAME = "<input "
INTERRUPTED = 130


class LazyModule(types.ModuleType):
    """A standard module that is imported when it is first used; then `prepare` is called."""

    def __init__(self, name: str, prepare: Callable[[Any], None]) -> None:
        super().__init__(name)
        self.__dict__["_prepare"] = prepare
        sys.modules[name] = self

    def _load(self) -> types.ModuleType:
        if sys.modules[self.__name__] is self:
            del sys.modules[self.__name__]
            self._prepare(__import__(self.__name__))
        return sys.modules[self.__name__]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._load(), name, value)

    def __dir__(self) -> list[str]:
        return dir(self._load())


class PythonInterpreter:
    """A namespace that is kept between runs."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.stdio = Stdio()
        self.stdin = sys.stdin
        self.run = 0
        self.running = False
        self.interrupted = False
        self.input_lock = _thread.allocate_lock()
        self.last_input_id = 0
        self.flags = 0
        self.loop: Any = None
        """asyncio's event loop; None until code awaits outside of functions."""
        self.own_main = sys.modules["__main__"]  # without a reference its globals would be cleared
        self.module = types.ModuleType("__main__")
        self.module.__dict__.update(__builtins__=builtins, __annotations__={})
        sys.modules["__main__"] = self.module
        sys.path.insert(0, "")
        sys.argv = ["-c"]
        sys.stdout = sys.__stdout__ = self.stdio.out  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self.stdio.err  # type: ignore[misc]
        self.builtin_input, builtins.input = builtins.input, self.input
        self.sources: dict[str, tuple[int, None, list[str], str]] = {}
        LazyModule("getpass", self.prepare_getpass)
        LazyModule("linecache", self.prepare_linecache)
        # Event loops (asyncio, Trio) take over Ctrl-C only from Python's default handler.
        signal.default_int_handler = self.on_interrupt  # type: ignore[assignment]
        if "signal" in sys.modules:  # it has copies of what is in `_signal`
            sys.modules["signal"].default_int_handler = self.on_interrupt  # type: ignore[attr-defined]
        signal.signal(signal.SIGINT, self.on_interrupt)

    def prepare_getpass(self, module: Any) -> None:
        self.real_getpass, module.getpass = module.getpass, self.getpass

    def prepare_linecache(self, module: Any) -> None:
        module.cache.update(self.sources)
        self.sources = module.cache

    # -- interrupts ---------------------------------------------------------------------------

    def on_interrupt(self, number: int, frame: types.FrameType | None, /) -> None:
        """Raise in user code only: an interrupt that comes too late does nothing."""
        deferred = False
        while frame is not None:
            if frame.f_code in Control.UNINTERRUPTED:
                deferred = True
            elif frame.f_code is self.execute_code:
                self.interrupted = True  # user code is about to start, or has just ended
                return
            elif frame.f_code in self.USER_CODE:
                if not deferred:
                    raise KeyboardInterrupt
                self.control.interrupted = True
                return
            frame = frame.f_back

    def call(self, code: types.CodeType, in_loop: bool) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        if in_loop:
            self.run_in_loop(code)
        else:
            exec(code, self.module.__dict__)  # noqa: S102

    def run_in_loop(self, code: types.CodeType) -> None:
        """Run code in an event loop of asyncio, which is kept between runs.

        Not with `asyncio.Runner`: its first interrupt only cancels the task, which does not end a
        loop that never awaits.
        """
        import asyncio

        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)  # for code without `await`

        async def run() -> None:
            result = eval(code, self.module.__dict__)  # noqa: S307
            if code.co_flags & CO_COROUTINE:
                await result

        task = self.loop.create_task(run())
        try:
            self.loop.run_until_complete(task)
        finally:
            if not task.done():  # interrupted while the loop was idle
                task.cancel()
                self.loop.run_until_complete(asyncio.wait([task]))

    # -- running ------------------------------------------------------------------------------

    def execute(self, run: int, source: str, show: bool, piped: bool) -> None:
        self.run = run
        name = f"{INPUT_NAME}{run}>"
        lines = source_lines(source)
        # None marks an entry that never expires; tracebacks and `inspect` find the source in it.
        self.sources[name] = (len(source), None, lines, name)
        self.interrupted = self.control.interrupted = False
        self.running = True
        self.stdio.blocks.allow(piped)
        self.control.send("started", run=run)
        try:
            codes = self.compile(source, name, show)
            # Code before an `await` may need the event loop as well, for example to start tasks.
            in_loop = any(code.co_flags & CO_COROUTINE for code in codes)
            for code in codes:
                self.call(code, in_loop)
            status = 0
        except BaseException as exc:  # noqa: ASYNC103 (what ends the user's code is a result)
            status = self.report(exc)
        if status != INTERRUPTED:
            status = self.show_figures(at_prompt=show) or status
        with self.input_lock:
            self.running = False
        self.stdio.blocks.allow(False)
        self.stdio.flush()
        if not self.control.open:
            os._exit(status)  # a fork that user code made, which has returned from it
        if signal.getsignal(signal.SIGINT) != self.on_interrupt:
            signal.signal(signal.SIGINT, self.on_interrupt)
        self.control.send("done", run=run, code=status)

    execute_code = execute.__code__

    def compile(self, source: str, name: str, show: bool) -> list[types.CodeType]:
        """Code objects to run in order; with `show`, a last expression prints its value.

        Without garbage collections, which take half of the time of a long list of numbers.
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            return self.compile_parts(source, name, show)
        finally:
            if collects:
                gc.enable()

    def compile_parts(self, source: str, name: str, show: bool) -> list[types.CodeType]:
        last: list[_ast.stmt] = []
        first: str | _ast.Module = source
        if show:
            flags = self.flags | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | _ast.PyCF_ONLY_AST
            tree = first = compile(source, name, "exec", flags, dont_inherit=True)
            if tree.body and isinstance(tree.body[-1], _ast.Expr):
                last.append(tree.body.pop())
        flags = self.flags | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        codes = [compile(first, name, "exec", flags, dont_inherit=True)]
        # `from __future__` applies to later input, as at a prompt.
        self.flags |= codes[0].co_flags & FUTURE_FLAGS
        if last:
            shown = _ast.Interactive(last)
            flags = self.flags | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            codes.append(compile(shown, name, "single", flags, dont_inherit=True))
        return codes

    def show_figures(self, *, at_prompt: bool) -> int:
        """Show the figures of Matplotlib that are left open, as notebooks do; at a prompt, only in
        its interactive mode: a figure may be made by several inputs. Returns the exit code."""
        backend = sys.modules.get("backendai_matplotlib")
        if backend is None or not self.control.open:
            return 0
        try:
            self.call_show(backend, at_prompt)
        except BaseException as exc:  # noqa: ASYNC103 (user code may have put anything there)
            return self.report(exc)  # noqa: ASYNC104
        return 0

    def call_show(self, backend: Any, at_prompt: bool) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        if not at_prompt or backend.matplotlib.is_interactive():
            backend.show()

    USER_CODE = frozenset({call.__code__, call_show.__code__})

    def report(self, exc: BaseException) -> int:
        """Print the exception that ended user code; returns the exit code."""
        if isinstance(exc, SystemExit):
            if exc.code is None or isinstance(exc.code, int):
                return (exc.code or 0) & 0xFF
            self.write_error(f"{exc.code}\n")
            return 1
        trace = exc.__traceback__ = strip(exc.__traceback__)
        if sys.excepthook is not sys.__excepthook__:
            try:
                sys.excepthook(type(exc), exc, trace)
            except Exception as failure:
                exc = failure
        if sys.excepthook is sys.__excepthook__ or exc.__traceback__ is not trace:
            import traceback

            self.write_error("".join(traceback.format_exception(type(exc), exc, exc.__traceback__)))
        return INTERRUPTED if isinstance(exc, KeyboardInterrupt) else 1

    def write_error(self, text: str) -> None:
        try:
            sys.stdout.flush()
            sys.stderr.write(text)
        except Exception:  # user code may have replaced or closed either
            self.stdio.err.write(text)

    # -- input --------------------------------------------------------------------------------

    def input(self, prompt: object = "", /) -> str:
        """Read a line from the user of the kernel. Raises EOFError at the end of input."""
        if sys.stdin is not self.stdin or not self.control.open:
            return self.builtin_input(prompt)
        return self.ask(prompt, password=False)

    def getpass(self, prompt: str = "Password: ", stream: Any = None, **options: Any) -> str:
        """Read a line without echo. Raises EOFError at the end of input."""
        if not self.control.open:
            line: str = self.real_getpass(prompt, stream, **options)
            return line
        return self.ask(prompt, password=True)

    def ask(self, prompt: object, *, password: bool) -> str:
        sys.stdout.write(str(prompt))
        self.stdio.flush()
        with self.input_lock:
            if not self.running:
                raise EOFError("input is not available between two runs")
            self.last_input_id += 1
            ident = self.last_input_id
            self.control.send("input", run=self.run, id=ident, password=password)
            try:
                while (answer := self.control.receive()) is not None:
                    if answer.get("id") == ident:
                        break
                    if answer["op"] != "answer":
                        # The gateway has cancelled this run, and has sent the next message.
                        self.control.postponed.append(answer)
            except KeyboardInterrupt:
                self.control.send("input-over", run=self.run, id=ident)
                raise
        if answer is not None and answer.get("stdin") and sys.stdin is not None:
            line = sys.stdin.readline()
            if line:
                return line.removesuffix("\n")
        if answer is None or "text" not in answer:
            raise EOFError("EOF when reading a line")
        return str(answer["text"])

    # -- completion ---------------------------------------------------------------------------

    def complete(self, text: str) -> list[str]:
        """Complete the dotted name at the end of `text`, without calling functions."""
        import keyword
        import re

        dotted = re.search(r"[\w.]*$", text)
        path, _, start = (dotted[0] if dotted else "").rpartition(".")
        if not path:
            names = [*self.module.__dict__, *dir(builtins), *keyword.kwlist]
            return sorted({name for name in names if name.startswith(start)})
        first, *rest = path.split(".")
        found = self.module.__dict__.get(first, getattr(builtins, first, None))
        for name in rest:
            found = getattr(found, name, None)
        if found is None:
            return []
        return [
            f"{path}.{name}"
            for name in sorted(set(dir(found)))
            # As at a prompt, private names only after an underscore.
            if name.startswith(start) and (start.startswith("_") or not name.startswith("_"))
        ]


def source_lines(source: str) -> list[str]:
    """Lines as the compiler counts them, each with a newline, which `traceback` relies on.

    `str.splitlines` also splits at form feeds and other characters, after which each line number of
    a traceback would be that of another line.
    """
    lines = list(io.StringIO(source, newline=None))
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines


def strip(trace: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback without the interpreter's own frames at its beginning and end.

    User code begins with the first frame of an input. Before it are `call` and perhaps asyncio;
    after the end are `on_interrupt` or `ask`.
    """
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    names = [frame.tb_frame.f_code.co_filename for frame in frames]
    user = [index for index, name in enumerate(names) if not name.startswith(f"{FOLDER}/")]
    if not user:
        return None
    inputs = [index for index in user if names[index].startswith(INPUT_NAME)]
    frames[user[-1]].tb_next = None
    return frames[inputs[0] if inputs else user[0]]


def _future_flags() -> int:
    import __future__

    flags = 0
    for name in __future__.all_feature_names:
        flags |= getattr(__future__, name).compiler_flag
    return flags


FUTURE_FLAGS = _future_flags()
