"""Options that several commands share."""

from __future__ import annotations

import click

from .parameters import NAME

__all__ = [
    "keep_option",
    "keeps_kernel",
    "local_option",
    "new_token_option",
    "parse_pairs",
    "quiet_option",
    "stats_option",
    "token_option",
]

token_option = click.option(
    "-t",
    "--client-token",
    "--name",
    metavar="TOKEN",
    type=NAME,
    help="Join the kernel with this token, or create it; it stays.",
)
new_token_option = click.option(
    "-t",
    "--client-token",
    "--name",
    metavar="TOKEN",
    type=NAME,
    help="Token of the session [default: random].",
)
stats_option = click.option(
    "-s", "--stats", is_flag=True, help="Show the resource usage of the kernel at its end."
)
keep_option = click.option(
    "--rm/--keep",
    "remove",
    default=None,
    help="End the kernel afterwards, or keep it [default: end it, unless -t is given].",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no status lines.")
local_option = click.option(
    "--local", is_flag=True, help="Run on this machine, even if a server is configured."
)


def keeps_kernel(remove: bool | None, client_token: str | None) -> bool:
    """Whether a kernel stays, by the options ``--rm/--keep`` and ``-t``."""
    return client_token is not None if remove is None else not remove


def parse_pairs(
    pairs: tuple[str, ...], *, option: str = "-e", form: str = "KEY=VALUE"
) -> dict[str, str]:
    """The values of an option that may be repeated, such as ``-e``.

    Raises:
        click.UsageError: a value has no name or no ``=``.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{option} {pair}: write it as {form}")
        found[name] = value
    return found
