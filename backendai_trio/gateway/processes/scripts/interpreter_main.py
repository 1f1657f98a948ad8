"""The program inside a kernel that runs Python or Lua code and keeps its state.

    python interpreter_main.py python CONTROL_FD    Python; CONTROL_FD is a socket to the gateway
    python interpreter_main.py lua CONTROL_FD       Lua, with lupa
    python interpreter_main.py lua-script FILE ...  runs FILE and ends, like a `lua` command

It imports only the standard library, lupa and the files of its folder, because it runs with the
user's files first on `sys.path`. The gateway sends marshalled messages, each after its length in 4
bytes (it runs on the same Python installation)::

    {"op": "execute", "run": 1, "code": "...", "show": false, "piped": false}
    {"op": "complete", "code": "...", "options": {...}}
    {"op": "answer", "id": 7, "text": "..."}    or "eof": true; or "stdin": true when the answer is
                                                to be read from descriptor 0

It gets lines of JSON, because it does not trust this process: ``started``, ``input`` (id,
password), ``input-over`` (id: no answer is needed any more), ``done`` (code) and ``completions``
(items). All except the last have a ``run``, and only numbers.

Output does not go over the socket. It is everything that arrives on descriptors 1 and 2, including
output of C extensions and child processes. Two pipes have no common order, so before one of the two
is written, the gateway gets the time to read the other (`wait_until_read`).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .interpreter_control import Control
    from .lua_interpreter import LuaInterpreter
    from .python_interpreter import PythonInterpreter
else:
    from interpreter_control import Control


def run_language(name: str, control_fd: int) -> None:
    """Run a language's interpreter until the gateway closes the socket."""
    language: PythonInterpreter | LuaInterpreter
    control = Control(control_fd)
    if name == "python":
        if not TYPE_CHECKING:
            from python_interpreter import PythonInterpreter
        hide_scripts()
        language = PythonInterpreter(control)
    else:
        if not TYPE_CHECKING:
            from lua_interpreter import LuaInterpreter
        hide_scripts()
        language = LuaInterpreter(control)
    serve(control, language)


def run_lua_script(arguments: list[str]) -> None:
    """Run a Lua program."""
    if TYPE_CHECKING:
        from .lua_interpreter import run_script
    else:
        from lua_interpreter import run_script
    hide_scripts()
    run_script(arguments)


def hide_scripts() -> None:
    """Remove this folder from the path: its files must not be importable for users' code."""
    del sys.path[0]


def serve(control: Control, language: PythonInterpreter | LuaInterpreter) -> None:
    """Handle the gateway's messages until it closes the socket."""
    while (message := control.next()) is not None:
        if message["op"] == "execute":
            show, piped = message["show"], message["piped"]
            language.execute(message["run"], message["code"], show, piped)
        elif message["op"] == "complete":
            text = message["options"].get("line") or message["code"]
            try:
                items = language.complete(text)
            except Exception:
                # A user's __dir__ or __getattr__ failed, with whatever it likes.
                items = []
            import json

            control.write(json.dumps({"ev": "completions", "items": items}))


if __name__ == "__main__":
    if sys.argv[1] == "lua-script":
        run_lua_script(sys.argv[2:])
    else:
        run_language(sys.argv[1], int(sys.argv[2]))
