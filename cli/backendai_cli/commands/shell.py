"""`backend.ai shell`."""

from __future__ import annotations

import click

from ..console import Status, check_terminal
from ..options import (
    env_option,
    local_option,
    mount_option,
    parse_pairs,
    quiet_option,
    token_option,
)
from ..server import open_target

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
    """Open a terminal in a kernel of the runtime LANG, one that 'backend.ai images' lists.

    The kernel ends with its shell, unless -t is given. Ctrl-] detaches: shell and kernel go on, and
    'backend.ai attach TOKEN' comes back to them. Every other key, Ctrl-C among them, belongs to the
    program in the kernel.

    \b
    Examples:
      backend.ai shell python
      backend.ai shell c -t lab1
    """
    check_terminal()
    environ = parse_pairs(env)
    status = Status(quiet=quiet)
    with open_target(status, local=local, lasting=bool(mount)) as config:
        # While the gateway loads, if there is one.
        import trio

        from backendai_trio import KernelSpec, read_config

        from ..run.terminal import run_shell

        spec = KernelSpec(runtime=lang, environ=environ, mounts=mount)
        embedded = local or read_config() is None
        return trio.run(run_shell, config, spec, client_token, status, embedded)
