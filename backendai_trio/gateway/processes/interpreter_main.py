"""The program inside a kernel that runs Python or Lua code and keeps its state.

    python runner.py python CONTROL_FD      Python; CONTROL_FD is a socket to the gateway
    python runner.py lua CONTROL_FD         Lua, by way of lupa
    python runner.py lua-script FILE ...    runs FILE and ends, like a `lua` command

Stands alone: it runs with the user's files first on sys.path and imports nothing of this package.
The gateway sends marshalled messages, each after its length in 4 bytes (it runs on the same Python
installation)::

    {"op": "execute", "run": 1, "code": "...", "show": false}
    {"op": "complete", "code": "...", "options": {...}}
    {"op": "answer", "id": 7, "text": "..."} or {"op": "answer", "id": 7, "eof": true} or, when
    the answer is to be read from descriptor 0, {"op": "answer", "id": 7, "stdin": true}

and gets JSON, a line each, since what comes from here is not to be trusted: ``started``, ``input``
(id, password), ``input-over`` (id: no answer is needed any more), ``done`` (code) and
``completions`` (items); all but the last carry their ``run``, and numbers only.

Output does not go over the socket: it is what arrives on descriptors 1 and 2, so that C extensions
and child processes are heard too. Two pipes have no common order, so before one of the two is
written, the other is given time to run empty (`wait_until_taken`).
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # The folder of this file: its other files must not be importable, or shadow the library.
    HERE: str = sys.path.pop(0)

import _ast
import _thread
import builtins
import fcntl
import io
import marshal
import os
import select
import termios
import time
import types

# Start-up counts: this much takes 25 ms, of which 20 are a bare interpreter's. With `typing`,
# `socket`, `json`, `threading` and what `Later` puts off it took 70.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any
else:
    import _signal as signal

#: A reader that does not take the other stream's output for so long has to live without the order.
ORDER_SECONDS = 1.0


def wait_until_taken(fd: int) -> None:
    """Wait until the pipe `fd` is empty, ORDER_SECONDS at most."""
    deadline = 0.0
    pause = 0.00005
    unread = bytearray(4)
    try:
        while fcntl.ioctl(fd, termios.FIONREAD, unread) == 0 and any(unread):
            now = time.monotonic()
            deadline = deadline or now + ORDER_SECONDS
            if now > deadline:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, 0.005)
    except OSError:
        pass  # redirected to something that is no pipe


class Control:
    """Our end of the socket.

    An interrupt may raise anywhere in user code, and user code gets here through input(). The
    functions named in `UNINTERRUPTED` are spared, so that no message is lost or torn; `receive`
    raises for them.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_inheritable(fd, False)
        self.received = b""
        self.open = True
        self.interrupted = False
        self.postponed: list[dict[str, Any]] = []
        self.wakeup, self.wakeup_end = os.pipe()
        for end in (self.wakeup, self.wakeup_end):
            os.set_blocking(end, False)
        # A fork has a copy of the socket, and must neither speak for us nor keep it open.
        os.register_at_fork(after_in_child=self.close)

    def close(self) -> None:
        if self.open:
            self.open = False
            os.close(self.fd)

    def send(self, ev: str, **numbers: int) -> None:
        fields = "".join(f', "{name}": {value:d}' for name, value in numbers.items())
        self.write(f'{{"ev": "{ev}"{fields}}}')

    def write(self, line: str) -> None:
        rest = line.encode() + b"\n" if self.open else b""
        while rest:
            rest = rest[os.write(self.fd, rest) :]

    def next(self) -> dict[str, Any] | None:
        """The next message in the order they were sent."""
        return self.postponed.pop(0) if self.postponed else self.receive()

    def receive(self) -> dict[str, Any] | None:
        """The next message to arrive; None when the gateway has closed the socket."""
        while (message := self.take()) is None and self.open:
            if self.interrupted:
                self.interrupted = False
                raise KeyboardInterrupt
            if self.wait():
                self.fill()
        return message

    def wait(self) -> bool:
        """Wait for something to read, or for a signal; whether there is something.

        A signal that comes just before `select` sleeps would not be noticed by it: Python runs
        handlers between its instructions. What it writes at once to a descriptor wakes it up.
        """
        try:
            others = signal.set_wakeup_fd(self.wakeup_end, warn_on_full_buffer=False)
        except ValueError:  # a thread, and signals are for the main one
            select.select([self.fd], [], [])
            return True
        try:
            # A handler may have run before.
            ready = [] if self.interrupted else select.select([self.fd, self.wakeup], [], [])[0]
        finally:
            signal.set_wakeup_fd(others)
        if self.wakeup in ready:
            signals = os.read(self.wakeup, 4096)
            if others >= 0:
                os.write(others, signals)  # an event loop that user code has left waiting
        return self.fd in ready

    def take(self) -> dict[str, Any] | None:
        end = 4 + int.from_bytes(self.received[:4], "little")
        if len(self.received) < max(4, end):
            return None
        message: dict[str, Any] = marshal.loads(self.received[4:end])  # noqa: S302 (ours)
        self.received = self.received[end:]
        return message

    def fill(self) -> None:
        data = os.read(self.fd, 1 << 16)
        if not data:
            self.close()
        # Appending to a long message again and again would be quadratic, but even 1 MiB of source
        # arrives in 16 pieces.
        self.received += data

    UNINTERRUPTED = frozenset({write.__code__, wait.__code__, take.__code__, fill.__code__})


