"""`backend.ai shell`."""

from __future__ import annotations

import click

from ..configuration import command_config
from ..console import Status
from ..kernel_options import GroupedCommand, KernelOptions, kernel_options
from ..keyboard import check_terminal
from ..options import local_option, quiet_option, token_option
from ..runtime_argument import RUNTIME
from ..server import open_server
from ..termination import run_async

__all__ = ["command"]


@click.command("shell", cls=GroupedCommand)
@click.argument("lang", type=RUNTIME)
@token_option
@quiet_option
@local_option
@kernel_options
def command(
    lang: str,
    client_token: str | None,
    quiet: bool,
    local: bool,
    kernel: KernelOptions,
) -> int:
    """Open a terminal in a kernel of the runtime LANG ('backend.ai images' lists runtimes).

    The kernel ends with its shell, unless -t is given. Ctrl-] detaches: the shell and the kernel go
    on, and 'backend.ai attach TOKEN' returns to them. All other keys, Ctrl-C among them, go to the
    program in the kernel.

    \b
    Examples:
      backend.ai shell python
      backend.ai shell c -t lab1
    """
    check_terminal()
    spec = kernel.spec(lang)
    status = Status(quiet=quiet)
    with open_server(status, local=local, lasting=bool(spec.mounts)) as config:
        # Imported here: a gateway loads in its process at the same time.

        from ..run.kernel import KernelRequest
        from ..run.terminal import run_shell

        request = KernelRequest(
            spec=spec,
            token=client_token,
            reuse=not kernel.no_reuse,
            max_wait=kernel.max_wait,
        )
        embedded = local or command_config() is None
        return run_async(run_shell, config, request, status, embedded)
