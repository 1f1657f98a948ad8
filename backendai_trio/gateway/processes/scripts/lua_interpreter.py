"""Lua, with lupa (see `interpreter_main.py`)."""

from __future__ import annotations

import _thread
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    from .interpreter_control import Control, take_signals, wait_until_read
else:
    import _signal as signal

    from interpreter_control import take_signals, wait_until_read

FOLDER = __file__.rpartition("/")[0]


def lua_runtime() -> tuple[Any, str, type[Exception]]:
    """Make a Lua state (5.4 if it is available); returns it, the file of its library, and what it
    raises for errors of Lua."""
    import importlib

    for name in ("lupa.lua54", "lupa.lua55", "lupa"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        runtime = module.LuaRuntime(register_eval=False, register_builtins=False)
        # Lua code must not reach the Python around it.
        runtime.execute("python = nil package.loaded.python = nil")
        return runtime, module.__file__ or "", module.LuaError
    raise SystemExit("lua: the Python package lupa is not installed")


class LuaInterpreter:
    """A Lua state that is kept between runs."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.running = False
        self.interrupted = False
        self.lock = _thread.allocate_lock()
        runtime, library, self.lua_error = lua_runtime()
        self.set_hook: Callable[[bool], None] = lambda on: None
        with open(f"{FOLDER}/lua_driver.lua", "rb") as file:  # noqa: PTH123
            driver = file.read()
        self.driver = runtime.execute(
            driver, wait_until_read, lambda: self.interrupted, lambda: self.set_hook(False)
        )
        try:
            self.set_hook = self.find_hook(runtime, library)
        except (AttributeError, OSError, ValueError):
            self.driver.arm(True)  # this lupa hides Lua's symbols, so the hook is always on
        self.wakeup, wakeup_end = os.pipe()
        for end in (self.wakeup, wakeup_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, lambda number, frame: None)
        _thread.start_new_thread(self.watch, ())

    def find_hook(self, runtime: Any, library: str) -> Callable[[bool], None]:
        """A function that sets and removes Lua's count hook, from any thread.

        lua_sethook may be called asynchronously. The hook function is that of the debug library,
        which calls the Lua function that was last given to debug.sethook.
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

    def watch(self) -> None:
        """In a thread: stop the running code at each SIGINT.

        Python's signal handlers run in the main thread, which is inside Lua.
        """
        # The signal has to reach the main thread, so that a blocking read there ends.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        while True:
            select.select([self.wakeup], [], [])
            with self.lock:
                if take_signals(self.wakeup) and self.running:
                    self.interrupted = True
                    self.set_hook(True)

    def execute(self, run: int, source: str, show: bool, piped: bool) -> None:
        with self.lock:
            take_signals(self.wakeup)  # they were for the run before
            self.interrupted, self.running = False, True
        self.control.send("started", run=run)
        try:
            code = self.driver.run(source.encode("utf-8", "surrogateescape"), show)
        except self.lua_error:
            # The driver catches all errors of the code: this is the hook's, for an interrupt that
            # came when the driver was about to return.
            code = 130
        with self.lock:
            self.running = False
            self.set_hook(False)
        self.control.send("done", run=run, code=code)

    def complete(self, text: str) -> list[str]:
        return sorted(str(self.driver.complete(text)).splitlines())


def run_script(argv: list[str]) -> None:
    """Run a program as `lua FILE ARGUMENTS` does; SIGINT kills it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    runtime, _, _ = lua_runtime()
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
