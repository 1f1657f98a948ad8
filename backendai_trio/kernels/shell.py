"""Shell commands in a kernel, for tasks that its server has no request for."""

from __future__ import annotations

import secrets
import shlex

from ..errors import BackendError, ExecutionError, LocalProtocolError
from ..transport.client import Client
from ..wire.execution import BatchOptions, ExecuteRequest
from ..wire.run_events import Finished, InputRequest, Stderr, Stdout
from .execution import open_execution
from .lookup import kernel_info
from .run_streams import loses_batch_ends

__all__ = ["run_shell", "shell_word"]

_PYTHON_IMAGES = ("python", "pytorch", "tensorflow")


async def run_shell(client: Client, token: str, command: str) -> str:
    """Run a POSIX shell command in the work folder, after the code that runs there now.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        command: one or several lines.

    Returns:
        Its standard output.

    Raises:
        ExecutionError: the command failed, or the kernel has no shell; with its standard error.

    Cancellation:
        Interrupts the command.

    Endpoint: ``POST /session/{name}`` (docs/protocol.md, sections 4.1 and 4.7).
    """
    # Not every server reports the exit code of a run, so the command itself says that it succeeded.
    mark = f"backendai-done-{secrets.token_hex(8)}"
    first = await _first_request(client, token, f"( {command}\n) && echo {mark}")
    output: list[str] = []
    errors: list[str] = []
    async with open_execution(client, token, first) as run:
        async for event in run:
            match event:
                case Stdout(text):
                    output.append(text)
                case Stderr(text):
                    errors.append(text)
                case InputRequest():
                    await run.send_input(None)
    text = "".join(output).replace("\r\n", "\n")
    before, found, _ = text.rpartition(f"{mark}\n")
    if not found:
        code = run.outcome.exit_code if isinstance(run.outcome, Finished) else None
        reason = " ".join("".join(errors).split())
        if not reason:
            reason = "it gave no reason" if code is None else f"exit code {code}"
        raise ExecutionError(f"a command in the kernel failed: {reason}")
    return before


def shell_word(path: str) -> str:
    """A path, quoted as one word of the shell that is not taken for an option.

    Args:
        path: absolute, or relative to the work folder.

    Raises:
        LocalProtocolError: the path has a NUL character in it.
    """
    if "\0" in path:
        raise LocalProtocolError(f"{path!r} has a NUL character in it")
    return shlex.quote(path if path.startswith("/") else f"./{path}")


async def _first_request(client: Client, token: str, command: str) -> ExecuteRequest:
    """The request that runs a command, in the mode that is quickest on this server."""
    run_id = secrets.token_hex(8)
    # Elsewhere a batch run takes longer, since it waits for this client before it begins.
    if loses_batch_ends(client) and await _runs_python(client, token):
        return ExecuteRequest("query", run_id, _as_python(command))
    options = BatchOptions(build=None, exec=command)
    return ExecuteRequest("batch", run_id, "", options.as_json())


async def _runs_python(client: Client, token: str) -> bool:
    """Whether the kernel's image says that its query mode takes Python."""
    try:
        image = (await kernel_info(client, token)).runtime
    except BackendError:
        return False  # the command then fails with the same error, or runs as a batch
    name = image.rpartition("/")[2].partition(":")[0]
    return any(word in name for word in _PYTHON_IMAGES)


def _as_python(command: str) -> str:
    """An expression that runs a shell command and prints its output; it leaves no names behind."""
    arguments = ["sh", "-c", command]
    return (
        "(lambda done: print(done.stdout.decode('utf-8', 'replace'), end='') or print("
        "done.stderr.decode('utf-8', 'replace'), end='', file=__import__('sys').stderr))"
        f"(__import__('subprocess').run({arguments!r}, stdin=-3, stdout=-1, stderr=-1))"
    )
