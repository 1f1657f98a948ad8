"""`backend.ai run`: code or files, live, with the exit code of the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from ..console import Status
from ..copy_options import Selection, kernel_selection_options
from ..kernel_options import GroupedCommand, KernelOptions, kernel_options
from ..keyboard import Stdin, check_terminal, window_size
from ..languages import find_program, interpreter_of, language_of
from ..options import (
    keep_option,
    keeps_kernel,
    local_option,
    stats_option,
    token_option,
)
from ..parameters import STREAM, LocalPath, Stream
from ..run.media_options import MediaOptions, media_options
from ..run.program import (
    CommandLine,
    append_arguments,
    explain_missing_files,
    explain_unknown_option,
    read_code,
    split_command_line,
)
from ..run.sweep_options import SweepOptions, sweep_options
from ..runtime_argument import RUNTIME, WORDS
from ..server import open_server

if TYPE_CHECKING:
    from backendai_trio import BatchOptions, Case, Config
    from backendai_trio.files import Upload

__all__ = ["command"]


_COMMAND_LINE = "backendai_cli.run"
_SHOWN = 4
"""How many files an error names."""
_FILE = LocalPath(or_stream=True)


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
@click.argument("files", nargs=-1, type=_FILE)
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
    arguments = _Arguments.of(ctx.meta[_COMMAND_LINE], lang=lang, **parameters)
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


@dataclass(frozen=True, kw_only=True)
class _Arguments:
    """The command line, as click has parsed it."""

    lang: str
    files: tuple[Path, ...]
    program: str = ""
    """The name of the script that is run, in the work folder; empty for the runtime's choice."""
    words: tuple[str, ...] = ()
    """The arguments of the program."""
    by_name: bool = False
    """Whether the file was named in the way in which a program is named before its arguments."""
    client_token: str | None
    code: str | None
    build: str | None
    execute: str | None
    stats: bool
    quiet: bool
    remove: bool | None
    tty: bool
    selection: Selection
    local: bool
    enqueue_only: bool
    media: MediaOptions
    sweep: SweepOptions
    kernel: KernelOptions

    @classmethod
    def of(
        cls,
        line: CommandLine,
        *,
        files: tuple[Path | Stream, ...],
        code: str | None,
        **parameters: Any,
    ) -> Self:
        """Take the program's arguments from the command line, and code from standard input.

        Raises:
            click.UsageError: there is no code on standard input, or there are files beside it.
        """
        words, by_name = line.program, line.by_shebang
        if not files and code is None and words:
            # `run python -- script.py ARGS`
            files, words, by_name = (_FILE.convert(words[0], None, None),), words[1:], True
        if code is None and (files == (STREAM,) or (not files and not Stdin().is_terminal)):
            if Stdin().is_terminal:
                status = Status(quiet=parameters["quiet"])
                status.info("Reading the program from the terminal; Ctrl-D ends it.")
            files, code = (), read_code()
        paths = tuple(file for file in files if isinstance(file, Path))
        if len(paths) < len(files):
            raise click.UsageError("give either code on standard input (-) or files, not both")
        return cls(files=paths, code=code, words=tuple(words), by_name=by_name, **parameters)

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
        if self.code is not None and self.words and language_of(self.lang) != "python":
            raise click.UsageError(
                "only code of Python gets arguments; save the code in a file, and name that"
            )

    def missing_files(self) -> list[Path]:
        """Files behind the first one that do not exist, if that one does."""
        missing = [path for path in self.files if not os.path.lexists(path)]
        return [] if self.files[:1] == tuple(missing[:1]) else missing

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

    def plan_uploads(self, status: Status) -> list[Upload]:
        """The files to upload.

        Raises:
            UploadError: a file cannot be read.
        """
        if not self.files:
            return []
        uploads = self.selection.plan(self.files, base=None, recursive=True)
        self.selection.left_out.report(status)
        return uploads

    def with_program(self, uploads: list[Upload], status: Status) -> Self:
        """The arguments, with the program among the files; says which one it is.

        Raises:
            click.UsageError: it is undecided.
        """
        if self.execute is not None or not uploads:
            return self
        if not interpreter_of(self.lang):
            self._check_sources(uploads)
            return self
        named = {upload.path: upload.name for upload in uploads if not upload.is_folder}
        files = [named[path] for path in self.files if path in named]
        if self.by_name:
            return replace(self, program=files[-1])
        folders = {
            path.as_posix(): [upload.name for upload in uploads if upload.path.parent == path]
            for path in self.files
            if path not in named
        }
        program, candidates = find_program(self.lang, files, folders)
        if not self._joins and self.build is None:
            if not program and not candidates and len(files) == len(self.files) == 1:
                program = files[0]  # whatever it is called
            if not program:
                raise click.UsageError(self._question(candidates))
        if program and len(uploads) > 1:
            status.info(f"The program is {program}.")
        return replace(self, program=program)

    @property
    def _joins(self) -> bool:
        """Whether there may be other files in the kernel, and one called main among them."""
        return bool(self.client_token or self.kernel.mount)

    def _question(self, candidates: list[str]) -> str:
        """What to do where the program is undecided."""
        command = interpreter_of(self.lang)
        if not candidates:
            return (
                "which file is the program? None of them is a script of this runtime; "
                f"name the command that runs it, such as --exec '{command} FILE'"
            )
        shown = candidates[:_SHOWN] + ["another one"] * (len(candidates) > _SHOWN)
        return (
            f"which file is the program, {' or '.join(shown)}? Call it main"
            f"{Path(candidates[0]).suffix}, or name the command that runs it, such as "
            f"--exec '{command} {candidates[0]}'"
        )

    def _check_sources(self, uploads: list[Upload]) -> None:
        """Refuse sources that no build would find: those in folders only.

        Raises:
            click.UsageError: they are.
        """
        if self.build is not None or self._joins:
            return
        if all(upload.is_folder or "/" in upload.name for upload in uploads):
            folder = uploads[0].name.partition("/")[0]
            raise click.UsageError(
                f"only files in the work folder itself are built, and these are in {folder}. "
                f"Call this in {folder}, with the folder '.'; or name the commands that build and "
                f"run them, such as --build 'make -C {folder}' --exec {folder}/main"
            )

    def batch_options(self) -> BatchOptions:
        """The commands of the files, and what the program gets."""
        from backendai_trio import BatchOptions

        return BatchOptions(
            build=self.build or "*",
            exec=self.execute or "*",
            program=self.program,
            arguments=() if self.code is not None else self.words,
        )

    @property
    def code_arguments(self) -> tuple[str, ...]:
        """The arguments of the code, in query mode."""
        return self.words if self.code is not None else ()


def _run_once(arguments: _Arguments, uploads: list[Upload], config: Config, status: Status) -> int:
    # Imported here: a gateway loads in its process at the same time.
    import trio

    from ..run.kernel import KernelRequest
    from ..run.runner import Runner, RunRequest

    kernel = KernelRequest(
        spec=arguments.kernel.spec(arguments.lang, environ=arguments.environ),
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
    return trio.run(run_sweep, request, config, status)