class Later(types.ModuleType):
    """A standard module that is loaded when it is first used, and then prepared."""

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


class Stdio:
    """sys.stdout and sys.stderr: whole lines at once, in the order they are written."""

    def __init__(self) -> None:
        self.out = self.stream(1, "surrogateescape")
        self.err = self.stream(2, "backslashreplace")
        self.out.buffer.other = self.err  # type: ignore[attr-defined]
        self.err.buffer.other = self.out  # type: ignore[attr-defined]

    @staticmethod
    def stream(fd: int, errors: str) -> io.TextIOWrapper:
        # 10 MB in lines of 80 bytes take 0.9 s this way, 1.5 s written through (two writes a
        # print), and 0.45 s with a block buffer, which shows a loop's output only when it ends.
        stream: Any = io.TextIOWrapper(
            OrderedOutput(fd, "w", closefd=False),
            encoding="utf-8",
            errors=errors,
            newline="\n",
            line_buffering=True,
        )
        stream.mode = "w"
        wrapper: io.TextIOWrapper = stream
        return wrapper

    def flush(self) -> None:
        """Hand out what is still held back, by C libraries as well."""
        for stream in (sys.stdout, sys.stderr, self.out, self.err):
            try:
                stream.flush()
            except Exception:  # noqa: S110 (the user may have put anything there)
                pass
        # Only a process with foreign code can have something in C's buffers, and nearly all such
        # code (numpy, torch, ...) loads ctypes; importing it for nothing would cost 4 ms a run.
        if "ctypes" in sys.modules:
            sys.modules["ctypes"].CDLL(None).fflush(None)


class OrderedOutput(io.FileIO):
    """A descriptor that is written only when the other one has been read empty."""

    other: io.TextIOWrapper

    def write(self, data: Any, /) -> int:
        # FileIO may write a part (a signal came), and TextIOWrapper would not notice.
        if not self.other.closed:
            self.other.flush()
            wait_until_taken(self.other.fileno())
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += super().write(view[done:]) or 0
        return done


