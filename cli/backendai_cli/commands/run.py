"""`backend.ai run`: code or files, live, with the exit code of the program."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import Status
from ..kernel_options import GroupedCommand, KernelOptions, kernel_options
from ..keyboard import check_terminal, window_size
from ..languages import interpreter_of, undecided_programs
from ..options import (
    keep_option,
    keeps_kernel,
    local_option,
    stats_option,
    token_option,
)
from ..parameters import NAME, LocalPath
from ..run.media_options import MediaOptions, media_options
from ..run.sweep_options import SweepOptions, sweep_options
from ..server import open_server

if TYPE_CHECKING:
    from backendai_trio import Case, Config
    from backendai_trio.files import Upload

__all__ = ["command"]


@click.command("run", cls=GroupedCommand, context_settings={"show_default": False})
@click.argument("lang", type=NAME)
@click.argument("files", nargs=-1, type=LocalPath())
@token_option
@click.option("-c", "--code", metavar="CODE", help="The code to run.")
@click.option(
    "--build", metavar="CMD", help="Command that builds the files [default: of the runtime]."
)
@click.option(
    "--exec", "execute", metavar="CMD", help="Command that runs them [default: of the runtime]."
)
@stats_option
@click.option("-q", "--quiet", is_flag=True, help="Show only the output of the program.")
@keep_option
@click.option("--tty", is_flag=True, help="Connect the program to this terminal (vim, top).")
@local_option
@click.option("--enqueue-only", is_flag=True, hidden=True)  # the official client's
@media_options
@sweep_options
@kernel_options
def command(lang: str, **parameters: Any) -> int:
    """Run code or files in a kernel of the runtime LANG ('backend.ai images' lists runtimes).

    Files are uploaded, built and executed. Of several scripts, the one called main is run, or the
    one that --exec names. The output of the program goes to standard output and standard error, its
    input is standard input, and its exit code is that of this command. Ctrl-C interrupts the
    program; another one ends the kernel.

    \b
    Examples:
      backend.ai run python3 -c "print('hello world')"
      backend.ai run c main.c mylib.c mylib.h
      backend.ai run python train.py helper.py --exec 'python3 train.py'
      backend.ai run python main.py -e DEBUG=1 --stats
      backend.ai run python -t lab1 -c "x = 1"
      backend.ai run python main.py --env-range SEED=range:0,20

    A sweep runs every combination of some values, each in a kernel of its own. A RANGE is
    NAME=case:a,b or NAME=range:start,stop,step or NAME=linspace:start,stop,n. $NAME is replaced by
    the value: of an --env-range in -e (NAME is the variable if no -e uses it), of a --build-range
    in --build, of an --exec-range in --exec. Each line of output begins with its case.

    \b
    Exit codes of this command itself:
      1    a case of a sweep failed
      124  the server ended the run because it took too long, or --max-wait is over
      125  wrong usage or settings, or no connection
      126  the server refused or failed
      127  there is no such runtime
      130  interrupted with Ctrl-C
    """
    arguments = _Arguments(lang=lang, **parameters)
    arguments.check()
    cases = arguments.plan_cases()
    uploads = arguments.plan_uploads()
    status = Status(quiet=arguments.quiet)
    with open_server(status, local=arguments.local, lasting=bool(arguments.kernel.mount)) as config:
        if cases is not None:
            return _run_sweep(arguments, uploads, cases, config, status)
        return _run_once(arguments, uploads, config, status)


@dataclass(frozen=True, kw_only=True)
class _Arguments:
    """The command line, as click has parsed it."""

    lang: str
    files: tuple[Path, ...]
    client_token: str | None
    code: str | None
    build: str | None
    execute: str | None
    stats: bool
    quiet: bool
    remove: bool | None
    tty: bool
    local: bool
    enqueue_only: bool
    media: MediaOptions
    sweep: SweepOptions
    kernel: KernelOptions

    @property
    def environ(self) -> dict[str, str]:
        """Variables of the kernel. Programs that have no terminal of their own are told how wide
        the user's is, if that is where a temporary kernel's output goes."""
        if self.tty or self.client_token is not None or not sys.stdout.isatty():
            return self.kernel.environ
        rows, columns = window_size()
        return {"COLUMNS": str(columns), "LINES": str(rows)} | self.kernel.environ

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            click.UsageError: they do not.
        """
        if self.code is None and not self.files:
            raise click.UsageError("nothing to run: give code with -c, or name files")
        if self.code is not None and self.files:
            raise click.UsageError("give either code with -c or files, not both")
        if self.code is not None and (self.build is not None or self.execute is not None):
            raise click.UsageError("--build and --exec go with files, not with -c")
        if self.enqueue_only:
            raise click.UsageError(
                "run waits for its program. To leave a kernel in the queue: 'backend.ai create "
                "--enqueue-only'; to leave a program there: 'backend.ai batch --enqueue-only'"
            )
        if self.tty:
            check_terminal()
        # A kernel or a folder that exists may have a file called main.
        if (
            self.execute is None
            and self.build is None
            and not (self.client_token or self.kernel.mount)
        ):
            names = [path.as_posix() for path in self.files]
            if programs := undecided_programs(self.lang, names):
                raise click.UsageError(
                    f"which file is the program, {' or '.join(programs)}? Call it main"
                    f"{Path(programs[0]).suffix}, or name the command that runs it, such as "
                    f"--exec '{interpreter_of(self.lang)} {programs[0]}'"
                )

    def plan_cases(self) -> list[Case] | None:
        """The cases of a sweep; None for a single run.

        Raises:
            click.UsageError: an option does not go with a sweep.
        """
        cases = self.sweep.cases(self.kernel.environ, self.build, self.execute)
        if cases is not None and (
            self.client_token is not None or self.tty or self.remove is False
        ):
            raise click.UsageError("the kernels of a sweep are temporary: no -t, --tty or --keep")
        if cases is not None and self.kernel.max_wait is not None:
            raise click.UsageError("--max-wait is for one kernel, not for those of a sweep")
        return cases

    def plan_uploads(self) -> list[Upload]:
        """The files to upload.

        Raises:
            UploadError: a file cannot be read.
        """
        if not self.files:
            return []
        from backendai_trio.files import plan_uploads

        return plan_uploads(self.files)


