"""Commands on kernels that stay: `create`, `rm`, `info`, `restart`, `interrupt`, `rename`,
`complete`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from backendai_trio import BackendError, KernelSpec, attach_kernel, find_kernel

from .. import exit_codes
from ..console import Status
from ..options import env_option, mount_option, parse_pairs, quiet_option
from ..server import ask, configured_server, with_kernel
from ..tables import show_record, statistics_lines

if TYPE_CHECKING:
    from backendai_trio import Client, TrioKernel

__all__ = ["complete", "create", "info", "interrupt", "remove", "rename", "restart"]

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command("create")
@click.argument("lang")
@click.option(
    "-t", "--client-token", metavar="TOKEN", help="Name of the kernel [default: a random one]."
)
@env_option
@mount_option
@click.option(
    "-r",
    "--resource",
    multiple=True,
    metavar="SLOT=AMOUNT",
    help="Resources, e.g. cpu=2 or mem=4g; may be repeated.",
)
@quiet_option
@_json_option
def create(
    lang: str,
    client_token: str | None,
    env: tuple[str, ...],
    mount: tuple[str, ...],
    resource: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Create a kernel of the runtime LANG that stays, and print its token.

    LANG is one that 'backend.ai images' lists. With the token of a kernel that exists, nothing is
    created.

    \b
    Examples:
      backend.ai create python -t lab1
      backend.ai create python -t lab2 -e DEBUG=1 -m data -r cpu=2
      backend.ai exec $(backend.ai create -q c) -- cc --version
    """
    from backendai_trio import new_token

    spec = KernelSpec(
        runtime=lang,
        environ=parse_pairs(env),
        mounts=mount,
        resources=parse_pairs(resource, option="-r", form="SLOT=AMOUNT"),
    )
    token = client_token or new_token()

    async def make(client: Client) -> TrioKernel:
        return await attach_kernel(client, spec, token=token)

    kernel = ask(configured_server("create a kernel on"), make)
    said = "is ready" if kernel.created else "was there already"
    Status(quiet=quiet).done(f"Kernel (ID: {kernel.kernel_id}) {said}.")
    if as_json:
        keys = {"token": kernel.token, "id": kernel.kernel_id, "created": kernel.created}
        click.echo(json.dumps(keys))
    else:
        click.echo(kernel.token)


@click.command("rm")
@click.argument("kernels", nargs=-1, required=True, metavar="ID...")
@click.option("-s", "--stats", is_flag=True, help="Show what they used.")
@quiet_option
def remove(kernels: tuple[str, ...], stats: bool, quiet: bool) -> int:
    """End kernels, by their tokens or session ids, as 'backend.ai ps' shows them.

    All of them are tried; the exit code is that of the first failure.

    \b
    Examples:
      backend.ai rm lab1 lab2
      backend.ai rm --stats lab1
    """
    status = Status(quiet=quiet)
    code = 0

    async def end(client: Client) -> None:
        nonlocal code
        for name in kernels:
            try:
                kernel = await find_kernel(client, name)
                used = await kernel.destroy()
            except BackendError as exc:
                failure = exit_codes.explain(exc)
                code = code or failure
                continue
            status.done(f"Ended the kernel {name}.")
            if stats:
                for line in statistics_lines(used):
                    Status().info(line)  # asked for, so shown also when quiet

    ask(configured_server("end"), end)
    return code


@click.command("info")
@click.argument("kernel", metavar="ID")
@_json_option
def info(kernel: str, as_json: bool) -> None:
    """Show what the server says of the kernel ID.

    ID is its token or session id, as 'backend.ai ps' shows them.

    \b
    Examples:
      backend.ai info lab1
      backend.ai info lab1 --json
    """
    found: dict[str, object] = {}

    async def look(kernel: TrioKernel) -> None:
        found.update(asdict(await kernel.info()))

    with_kernel(kernel, "show", look)
    shown = {"kernel": kernel, **found}
    if as_json:
        click.echo(json.dumps(shown))
    else:
        # Servers of some eras do not tell everything; nothing is no answer.
        told = {key: value for key, value in shown.items() if value not in (0, "")}
        show_record(told)


@click.command("restart")
@click.argument("kernel", metavar="ID")
@quiet_option
def restart(kernel: str, quiet: bool) -> None:
    """Start the kernel ID anew: its files stay, its variables and processes go.

    ID is its token or session id, as 'backend.ai ps' shows them.

    \b
    Examples:
      backend.ai restart lab1
    """

    async def call(found: TrioKernel) -> None:
        await found.restart()

    with_kernel(kernel, "restart", call)
    Status(quiet=quiet).done(f"Restarted the kernel {kernel}.")


@click.command("interrupt")
@click.argument("kernel", metavar="ID")
@quiet_option
def interrupt(kernel: str, quiet: bool) -> None:
    """Stop what runs in the kernel ID, as Ctrl-C would; the kernel stays.

    ID is its token or session id, as 'backend.ai ps' shows them.

    \b
    Examples:
      backend.ai interrupt lab1
    """

    async def call(found: TrioKernel) -> None:
        await found.interrupt()

    with_kernel(kernel, "interrupt", call)
    Status(quiet=quiet).done(f"Interrupted the kernel {kernel}.")


@click.command("rename")
@click.argument("kernel", metavar="ID")
@click.argument("name")
@quiet_option
def rename(kernel: str, name: str, quiet: bool) -> None:
    """Give the kernel ID another token, NAME.

    ID is its token or session id, as 'backend.ai ps' shows them.

    \b
    Examples:
      backend.ai rename lab1 lab2
    """

    async def call(found: TrioKernel) -> None:
        await found.rename(name)

    with_kernel(kernel, "rename", call)
    Status(quiet=quiet).done(f"The kernel {kernel} is called {name} now.")


@click.command("complete")
@click.argument("kernel", metavar="ID")
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def complete(kernel: str, code: str, as_json: bool) -> None:
    """Print how CODE may go on in the kernel ID, a candidate a line.

    ID is its token or session id, as 'backend.ai ps' shows them.

    \b
    Examples:
      backend.ai complete lab1 'sys.std'
    """
    found: list[str] = []

    async def call(kernel: TrioKernel) -> None:
        line = code.rpartition("\n")[2]
        row = code.count("\n")
        found.extend(await kernel.complete(code, row=row, col=len(line), line=line))

    with_kernel(kernel, "complete", call)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for item in found:
            click.echo(item)