class Python:
    """One namespace, kept between runs."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.stdio = Stdio()
        self.stdin = sys.stdin
        self.run = 0
        self.running = False
        self.interrupted = False
        self.asking = _thread.allocate_lock()
        self.questions = 0
        self.flags = 0
        self.own_main = sys.modules["__main__"]  # dropping it would clear our globals
        self.module = types.ModuleType("__main__")
        self.module.__dict__.update(__builtins__=builtins, __annotations__={})
        sys.modules["__main__"] = self.module
        sys.path.insert(0, "")
        sys.argv = ["-c"]
        sys.stdout = sys.__stdout__ = self.stdio.out  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self.stdio.err  # type: ignore[misc]
        self.builtin_input, builtins.input = builtins.input, self.input
        self.sources: dict[str, tuple[int, None, list[str], str]] = {}
        Later("getpass", self.prepare_getpass)
        Later("linecache", self.prepare_linecache)
        # Event loops (asyncio, Trio) take over Ctrl-C only from Python's default handler.
        signal.default_int_handler = self.on_interrupt  # type: ignore[assignment]
        if "signal" in sys.modules:  # which has copies of what is in `_signal`
            sys.modules["signal"].default_int_handler = self.on_interrupt  # type: ignore[attr-defined]
        signal.signal(signal.SIGINT, self.on_interrupt)

    def prepare_getpass(self, module: Any) -> None:
        self.real_getpass, module.getpass = module.getpass, self.getpass

    def prepare_linecache(self, module: Any) -> None:
        module.cache.update(self.sources)
        self.sources = module.cache

    # -- interrupts ---------------------------------------------------------------------------

    def on_interrupt(self, number: int, frame: types.FrameType | None, /) -> None:
        """Raise in user code, and nowhere else: an interrupt that comes late hits no one."""
        put_off = False
        while frame is not None:
            if frame.f_code in Control.UNINTERRUPTED:
                put_off = True
            elif frame.f_code is self.execute_code:
                self.interrupted = True  # user code is about to begin, or has just ended
                return
            elif frame.f_code is self.call_code:
                if not put_off:
                    raise KeyboardInterrupt
                self.control.interrupted = True
                return
            frame = frame.f_back

    def call(self, code: types.CodeType) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        exec(code, self.module.__dict__)  # noqa: S102

    call_code = call.__code__

    # -- running ------------------------------------------------------------------------------

    def execute(self, run: int, source: str, show: bool) -> None:
        self.run = run
        name = f"<input {run}>"
        lines = source.splitlines(keepends=True)
        # No time marks an entry that never expires: tracebacks and `inspect` find the source.
        self.sources[name] = (len(source), None, lines, name)
        self.interrupted = self.control.interrupted = False
        self.running = True
        self.control.send("started", run=run)
        try:
            for code in self.compile(source, name, show):
                self.call(code)
            status = 0
        except BaseException as exc:  # noqa: ASYNC103 (what ends the user's code is a result)
            status = self.report(exc)
        with self.asking:
            self.running = False
        self.stdio.flush()
        if not self.control.open:
            os._exit(status)  # a fork that came out of the user's code: its work is done
        if signal.getsignal(signal.SIGINT) is not self.on_interrupt:
            signal.signal(signal.SIGINT, self.on_interrupt)
        self.control.send("done", run=run, code=status)

    execute_code = execute.__code__

    def compile(self, source: str, name: str, show: bool) -> list[types.CodeType]:
        """What to run one after the other; with `show`, a final expression prints its value."""
        last: list[_ast.stmt] = []
        first: str | _ast.Module = source
        if show:
            flags = self.flags | _ast.PyCF_ONLY_AST
            tree = first = compile(source, name, "exec", flags, dont_inherit=True)
            if tree.body and isinstance(tree.body[-1], _ast.Expr):
                last.append(tree.body.pop())
        codes = [compile(first, name, "exec", self.flags, dont_inherit=True)]
        # `from __future__` holds for later input, as at a prompt.
        self.flags |= codes[0].co_flags & FUTURE_FLAGS
        if last:
            shown = _ast.Interactive(last)
            codes.append(compile(shown, name, "single", self.flags, dont_inherit=True))
        return codes

    def report(self, exc: BaseException) -> int:
        """Print what ended the user's code, without our own frames; returns the exit code."""
        if isinstance(exc, SystemExit):
            if exc.code is None or isinstance(exc.code, int):
                return (exc.code or 0) & 0xFF
            self.complain(f"{exc.code}\n")
            return 1
        trace = exc.__traceback__ = strip(exc.__traceback__)
        if sys.excepthook is not sys.__excepthook__:
            try:
                sys.excepthook(type(exc), exc, trace)
            except Exception as failure:
                exc = failure
        if sys.excepthook is sys.__excepthook__ or exc.__traceback__ is not trace:
            import traceback

            self.complain("".join(traceback.format_exception(type(exc), exc, exc.__traceback__)))
        return 130 if isinstance(exc, KeyboardInterrupt) else 1

    def complain(self, text: str) -> None:
        try:
            sys.stdout.flush()
            sys.stderr.write(text)
        except Exception:  # user code may have replaced or closed either
            self.stdio.err.write(text)

    # -- questions ----------------------------------------------------------------------------

    def input(self, prompt: object = "", /) -> str:
        """Read a line from whoever runs this kernel. Raises EOFError at the end of input."""
        if sys.stdin is not self.stdin or not self.control.open:
            return self.builtin_input(prompt)
        return self.ask(prompt, password=False)

    def getpass(self, prompt: str = "Password: ", stream: Any = None, **options: Any) -> str:
        """Read a line that is not shown. Raises EOFError at the end of input."""
        if not self.control.open:
            line: str = self.real_getpass(prompt, stream, **options)
            return line
        return self.ask(prompt, password=True)

    def ask(self, prompt: object, *, password: bool) -> str:
        sys.stdout.write(str(prompt))
        self.stdio.flush()
        with self.asking:
            if not self.running:
                raise EOFError("nobody is there to answer while no code runs")
            self.questions += 1
            ident = self.questions
            self.control.send("input", run=self.run, id=ident, password=password)
            try:
                while (answer := self.control.receive()) is not None:
                    if answer.get("id") == ident:
                        break
                    if answer["op"] != "answer":
                        # The gateway has given up on this run and is ahead of us.
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
        """Names that go on from the dotted name at the end of `text`; calls no functions."""
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
            # As a prompt does: private names only when asked for.
            if name.startswith(start) and (start.startswith("_") or not name.startswith("_"))
        ]


