"""Shell commands in a kernel, for what its server has no request for."""

from __future__ import annotations

import secrets

from ..errors import ExecutionError
from ..transport.client import Client
from ..wire.execution import BatchOptions, ExecuteRequest, Finished, InputRequest, Stderr, Stdout
from .execution import open_execution

__all__ = ["run_command"]


async def run_command(client: Client, token: str, command: str) -> str:
    """Run a line of POSIX shell in the work folder, as a batch run, after what runs there now.

    Returns:
        What it printed.

    Raises:
        ExecutionError: it failed, or the kernel has no shell; with what it said on standard error.

    Cancellation:
        Interrupts it.
    """
    # Not every server tells the exit code of a run, so the command itself says that it succeeded.
    done = f"backendai-done-{secrets.token_hex(8)}"
    options = BatchOptions(build=None, exec=f"( {command} ) && echo {done}")
    first = ExecuteRequest("batch", secrets.token_hex(8), "", options.as_json())
    said: list[str] = []
    complaints: list[str] = []
    async with open_execution(client, token, first) as run:
        async for event in run:
            match event:
                case Stdout(text):
                    said.append(text)
                case Stderr(text):
                    complaints.append(text)
                case InputRequest():
                    await run.send_input(None)
    output = "".join(said).replace("\r\n", "\n")
    before, mark, _ = output.rpartition(f"{done}\n")
    if not mark:
        code = run.outcome.exit_code if isinstance(run.outcome, Finished) else None
        reason = " ".join("".join(complaints).split()) or f"exit code {code}"
        raise ExecutionError(f"a command in the kernel failed: {reason}")
    return before
