"""`backend.ai shell`."""

from __future__ import annotations

import click

from ..console import Status
from ..keyboard import check_terminal
from ..options import (
    env_option,
    local_option,
    mount_option,
    parse_pairs,
    quiet_option,
    token_option,
)
from ..server import open_server

__all__ = ["command"]


@click.command("shell")
@click.argument("lang")
@token_option
@env_option
@mount_option
@quiet_option
@local_option
def command(
    lang: str,
    client_token: str | None,
    env: tuple[str, ...],
    mount: tuple[str, ...],
    quiet: bool,
    local: bool,
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
    environ = parse_pairs(env)
    status = Status(quiet=quiet)
    with open_server(status, local=local, lasting=bool(mount)) as config:
        # Imported here: a gateway loads in its process at the same time.
        import trio

        from backendai_trio import KernelSpec, read_config

        from ..run.terminal import run_shell

        spec = KernelSpec(runtime=lang, environ=environ, mounts=mount)
        embedded = local or read_config() is None
        return trio.run(run_shell, config, spec, client_token, status, embedded)
