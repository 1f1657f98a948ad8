"""Commands for a kernel that stays: `create`, `info`, `restart`, `interrupt`, `rename` and
`complete`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import click

from backendai_trio import attach_kernel

from ..console import Status, printable
from ..images import suggesting_images
from ..kernel_options import GroupedCommand, KernelOptions, kernel_options
from ..options import new_token_option, quiet_option
from ..parameters import NAME
from ..runtime_argument import RUNTIME
from ..server import call_kernel, call_server, configured_server
from ..tables import amount, show_record

if TYPE_CHECKING:
    from backendai_trio import Client, TrioKernel

__all__ = ["complete", "create", "info", "interrupt", "rename", "restart"]

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command("create", cls=GroupedCommand)
@click.argument("lang", type=RUNTIME)
@new_token_option
@click.option(
    "--type",
    "kind",
    type=click.Choice(["interactive", "batch"]),
    default="interactive",
    help="Type of the session; a batch session runs a command and ends with it ('backend.ai batch' "
    "follows it).",
)
@click.option("-c", "--startup-command", metavar="COMMAND", help="What a batch session runs.")
@click.option(
    "--enqueue-only", is_flag=True, help="Do not wait for it: leave it in the queue of the server."
)
@quiet_option
@_json_option
@kernel_options
def create(
    lang: str,
    client_token: str | None,
    kind: Literal["interactive", "batch"],
    startup_command: str | None,
    enqueue_only: bool,
    quiet: bool,
    as_json: bool,
    kernel: KernelOptions,
) -> None:
    """Create a kernel of the runtime LANG that stays, and print its token.

    'backend.ai images' lists runtimes. If a kernel with the token exists, none is created. A batch
    session is left in the queue of the server; 'backend.ai logs -f' shows its output.

    \b
    Examples:
      backend.ai create python -t lab1
      backend.ai create python -t lab2 -e DEBUG=1 -m data:/mnt/data:ro -r cpu=2 -r mem=4g
      backend.ai exec $(backend.ai create -q c) -- cc --version
      backend.ai create python -r cpu=8 --max-wait 600
    """
    from backendai_trio import new_token

    queued = enqueue_only or kind == "batch"
    if queued and kernel.max_wait is not None:
        option = "--enqueue-only" if enqueue_only else "--type batch"
        raise click.UsageError(f"{option} does not wait for the kernel, so it takes no --max-wait")
    if (kind == "batch") != bool(startup_command):
        raise click.UsageError("--type batch and --startup-command go together")
    spec = kernel.spec(lang)
    token = client_token or new_token()
    status = Status(quiet=quiet)

    async def make(client: Client) -> TrioKernel:
        from backendai_trio.kernels import BatchJob, enqueue_kernel

        from ..waiting import waiting_for_kernel

        async with suggesting_images(client, lang):
            if startup_command:
                return await enqueue_kernel(
                    client, spec, token=token, job=BatchJob(startup_command)
                )
            if enqueue_only:
                return await enqueue_kernel(client, spec, token=token, reuse=not kernel.no_reuse)
            async with waiting_for_kernel(status, kernel.max_wait) as progress:
                return await attach_kernel(
                    client, spec, token=token, reuse=not kernel.no_reuse, progress=progress
                )

    made = call_server(configured_server("create a kernel"), make)
    state = "exists already" if not made.created else "is queued" if queued else "is ready"
    status.done(f"Kernel (ID: {made.kernel_id}) {state}.")
    if as_json:
        keys = {"token": made.token, "id": made.kernel_id, "created": made.created}
        click.echo(json.dumps(keys))
    else:
        click.echo(made.token)


@click.command("info")
@click.argument("kernel", metavar="ID", type=NAME)
@_json_option
def info(kernel: str, as_json: bool) -> None:
    """Show information about the kernel ID.

    ID is its token or session id ('backend.ai ps').

    \b
    Examples:
      backend.ai info lab1
      backend.ai info lab1 --json
    """

    async def get_info(found: TrioKernel) -> dict[str, object]:
        told = await found.info()
        values = asdict(told)
        del values["status_details"], values["status_info"]
        return values | {"reason": told.state.reason}

    values = {"kernel": kernel} | call_kernel(kernel, f"show the kernel {kernel}", get_info)
    if as_json:
        click.echo(json.dumps(values))
    else:
        # Older servers do not send all values.
        shown = {key: value for key, value in values.items() if value not in (0, "")}
        show_record(
            {
                key.removesuffix("_kib").removesuffix("_ms"): _for_people(key, value)
                for key, value in shown.items()
            }
        )


@click.command("restart")
@click.argument("kernel", metavar="ID", type=NAME)
@quiet_option
def restart(kernel: str, quiet: bool) -> None:
    """Restart the kernel ID. Its files stay; its variables and processes are lost.

    ID is its token or session id ('backend.ai ps').

    \b
    Examples:
      backend.ai restart lab1
    """

    call_kernel(kernel, f"restart the kernel {kernel}", lambda found: found.restart())
    Status(quiet=quiet).done(f"Restarted the kernel {kernel}.")


@click.command("interrupt")
@click.argument("kernel", metavar="ID", type=NAME)
@quiet_option
def interrupt(kernel: str, quiet: bool) -> None:
    """Interrupt the code that runs in the kernel ID, as Ctrl-C does.

    ID is its token or session id ('backend.ai ps').

    \b
    Examples:
      backend.ai interrupt lab1
    """

    call_kernel(kernel, f"interrupt the kernel {kernel}", lambda found: found.interrupt())
    Status(quiet=quiet).done(f"Interrupted the kernel {kernel}.")


@click.command("rename")
@click.argument("kernel", metavar="ID", type=NAME)
@click.argument("name", type=NAME)
@quiet_option
def rename(kernel: str, name: str, quiet: bool) -> None:
    """Change the token of the kernel ID to NAME.

    ID is its token or session id ('backend.ai ps').

    \b
    Examples:
      backend.ai rename lab1 lab2
    """

    call_kernel(kernel, f"rename the kernel {kernel}", lambda found: found.rename(name))
    Status(quiet=quiet).done(f"Renamed the kernel {kernel} to {name}.")


@click.command("complete")
@click.argument("kernel", metavar="ID", type=NAME)
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def complete(kernel: str, code: str, as_json: bool) -> None:
    """Print completions of CODE in the kernel ID, one on each line.

    ID is its token or session id ('backend.ai ps').

    \b
    Examples:
      backend.ai complete lab1 'sys.std'
    """

    async def call(found: TrioKernel) -> list[str]:
        line = code.rpartition("\n")[2]
        row = code.count("\n")
        return await found.complete(code, row=row, col=len(line), line=line)

    completions = call_kernel(kernel, f"complete code in the kernel {kernel}", call)
    if as_json:
        click.echo(json.dumps(completions))
    else:
        for completion in completions:
            click.echo(printable(completion))


def _for_people(key: str, value: object) -> object:
    """A value of a kernel's information, in the unit that people read it in."""
    if key.endswith("_kib"):
        return amount("mem", int(str(value)) * 1024)
    if key.endswith("_ms"):
        seconds = int(str(value)) / 1000
        return str(timedelta(seconds=round(seconds))) if seconds >= 60 else f"{seconds:.3g} s"
    return value
