"""`backend.ai run`: code or files, live, with the exit code of the program."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import click

from ..console import Status
from ..copy_options import kernel_selection_options
from ..kernel_options import GroupedCommand, kernel_options
from ..keyboard import window_size
from ..options import (
    keep_option,
    keeps_kernel,
    local_option,
    stats_option,
    token_option,
)
from ..run.arguments import FILE, RunArguments
from ..run.media_options import media_options
from ..run.program import (
    append_arguments,
    explain_missing_files,
    explain_unknown_option,
    split_command_line,
)
from ..run.sweep_options import sweep_options
from ..runtime_argument import RUNTIME, WORDS
from ..server import open_server
from ..termination import run_async

if TYPE_CHECKING:
    from backendai_trio import Case, Config
    from backendai_trio.files import Upload

__all__ = ["command"]

_COMMAND_LINE = "backendai_cli.run"


class RunCommand(GroupedCommand):
    """A command whose words behind ``--`` are the arguments of the program."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Add them to the usage."""
        return [*super().collect_usage_pieces(ctx), "[-- ARGS...]"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take them from the words that click parses."""
        ctx.meta[WORDS] = args
        line = ctx.meta[_COMMAND_LINE] = split_command_line(args, self.first_file(ctx, args))
        try:
            return super().parse_args(ctx, [*line.own])
        except click.NoSuchOption as exc:
            raise explain_unknown_option(exc, line, ctx) from None

    def first_file(self, ctx: click.Context, words: Sequence[str]) -> int | None:
        """Index of the first word that names a file; None if there is none, or before it is an
        option that the command does not have."""
        only_options = copy(self)
        only_options.params = [item for item in self.params if isinstance(item, click.Option)]
        parser = only_options.make_parser(ctx)
        parser.allow_interspersed_args = False  # it stops at what is no option
        arguments_before = len(self.params) - len(only_options.params) - 1
        skipped = 0
        for _ in range(arguments_before + 1):
            rest = [*words[skipped:]]
            try:
                _, rest, _ = parser.parse_args(rest)
            except click.UsageError:  # raised again where all words are parsed
                return None
            if not rest:
                return None
            skipped = len(words) - len(rest) + 1
        return skipped - 1


@click.command("run", cls=RunCommand, context_settings={"show_default": False})
@click.argument("lang", type=RUNTIME)
@click.argument("files", nargs=-1, type=FILE)
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
@kernel_selection_options
@local_option
@click.option("--enqueue-only", is_flag=True, hidden=True)  # the official client's
@media_options
@sweep_options
@kernel_options
@click.pass_context
def command(ctx: click.Context, /, lang: str, **parameters: Any) -> int:
    """Run code or files in a kernel of the runtime LANG ('backend.ai images' lists runtimes).

    Files, and folders with all their content, are uploaded, built and executed. Of several scripts,
    the one called main is run, or the one that --exec names; scripts that are named come before
    those of folders. ARGS are the arguments of the program. With - in place of files, or with none,
    the code is read from standard input.

    The output of the program goes to standard output and standard error, its input is standard
    input, and its exit code is that of this command. Ctrl-C interrupts the program; another one
    ends the kernel.

    A script that begins with the line #!/usr/bin/env -S backend.ai run python can be called by its
    name, with arguments.

    \b
    Examples:
      backend.ai run python3 -c "print('hello world')"
      backend.ai run c main.c mylib.c mylib.h
      backend.ai run python train.py helper.py --exec 'python3 train.py'
      backend.ai run python main.py data -- --epochs 9
      backend.ai run python - < main.py
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
    arguments = RunArguments.of(ctx.meta[_COMMAND_LINE], lang=lang, **parameters)
    arguments.check()
    if missing := arguments.missing_files():
        raise explain_missing_files(missing, ctx.meta[_COMMAND_LINE], ctx)
    cases = arguments.plan_cases()
    status = Status(quiet=arguments.quiet)
    uploads = arguments.plan_uploads(status)
    arguments = arguments.with_program(uploads, status)
    with open_server(status, local=arguments.local, lasting=bool(arguments.kernel.mount)) as config:
        if cases is not None:
            return _run_sweep(arguments, uploads, cases, config, status)
        return _run_once(arguments, uploads, config, status)


def _run_once(
    arguments: RunArguments, uploads: list[Upload], config: Config, status: Status
) -> int:
    # Imported here: a gateway loads in its process at the same time.

    from ..run.kernel import KernelRequest
    from ..run.runner import Runner, RunRequest

    kernel = KernelRequest(
        spec=arguments.kernel.spec(arguments.lang),
        token=arguments.client_token,
        reuse=not arguments.kernel.no_reuse,
        keep=keeps_kernel(arguments.remove, arguments.client_token),
        stats=arguments.stats,
        max_wait=arguments.kernel.max_wait,
    )
    request = RunRequest(
        kernel=kernel,
        code=arguments.code,
        uploads=uploads,
        options=append_arguments(arguments.batch_options()),
        arguments=arguments.code_arguments,
        size=arguments.size,
        window=window_size() if arguments.tty else None,
        media=arguments.media,
    )
    return run_async(Runner(request, config, status).run)


def _run_sweep(
    arguments: RunArguments,
    uploads: list[Upload],
    cases: list[Case],
    config: Config,
    status: Status,
) -> int:

    from ..run.sweep import SweepRequest, run_sweep

    request = SweepRequest(
        spec=arguments.kernel.spec(arguments.lang, environ={}),
        code=arguments.code,
        uploads=uploads,
        options=arguments.batch_options(),
        arguments=arguments.code_arguments,
        cases=cases,
        max_parallel=arguments.sweep.parallel,
        fail_fast=bool(arguments.sweep.fail_fast),
        results=arguments.sweep.results,
        resume=arguments.sweep.resume,
        stats=arguments.stats,
        media=arguments.media,
    )
    return run_sweep(request, config, status)
