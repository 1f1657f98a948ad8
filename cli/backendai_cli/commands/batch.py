"""`backend.ai batch`: a command in a session of its own."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from backendai_trio import LocalProtocolError
from backendai_trio.kernels import BatchJob

from ..console import Status
from ..copy_options import Selection, kernel_selection_options
from ..kernel_options import GroupedCommand, KernelOptions, kernel_options
from ..options import local_option, new_token_option, quiet_option
from ..parameters import LocalPath
from ..runtime_argument import RUNTIME, WORDS
from ..server import configured_server, open_server
from ..termination import run_async
from ..usage_errors import no_such_option

__all__ = ["command"]

_COMMAND = "backendai_cli.batch"
_FORM = "write the command behind --: backend.ai batch LANG [FILES] -- COMMAND"


class _BatchCommand(GroupedCommand):
    """A command whose words behind ``--`` are a command line of their own."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "--", "COMMAND..."]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = [*args]
        if "--" in args:
            at = args.index("--")
            args, ctx.meta[_COMMAND] = args[:at], args[at + 1 :]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as exc:
            raise click.UsageError(f"{no_such_option(exc)}; {_FORM}", ctx) from None


@click.command("batch", cls=_BatchCommand)
@click.argument("lang", type=RUNTIME)
@click.argument("files", nargs=-1, type=LocalPath())
@new_token_option
@click.option(
    "--timeout",
    "--batch-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Let the server end the command after this time.",
)
@click.option(
    "--starts-at",
    metavar="TIME",
    default="",
    help="Do not start it before: a time in ISO 8601, or an offset such as 30m.",
)
@click.option(
    "--enqueue-only", is_flag=True, help="Leave it in the queue of the server, and print its token."
)
@quiet_option
@kernel_selection_options
@local_option
@kernel_options
@click.pass_context
def command(
    ctx: click.Context,
    lang: str,
    files: tuple[Path, ...],
    client_token: str | None,
    timeout: float | None,
    starts_at: str,
    enqueue_only: bool,
    quiet: bool,
    selection: Selection,
    local: bool,
    kernel: KernelOptions,
) -> int:
    """Run a COMMAND in a session of its own, which ends with it, and follow it to its result.

    FILES, and folders with all their content, are uploaded before the command begins. A single word
    behind -- is a line for the session's shell; several are a program and its arguments. The output
    goes to standard output, both streams as the server's log has them; the exit code is that of the
    command. There is no input. Ctrl-C ends the session.

    \b
    Examples:
      backend.ai batch python train.py lib -- python train.py --epochs 9
      backend.ai batch python -r cpu=8 -m data --timeout 3600 -- 'cd data && make'
      backend.ai batch python --enqueue-only -- python -c 'print(42)'

    \b
    Exit codes of this command itself:
      124  the command took longer than --timeout, or --max-wait is over
      125  wrong usage or settings, or no connection
      126  the server refused or failed
      127  there is no such runtime
      130  interrupted with Ctrl-C
    """
    words: list[str] = ctx.meta.get(_COMMAND, [])
    if not words:
        raise click.UsageError(_FORM)
    if enqueue_only and (files or local or kernel.max_wait is not None):
        raise click.UsageError(
            "--enqueue-only follows nothing: it goes with neither FILES, --local nor --max-wait; "
            "put files into a virtual folder (-m)"
        )
    line = words[0] if len(words) == 1 else shlex.join(words)
    spec = kernel.spec(lang)
    status = Status(quiet=quiet)
    if enqueue_only:
        from ..run.batch import enqueue_job

        config = configured_server("leave a batch session in the queue")
        return enqueue_job(config, spec, _job(line, timeout, starts_at), client_token, status)
    uploads = selection.plan(files, base=None, recursive=True) if files else []
    selection.left_out.report(status)
    with open_server(status, local=local, lasting=bool(spec.mounts)) as config:
        # Imported here: a gateway loads in its process at the same time.

        from ..run.batch import JobRequest, follow_job

        request = JobRequest(
            spec=spec,
            job=_job(line, timeout, starts_at),
            uploads=uploads,
            token=client_token,
            max_wait=kernel.max_wait,
        )
        return run_async(follow_job, request, config, status)


def _job(line: str, timeout: float | None, starts_at: str) -> BatchJob:
    try:
        return BatchJob(line, timeout, starts_at)
    except LocalProtocolError as exc:
        raise click.UsageError(str(exc)) from None
