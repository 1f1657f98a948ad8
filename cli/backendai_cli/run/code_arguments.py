"""The arguments of code that runs in a kernel's interpreter."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from backendai_trio import TrioKernel
from backendai_trio.errors import ExecutionError

from .. import exit_codes
from ..languages import language_of

__all__ = ["set_arguments"]


async def set_arguments(kernel: TrioKernel, runtime: str, arguments: Sequence[str]) -> str:
    """Set ``sys.argv`` as ``python -c`` does, for the code that runs next.

    Without arguments, too, where the kernel was there before: it has those of the code before.

    Args:
        kernel: of the code.
        runtime: runtime or image; nothing is done for those of other languages than Python.
        arguments: of the code.

    Returns:
        What the server has to say before the code runs, for standard error; ``""`` for nothing.

    Raises:
        ExecutionError: code that has run in the kernel keeps them from being set, or the kernel
            has no interpreter.
    """
    if language_of(runtime) != "python" or (kernel.created and not arguments):
        await trio.lowlevel.checkpoint()
        return ""
    result = await kernel.run(f"__import__('sys').argv[:] = {['-c', *arguments]!r}")
    if result["exitCode"] == exit_codes.NOT_FOUND and not result["console"]:
        raise ExecutionError(exit_codes.NO_INTERPRETER)
    if result["exitCode"]:
        raise ExecutionError(
            "the arguments of the code (sys.argv) cannot be set: earlier code has replaced the "
            "list; restart the kernel with 'backend.ai restart', or use another one"
        )
    return "".join(text for kind, text in result["console"] if kind == "stderr")