def strip(trace: types.TracebackType | None) -> types.TracebackType | None:
    """`trace` without our frames at its beginning (`call`) and end (`on_interrupt`, `ask`)."""
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    theirs = [i for i, frame in enumerate(frames) if frame.tb_frame.f_code.co_filename != __file__]
    if not theirs:
        return None
    frames[theirs[-1]].tb_next = None
    return frames[theirs[0]]


def _future_flags() -> int:
    import __future__

    flags = 0
    for name in __future__.all_feature_names:
        flags |= getattr(__future__, name).compiler_flag
    return flags


FUTURE_FLAGS = _future_flags()


def lua_runtime() -> tuple[Any, str]:
    """A Lua state (5.4 if there is one) and the file of the library it is in."""
    import importlib

    for name in ("lupa.lua54", "lupa.lua55", "lupa"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        runtime = module.LuaRuntime(register_eval=False, register_builtins=False)
        # Lua code has no business in the Python that carries it.
        runtime.execute("python = nil package.loaded.python = nil")
        return runtime, module.__file__ or ""
    raise SystemExit("lua: the Python package lupa is not installed")


class Lua:
    """One Lua state, kept between runs."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.running = False
        self.interrupted = False
        self.lock = _thread.allocate_lock()
        runtime, library = lua_runtime()
        self.set_hook: Callable[[bool], None] = lambda on: None
        with open(f"{HERE}/lua_driver.lua", "rb") as file:  # noqa: PTH123
            driver = file.read()
        self.driver = runtime.execute(
            driver, wait_until_taken, lambda: self.interrupted, lambda: self.set_hook(False)
        )
        try:
            self.set_hook = self.find_hook(runtime, library)
        except (AttributeError, OSError, ValueError):
            self.driver.arm(True)  # a lupa that hides Lua's symbols: a hook all the time
        wakeup, wakeup_end = os.pipe()
        os.set_blocking(wakeup_end, False)
        signal.set_wakeup_fd(wakeup_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, lambda number, frame: None)
        _thread.start_new_thread(self.watch, (wakeup,))

    def find_hook(self, runtime: Any, library: str) -> Callable[[bool], None]:
        """A function that sets and removes Lua's count hook from any thread, at once.

        lua_sethook is made for that ("can be called asynchronously", says lua.h). The hook function
        is the debug library's own, which calls the Lua function last given to debug.sethook.
        """
        import ctypes

        lua = ctypes.CDLL(library)
        address = runtime.eval("tostring(coroutine.running())").split("0x")[1]
        state = ctypes.c_void_p(int(address, 16))
        lua.lua_gethook.restype = ctypes.c_void_p
        self.driver.arm(False)
        hook = ctypes.c_void_p(lua.lua_gethook(state))
        count_mask = 1 << 3  # LUA_MASKCOUNT

        def set_hook(on: bool) -> None:
            lua.lua_sethook(state, hook if on else None, count_mask if on else 0, 1 if on else 0)

        set_hook(False)
        return set_hook

    def watch(self, wakeup: int) -> None:
        """In a thread of its own: stop the running code at each SIGINT.

        Python's handlers run in the main thread, which is deep in Lua.
        """
        # The signal has to hit the main thread, so that a blocking read there ends.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        while os.read(wakeup, 1):
            with self.lock:
                if self.running:
                    self.interrupted = True
                    self.set_hook(True)

    def execute(self, run: int, source: str, show: bool) -> None:
        with self.lock:
            self.interrupted, self.running = False, True
        self.control.send("started", run=run)
        try:
            code = self.driver.run(source.encode("utf-8", "surrogateescape"), show)
        except Exception:
            code = 130  # the interrupt came as the driver was about to return
        with self.lock:
            self.running = False
            self.set_hook(False)
        self.control.send("done", run=run, code=code)

    def complete(self, text: str) -> list[str]:
        return sorted(str(self.driver.complete(text)).splitlines())


def run_lua_script(argv: list[str]) -> None:
    """What `lua FILE ARGUMENTS` does; an interrupt ends it by the signal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    runtime, _ = lua_runtime()
    script = r"""
    arg = { [0] = ... }
    for i = 2, select("#", ...) do arg[i - 1] = select(i, ...) end
    local chunk, problem = loadfile(arg[0])
    local ok = false
    local function explain(e) return debug.traceback(tostring(e), 2) end
    if chunk then ok, problem = xpcall(chunk, explain, select(2, ...)) end
    if not ok then io.stderr:write("lua: ", problem, "\n") end
    os.exit(ok, true)
    """
    runtime.execute(script, *argv)


def serve(control: Control, language: Python | Lua) -> None:
    """Do what the gateway asks until it closes the socket."""
    while (message := control.next()) is not None:
        if message["op"] == "execute":
            language.execute(message["run"], message["code"], message["show"])
        elif message["op"] == "complete":
            text = message["options"].get("line") or message["code"]
            try:
                items = language.complete(text)
            except Exception:
                items = []  # a user's __dir__ or __getattr__ failed
            import json

            control.write(json.dumps({"ev": "completions", "items": items}))


if __name__ == "__main__":
    if sys.argv[1] == "lua-script":
        run_lua_script(sys.argv[2:])
    else:
        connection = Control(int(sys.argv[2]))
        serve(connection, Python(connection) if sys.argv[1] == "python" else Lua(connection))
