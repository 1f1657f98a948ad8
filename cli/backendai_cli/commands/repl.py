"""`backend.ai repl`."""

from __future__ import annotations

import click

from ..console import Status
from ..kernel_options import GroupedCommand, KernelOptions, kernel_options
from ..options import (
    keep_option,
    keeps_kernel,
    local_option,
    quiet_option,
    stats_option,
    token_option,
)
from ..run.media_options import MediaOptions, media_options
from ..runtime_argument import RUNTIME
from ..server import open_server
from ..termination import run_async

__all__ = ["command"]


@click.command("repl", cls=GroupedCommand)
@click.argument("lang", type=RUNTIME)
@token_option
@stats_option
@quiet_option
@keep_option
@local_option
@media_options
@kernel_options
def command(
    lang: str,
    client_token: str | None,
    stats: bool,
    quiet: bool,
    remove: bool | None,
    local: bool,
    media: MediaOptions,
    kernel: KernelOptions,
) -> int:
    """Run code interactively in a kernel of the runtime LANG.

    Enter runs complete code, and continues incomplete code on the next line. An empty line ends a
    block of Python, and a program in C and the like. Alt-Enter runs the code as it is. Tab
    completes. The arrow keys recall earlier code, also of earlier sessions. Ctrl-C interrupts the
    code that runs, or clears what was entered. Ctrl-D leaves; on a new line of unfinished code, it
    runs the code as it is.

    From a pipe or file, code is run without prompts: Python statement by statement, other languages
    as a whole. The first failure ends the command with its exit code.

    \b
    Examples:
      backend.ai repl python
      backend.ai repl lua -t lab1
      echo '6 * 7' | backend.ai repl -q python
    """
    spec = kernel.spec(lang)
    status = Status(quiet=quiet)
    with open_server(status, local=local, lasting=bool(spec.mounts)) as config:
        # Imported here: a gateway loads in its process at the same time.

        from ..repl.loop import Repl
        from ..run.kernel import KernelRequest

        request = KernelRequest(
            spec=spec,
            token=client_token,
            reuse=not kernel.no_reuse,
            keep=keeps_kernel(remove, client_token),
            stats=stats,
            max_wait=kernel.max_wait,
        )
        return run_async(Repl(request, config, status, media).run)
