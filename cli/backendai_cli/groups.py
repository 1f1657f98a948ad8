"""The behavior that `backend.ai` and its groups of commands share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

__all__ = ["Group", "ListGroup"]


class Group(click.Group):
    """A group that shows its help when no command is given, and suggests one for a wrong name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and self.no_args_is_help:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from difflib import get_close_matches

            close = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """The first sentence of the help of each command, by name."""
        found = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None:
                found[name] = command.get_short_help_str(limit=10_000)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries(ctx).items()))


class ListGroup(Group):
    """A group that lists something when no command is given.

    Attributes:
        listing: the command that does so; its options are the group's.
        aliases: further names of commands.
    """

    def __init__(
        self, name: str, listing: click.Command, *, aliases: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            name,
            help=listing.help,
            params=listing.params,
            callback=click.pass_context(_list_alone),
            invoke_without_command=True,
        )
        self.listing = listing
        self.aliases = aliases or {}

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "list":
            return self.listing
        return super().get_command(ctx, self.aliases.get(name, name))


def _list_alone(ctx: click.Context, /, **parameters: Any) -> None:
    group = ctx.command
    assert isinstance(group, ListGroup)
    if ctx.invoked_subcommand is None:
        ctx.invoke(group.listing, **parameters)
        return
    for param in group.params:
        if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
            option = next(name for name in param.opts if name.startswith("--"))
            raise click.UsageError(
                f"{option} is for the list ('{ctx.command_path}'), not for "
                f"{ctx.invoked_subcommand!r}; write the options of a command behind its name",
                ctx,
            )
