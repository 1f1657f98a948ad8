"""`backend.ai exec`."""

from __future__ import annotations

import shlex

import click

from ..console import Status, check_terminal, window_size
from ..server import configured_server

__all__ = ["command"]


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.argument("kernel", metavar="ID")
@click.argument("arguments", nargs=-1, required=True, metavar="COMMAND...", type=click.UNPROCESSED)
@click.option("--tty", is_flag=True, help="Give the command this terminal, as for vim or top.")
def command(kernel: str, arguments: tuple[str, ...], tty: bool) -> int:
    """Run a COMMAND in the work folder of the running kernel ID.

    ID is its token or session id, as 'backend.ai ps' shows them.

    Its output, questions and exit code are those of this command, as with 'run'. One argument is a
    line for the kernel's shell; several are a program and its arguments. Options of this command
    come before ID.

    \b
    Examples:
      backend.ai exec lab1 ls -l
      backend.ai exec lab1 -- python3 --version
      backend.ai exec lab1 'sort data.csv | uniq -c'
      backend.ai exec --tty lab1 vim notes.txt
    """
    if tty:
        check_terminal()
    config = configured_server("run a command in")

    import trio

    from backendai_trio import BatchOptions

    from ..run.runner import Job, Runner

    if arguments[0] == "--":  # as many are used to write
        arguments = arguments[1:]
    if not arguments:
        raise click.UsageError("nothing to run: name a command")
    line = arguments[0] if len(arguments) == 1 else shlex.join(arguments)
    job = Job(
        kernel=kernel,
        code=None,
        uploads=[],
        options=BatchOptions(build=None, exec=line),
        window=window_size() if tty else None,
    )
    return trio.run(Runner(job, config, Status(quiet=True)).run)
