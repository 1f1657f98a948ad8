"""`backend.ai vfolder`: files that outlive kernels."""

from __future__ import annotations

import click

from ...groups import Group
from . import files, folders, hosts, sharing, trash

__all__ = ["command"]


_ALIASES = {"list-hosts": "hosts"}
"""Names of the official client."""


class _Folders(Group):
    """The group, with other names of commands that help does not show."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return super().get_command(ctx, _ALIASES.get(name, name))


@click.group("vfolder", cls=_Folders)
@click.option(
    "--local", is_flag=True, help="Use the folders of this machine, even if a server is configured."
)
@click.pass_context
def command(ctx: click.Context, local: bool) -> None:
    """Manage virtual folders, which outlive kernels.

    'backend.ai run -m NAME' mounts a folder: it appears under its name in the work folder. With no
    server configured, folders are kept on this machine.

    \b
    Examples:
      backend.ai vfolder create data
      backend.ai vfolder upload data train.csv images/ -r
      backend.ai run python -m data -c "print(open('data/train.csv').read())"
      backend.ai vfolder download data results
    """
    ctx.obj = local


for _module in (folders, trash, hosts, files, sharing):
    for _subcommand in _module.COMMANDS:
        command.add_command(_subcommand)
