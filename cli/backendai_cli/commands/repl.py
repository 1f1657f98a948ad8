"""`backend.ai repl`."""

from __future__ import annotations

import click

from ..console import Status
from ..options import (
    env_option,
    keep_option,
    local_option,
    mount_option,
    parse_pairs,
    quiet_option,
    stats_option,
    token_option,
)
from ..server import open_target

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
    """Type code for a kernel of the runtime LANG, piece by piece, and see what it does.

    Unfinished code asks for more lines; an empty line ends blocks of Python, and programs in C and
    the like. Alt-Enter runs what is there as it is. Tab completes, the arrow keys bring back
    earlier pieces, also those of other days. Ctrl-C interrupts code that runs, and clears what was
    typed. Ctrl-D leaves.

    From a pipe or file pieces are read without prompts, and the first one that fails ends it with
    its exit code. A piece of Python is a statement; in other languages it is all there is.

    \b
    Examples:
      backend.ai repl python
      backend.ai repl lua -t lab1
      echo '6 * 7' | backend.ai repl -q python
    """
    environ = parse_pairs(env)
    status = Status(quiet=quiet)
    with open_target(status, local=local, lasting=bool(mount)) as config:
        # While the gateway loads, if there is one.
        import trio

        from backendai_trio import KernelSpec

        from ..repl.loop import ReadEval
        from ..run.kernel import Wanted

        wanted = Wanted(
            spec=KernelSpec(runtime=lang, environ=environ, mounts=mount),
            token=client_token,
            keep=(client_token is not None) if remove is None else not remove,
            stats=stats,
        )
        return trio.run(ReadEval(wanted, config, status).run)
