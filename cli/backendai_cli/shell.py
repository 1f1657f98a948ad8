"""`backend.ai shell`."""

from __future__ import annotations

import click
import trio

from backendai_trio import KernelSpec, TrioKernel, attach_kernel, open_kernel, read_config

from . import exits
from .console import Status
from .screen import Detached, check_terminal, connect
from .target import open_target

__all__ = ["command"]


@click.command("shell")
@click.argument("lang")
@click.option(
    "-t", "--client-token", metavar="TOKEN", help="Token of the kernel, which then stays."
)
@click.option(
    "-e", "--env", multiple=True, metavar="KEY=VALUE", help="Environment variable; may be repeated."
)
@click.option(
    "-m", "--mount", multiple=True, metavar="NAME", help="Virtual folder to mount; may be repeated."
)
@click.option("-q", "--quiet", is_flag=True, help="Show no status lines.")
@click.option("--local", is_flag=True, help="Run on this machine, whatever server is configured.")
def command(
    lang: str,
    client_token: str | None,
    env: tuple[str, ...],
    mount: tuple[str, ...],
    quiet: bool,
    local: bool,
) -> int:
    """Open a terminal in a kernel of the runtime LANG.

    The kernel ends with its shell, unless -t is given. Ctrl-] detaches: shell and kernel go on, and
    'backend.ai attach TOKEN' comes back to them. Every other key, Ctrl-C among them, belongs to the
    program in the kernel.

    \b
    Examples:
      backend.ai shell python
      backend.ai shell c -t lab1
    """
    from .run import parse_environment

    check_terminal()
    spec = KernelSpec(runtime=lang, environ=parse_environment(env), mounts=mount)
    return trio.run(_shell, spec, client_token, Status(quiet=quiet), local)


async def _shell(spec: KernelSpec, token: str | None, status: Status, local: bool) -> int:
    embedded = local or read_config() is None
    lasting = bool(spec.mounts)
    async with (
        exits.ending_on_signals(),
        open_target(status, local=local, lasting=lasting) as client,
    ):
        if token is not None:
            kernel = await attach_kernel(client, spec, token=token)
            return await _connect(kernel, status, embedded)
        async with open_kernel(client, spec) as kernel:
            code = await _connect(kernel, status, embedded)
    if not kernel.released:
        status.done("Cleaned up the kernel.")
    return code


async def _connect(kernel: TrioKernel, status: Status, embedded: bool) -> int:
    status.done(f"Kernel (ID: {kernel.kernel_id}) is ready.")
    try:
        return await connect(kernel, status)
    except Detached:
        if embedded:
            status.info("Detached. The kernel ends here, since no server keeps it.")
        else:
            kernel.release()
            status.info(f"Detached. To come back:  backend.ai attach {kernel.token}")
        return 0
