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

from backendai_trio import BatchOptions, Client, LocalProtocolError
from backendai_trio.files import Upload

from ..languages import command_of, language_of
from ..standard_input import Stdin

__all__ = [
    "any_source_has",
    "command_for_input",
    "command_of_program",
    "guarded_code",
    "input_file",
    "reads_input",
]

_SOURCE_BYTES = 1 << 20
_READS_INPUT = re.compile(
    rb"\b(stdin|STDIN|fileinput|scanf|getchar|getline|fgets|cin|readline|readLine|readlines)\b"
    rb"|\bio\.(read|lines)\b|/dev/stdin|\bopen\(0\b|\bread\(0\b"
)
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


def command_of_program(options: BatchOptions, runtime: str) -> BatchOptions:
    """The options, with a command in place of the program and its arguments.

    Args:
        options: from the command line.
        runtime: runtime or image.

    Raises:
        LocalProtocolError: there are arguments, and how the image runs its programs is not known.
    """
    program, arguments = options.program, options.arguments
    options = replace(options, program="", arguments=())
    if options.exec != "*" or (program in ("", "main.py") and not arguments):
        return options
    command = command_of(runtime, program)
    if not command:
        if not arguments:
            return options
        raise LocalProtocolError(
            f"how {runtime} runs its programs is not known here; name the command, "
            "and the arguments follow it: --exec CMD -- ARGS"
        )
    build = None if program and options.build == "*" else options.build
    return replace(options, build=build, exec=" ".join([command, *map(shlex.quote, arguments)]))


def reads_input(uploads: Sequence[Upload]) -> bool:
    """Whether one of the files speaks of reading standard input, other than with ``input()``."""
    return any_source_has(_READS_INPUT, uploads)


def any_source_has(pattern: re.Pattern[bytes], uploads: Sequence[Upload], suffix: str = "") -> bool:
    """Whether a pattern is found in one of the files that are small enough for a source. Blocks.

    Args:
        pattern: what to look for.
        uploads: the files; folders and links are left out.
        suffix: only files whose names end so.
    """
    for upload in uploads:
        is_file = not upload.is_folder and not upload.link
        if not is_file or upload.size > _SOURCE_BYTES or not upload.name.endswith(suffix):
            continue
        try:
            if pattern.search(upload.path.read_bytes()):
                return True
        except OSError:
            pass  # it has been uploaded: what has become of it here does not matter
    return False


def command_for_input(
    options: BatchOptions, runtime: str, program: str, input_name: str
) -> BatchOptions | None:
    """The options, with standard input from a file; None if the program's command is not known.

    Args:
        options: what is to be run, from `command_of_program`.
        runtime: runtime or image.
        program: the script that is the program; ``""`` for what the runtime builds.
        input_name: of the file, in the work folder.
    """
    command = options.exec
    if command == "*":
        command = command_of(runtime, program)
        if not command:
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
