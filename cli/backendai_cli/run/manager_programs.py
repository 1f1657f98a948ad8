"""What managers need to be told to run a program as our own gateway does.

Their kernels run the file called main, whatever was named, and give a program no standard input but
the answers to ``input()`` of Python (docs/protocol.md, sections 4.1 and 4.3). Kernels of 1.x do not
survive the end of code by ``sys.exit()`` (section 4.2).
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from backendai_trio import BatchOptions, Client
from backendai_trio.files import Upload

from ..keyboard import Stdin
from ..languages import interpreter_of, language_of, program_of

__all__ = [
    "command_for_input",
    "command_of_script",
    "guarded_code",
    "input_file",
    "reads_input",
]

_SOURCE_BYTES = 1 << 20
_READS_INPUT = re.compile(
    rb"\b(stdin|STDIN|fileinput|scanf|getchar|getline|fgets|cin|readline|readLine|readlines)\b"
    rb"|\bio\.(read|lines)\b|/dev/stdin|\bopen\(0\b|\bread\(0\b"
)
_COMPILED = frozenset({"c", "cpp"})
_EXITS = re.compile(r"\b(exit|quit|SystemExit)\b")
# It says what other kernels say, which the exit code is read from.
_GUARD = """\
try:
    exec(compile({code!r}, "<input>", "exec"), globals())
except SystemExit as _end:
    if _end.code not in (None, 0):
        print("An exception has occurred, use %tb to see the full traceback.\\n\\nSystemExit:",
              _end.code, file=__import__("sys").stderr)
"""


def guarded_code(code: str, runtime: str, client: Client) -> str:
    """The code, so that its ``sys.exit()`` does not end the interpreter of a kernel of 1.x.

    Args:
        code: to run in query mode.
        runtime: runtime or image.
        client: of the kernel's server.
    """
    if client.era.prefix and language_of(runtime) == "python" and _EXITS.search(code):
        return _GUARD.format(code=code)
    return code


def command_of_script(options: BatchOptions, runtime: str, names: Sequence[str]) -> BatchOptions:
    """The options, with the command for a single script that is not called main.

    Args:
        options: from the command line.
        runtime: runtime or image.
        names: of the files in the work folder.
    """
    script = program_of(runtime, names)
    if (options.build, options.exec) != ("*", "*") or not script or script.startswith("main."):
        return options
    return replace(options, build=None, exec=f"{interpreter_of(runtime)} {shlex.quote(script)}")


def reads_input(uploads: Sequence[Upload]) -> bool:
    """Whether one of the files speaks of reading standard input, other than with ``input()``."""
    for upload in uploads:
        if upload.is_folder or upload.link or upload.size > _SOURCE_BYTES:
            continue
        try:
            if _READS_INPUT.search(upload.path.read_bytes()):
                return True
        except OSError:
            pass  # it has been uploaded: what has become of it here does not matter
    return False


def command_for_input(
    options: BatchOptions, runtime: str, names: Sequence[str], input_name: str
) -> BatchOptions | None:
    """The options, with standard input from a file; None if the program's command is not known.

    Args:
        options: what is to be run.
        runtime: runtime or image.
        names: of the files in the work folder.
        input_name: of the file, in the work folder.
    """
    command = options.exec
    if command == "*":
        if language_of(runtime) in _COMPILED:
            command = "./main"
        elif script := program_of(runtime, names):
            command = f"{interpreter_of(runtime)} {shlex.quote(script)}"
        else:
            return None
    # With the variable, Python's `input()` would not read the file but ask the client.
    redirected = f"export _BACKEND_BATCH_MODE=0\n{{\n{command}\n}} <{shlex.quote(input_name)}"
    return replace(options, exec=redirected)


@asynccontextmanager
async def input_file(stdin: Stdin, name: str) -> AsyncIterator[Upload]:
    """All of standard input, as a file to upload.

    Args:
        stdin: a pipe or file; it is read to its end.
        name: of the file in the work folder.
    """
    with tempfile.NamedTemporaryFile() as file:
        size = 0
        while data := await stdin.read():
            size += file.write(data)
        file.flush()
        yield Upload(Path(file.name), name, size)