def _run_once(arguments: _Arguments, uploads: list[Upload], config: Config, status: Status) -> int:
    # Imported here: a gateway loads in its process at the same time.
    import trio

    from backendai_trio import BatchOptions

    from ..run.kernel import KernelRequest
    from ..run.runner import Runner, RunRequest

    kernel = KernelRequest(
        spec=arguments.kernel.spec(arguments.lang, environ=arguments.environ),
        token=arguments.client_token,
        keep=keeps_kernel(arguments.remove, arguments.client_token),
        stats=arguments.stats,
        max_wait=arguments.kernel.max_wait,
    )
    request = RunRequest(
        kernel=kernel,
        code=arguments.code,
        uploads=uploads,
        options=BatchOptions(build=arguments.build or "*", exec=arguments.execute or "*"),
        window=window_size() if arguments.tty else None,
        media=arguments.media,
    )
    return trio.run(Runner(request, config, status).run)


def _run_sweep(
    arguments: _Arguments,
    uploads: list[Upload],
    cases: list[Case],
    config: Config,
    status: Status,
) -> int:
    import trio

    from ..run.sweep import SweepRequest, run_sweep

    request = SweepRequest(
        spec=arguments.kernel.spec(arguments.lang, environ={}),
        code=arguments.code,
        uploads=uploads,
        cases=cases,
        max_parallel=arguments.sweep.parallel,
        fail_fast=bool(arguments.sweep.fail_fast),
        results=arguments.sweep.results,
        resume=arguments.sweep.resume,
        stats=arguments.stats,
        media=arguments.media,
    )
    return trio.run(run_sweep, request, config, status)
