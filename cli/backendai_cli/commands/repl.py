"""`backend.ai repl`."""

from __future__ import annotations

import click

from ..console import Status
from ..options import (
    env_option,
    keep_option,
    keeps_kernel,
    local_option,
    mount_option,
    parse_pairs,
    quiet_option,
    stats_option,
    token_option,
)
from ..server import open_server

__all__ = ["command"]


@click.command("repl")
@click.argument("lang")
@token_option
@env_option
@mount_option
@stats_option
@quiet_option
@keep_option
@local_option
def command(
    lang: str,
    client_token: str | None,
    env: tuple[str, ...],
    mount: tuple[str, ...],
    stats: bool,
    quiet: bool,
    remove: bool | None,
    local: bool,
) -> int:
    """Run code interactively in a kernel of the runtime LANG.

    Enter runs complete code, and continues incomplete code on the next line. An empty line ends a
    block of Python, and a program in C and the like. Alt-Enter runs the code as it is. Tab
    completes. The arrow keys recall earlier code, also of earlier sessions. Ctrl-C interrupts the
    code that runs, or clears what was entered. Ctrl-D leaves.

    From a pipe or file, code is run without prompts: Python statement by statement, other languages
    as a whole. The first failure ends the command with its exit code.

    \b
    Examples:
      backend.ai repl python
      backend.ai repl lua -t lab1
      echo '6 * 7' | backend.ai repl -q python
    """
    environ = parse_pairs(env)
    status = Status(quiet=quiet)
    with open_server(status, local=local, lasting=bool(mount)) as config:
        # Imported here: a gateway loads in its process at the same time.
        import trio

        from backendai_trio import KernelSpec

        from ..repl.loop import Repl
        from ..run.kernel import KernelRequest

        request = KernelRequest(
            spec=KernelSpec(runtime=lang, environ=environ, mounts=mount),
            token=client_token,
            keep=keeps_kernel(remove, client_token),
            stats=stats,
        )
        return trio.run(Repl(request, config, status).run)
