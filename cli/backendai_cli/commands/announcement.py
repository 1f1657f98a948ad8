"""`backend.ai announcement`."""

from __future__ import annotations

import json
from functools import partial

import click

from backendai_trio.admin import announce, get_announcement

from ..console import Status, printable
from ..options import quiet_option
from ..server import call_server, configured_server

__all__ = ["command"]


@click.command("announcement")
@click.option("--set", "text", metavar="TEXT", help="Announce TEXT, as a super-administrator.")
@click.option("--clear", is_flag=True, help="Take the announcement back, likewise.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@quiet_option
def command(text: str | None, clear: bool, as_json: bool, quiet: bool) -> None:
    """Show what the administrators of the server announce. Managers from 19.09 on can.

    \b
    Examples:
      backend.ai announcement
      backend.ai announcement --set 'Maintenance on Friday, 18:00 UTC'
    """
    if text is not None and clear:
        raise click.UsageError("give either --set or --clear, not both")
    if text == "":
        raise click.UsageError("--set: the text is empty; --clear takes the announcement back")
    if text is None and not clear:
        told = call_server(configured_server("show the announcement"), get_announcement)
        if as_json:
            click.echo(json.dumps({"message": told}))
        else:
            lines = map(printable, told.splitlines())
            click.echo("\n".join(lines) if told else "There is no announcement.")
        return
    config = configured_server("change the announcement")
    call_server(config, partial(announce, text=text or ""))
    status = Status(quiet=quiet or as_json)
    status.done("The announcement is cleared." if clear else "It is announced.")
    if as_json:
        click.echo(json.dumps({"message": text or ""}))
