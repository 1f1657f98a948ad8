"""`backend.ai run`: code or files, live, with the program's own exit code."""

from __future__ import annotations

import click

from ..console import Status, check_terminal, window_size
from ..options import (
    env_option,
    keep_option,
    local_option,
    mount_option,
    parse_pairs,
    stats_option,
    token_option,
)
from ..run.sweep_options import SweepOptions, sweep_options
from ..server import open_target

__all__ = ["command"]


@click.command("run", context_settings={"show_default": False})
@click.argument("lang")
@click.argument("files", nargs=-1, type=click.Path())
@token_option
@click.option("-c", "--code", metavar="CODE", help="The code to run.")
@click.option(
    "--build", metavar="CMD", help="Command that builds the files [default: the runtime's own]."
)
@click.option(
    "--exec", "execute", metavar="CMD", help="Command that runs them [default: the runtime's own]."
)
@env_option
@mount_option
@stats_option
@click.option("-q", "--quiet", is_flag=True, help="Show the program's output alone.")
@keep_option
@click.option("--tty", is_flag=True, help="Give the program this terminal, as for vim or top.")
@local_option
@sweep_options
def command(
    lang: str,
    files: tuple[str, ...],
    client_token: str | None,
    code: str | None,
    build: str | None,
    execute: str | None,
    env: tuple[str, ...],
    mount: tuple[str, ...],
    stats: bool,
    quiet: bool,
    remove: bool | None,
    tty: bool,
    local: bool,
    sweep: SweepOptions,
) -> int:
    """Run code or files in a kernel of the runtime LANG, one that 'backend.ai images' lists.

    Files are uploaded, built and executed. What the program prints goes to standard output and
    standard error, what it asks is read from standard input, and its exit code is that of this
    command. Ctrl-C interrupts the program; a second one ends the kernel.

    \b
    Examples:
      backend.ai run python3 -c "print('hello world')"
      backend.ai run c main.c mylib.c mylib.h
      backend.ai run python main.py -e DEBUG=1 --stats
      backend.ai run python -t lab1 -c "x = 1"
      backend.ai run python main.py --env-range SEED=range:0,20

    A sweep runs every combination of some values, each in a kernel of its own. A RANGE is
    NAME=case:a,b or NAME=range:start,stop,step or NAME=linspace:start,stop,n. $NAME stands for its
    value: of an --env-range in -e (where no -e has it, NAME is the variable), of a --build-range
    in --build, of an --exec-range in --exec. Each line of output has its case in front.

    \b
    Exit codes of its own:
      1    a case of a sweep failed
      124  the server ended the run because it took too long
      125  wrong usage or settings, or no connection
      126  the server refused or failed
      127  there is no such runtime
      130  interrupted with Ctrl-C
    """
    if code is None and not files:
        raise click.UsageError("nothing to run: give code with -c, or name files")
    if code is not None and files:
        raise click.UsageError("give either code with -c or files, not both")
    if code is not None and (build is not None or execute is not None):
        raise click.UsageError("--build and --exec go with files, not with -c")
    if tty:
        check_terminal()
    environ = parse_pairs(env)
    cases = sweep.cases(environ, build, execute)
    if cases is not None and (client_token is not None or tty or remove is False):
        raise click.UsageError("the kernels of a sweep are temporary: no -t, --tty or --keep")
    uploads = []
    if files:
        from backendai_trio.files import plan_uploads

        uploads = plan_uploads(files)
    status = Status(quiet=quiet)
    with open_target(status, local=local, lasting=bool(mount)) as config:
        # While the gateway loads, if there is one.
        import trio

        from backendai_trio import BatchOptions, KernelSpec

        if cases is not None:
            from ..run.sweep import SweepJob, run_sweep

            many = SweepJob(
                spec=KernelSpec(runtime=lang, environ={}, mounts=mount),
                code=code,
                uploads=uploads,
                cases=cases,
                max_parallel=sweep.parallel,
                fail_fast=bool(sweep.fail_fast),
                results=sweep.results,
                resume=sweep.resume,
                stats=stats,
            )
            return trio.run(run_sweep, many, config, status)
        from ..run.kernel import Wanted
        from ..run.runner import Job, Runner

        wanted = Wanted(
            spec=KernelSpec(runtime=lang, environ=environ, mounts=mount),
            token=client_token,
            keep=(client_token is not None) if remove is None else not remove,
            stats=stats,
        )
        job = Job(
            kernel=wanted,
            code=code,
            uploads=uploads,
            options=BatchOptions(build=build or "*", exec=execute or "*"),
            window=window_size() if tty else None,
        )
        return trio.run(Runner(job, config, status).run)
