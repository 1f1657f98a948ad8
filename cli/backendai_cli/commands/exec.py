"""`backend.ai exec`."""

from __future__ import annotations

import shlex

import click

from ..console import Status
from ..keyboard import check_terminal, window_size
from ..parameters import NAME
from ..run.media_options import MediaOptions, media_options
from ..server import configured_server
from ..termination import run_async

__all__ = ["command"]


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.argument("kernel", metavar="ID", type=NAME)
@click.argument("arguments", nargs=-1, required=True, metavar="COMMAND...", type=click.UNPROCESSED)
@click.option("--tty", is_flag=True, help="Connect the command to this terminal (vim, top).")
@media_options
def command(kernel: str, arguments: tuple[str, ...], tty: bool, media: MediaOptions) -> int:
    """Run a COMMAND in the work folder of the running kernel ID.

    ID is its token or session id ('backend.ai ps'). A single argument is a line for the kernel's
    shell; several are a program and its arguments. Output, input and exit code are those of the
    command, as with 'run'. Options go before ID.

    \b
    Examples:
      backend.ai exec lab1 ls -l
      backend.ai exec lab1 -- python3 --version
      backend.ai exec lab1 'sort data.csv | uniq -c'
      backend.ai exec --tty lab1 vim notes.txt
    """
    if tty:
        check_terminal("--tty")
    config = configured_server(f"run a command in the kernel {kernel}")

    from backendai_trio import BatchOptions

    from ..run.runner import Runner, RunRequest

    if arguments[0] == "--":  # usual, and not needed
        arguments = arguments[1:]
    if not arguments:
        raise click.UsageError("nothing to run: give a command after the kernel's ID")
    line = arguments[0] if len(arguments) == 1 else shlex.join(arguments)
    request = RunRequest(
        kernel=kernel,
        code=None,
        uploads=[],
        options=BatchOptions(build=None, exec=line),
        window=window_size() if tty else None,
        media=media,
    )
    return run_async(Runner(request, config, Status(quiet=True)).run)
