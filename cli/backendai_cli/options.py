"""Options that several commands share, so that they mean the same and are told the same."""

from __future__ import annotations

import click

__all__ = [
    "env_option",
    "keep_option",
    "local_option",
    "mount_option",
    "parse_pairs",
    "quiet_option",
    "stats_option",
    "token_option",
]

token_option = click.option(
    "-t",
    "--client-token",
    metavar="TOKEN",
    help="Join the kernel with this token, or create one that stays.",
)
env_option = click.option(
    "-e", "--env", multiple=True, metavar="KEY=VALUE", help="Environment variable; may be repeated."
)
mount_option = click.option(
    "-m", "--mount", multiple=True, metavar="NAME", help="Virtual folder to mount; may be repeated."
)
stats_option = click.option(
    "-s", "--stats", is_flag=True, help="Show what the kernel used, when it has ended."
)
keep_option = click.option(
    "--rm/--keep",
    "remove",
    default=None,
    help="End the kernel afterwards, or let it stay [default: end it, unless -t is given].",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no status lines.")
local_option = click.option(
    "--local", is_flag=True, help="Run on this machine, whatever server is configured."
)


def parse_pairs(
    pairs: tuple[str, ...], *, option: str = "-e", form: str = "KEY=VALUE"
) -> dict[str, str]:
    """The pairs of an option that may be repeated, such as ``-e``."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{option} {pair}: write it as {form}")
        found[name] = value
    return found
