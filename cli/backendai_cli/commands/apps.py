"""`backend.ai apps`."""

from __future__ import annotations

import json

import click

from backendai_trio import find_kernel, open_client
from backendai_trio.kernels import AppInfo, list_apps

from ..console import printable
from ..parameters import NAME
from ..server import configured_server
from ..termination import run_async

__all__ = ["command"]


@click.command("apps")
@click.argument("session", metavar="ID", type=NAME)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(session: str, as_json: bool) -> None:
    """List the services that a kernel offers, for 'backend.ai app'.

    ID is the token or id of a session ('backend.ai ps'). On your own gateway, services are the TCP
    ports that programs in the kernel listen on, by number.

    \b
    Examples:
      backend.ai apps lab1
      backend.ai apps lab1 --json
    """
    found = run_async(_list, session)
    if as_json:
        rows = [
            {
                "name": app.name,
                "protocol": app.protocol,
                "ports": app.ports,
                "arguments": app.allowed_arguments,
                "envs": app.allowed_envs,
            }
            for app in found
        ]
        click.echo(json.dumps(rows))
    elif found:
        width = max(len(printable(app.name)) for app in found)
        for app in found:
            ports = ", ".join(map(str, app.ports))
            taken = ", ".join(map(printable, (*app.allowed_arguments, *app.allowed_envs)))
            line = f"{printable(app.name):{width}}  {printable(app.protocol)}  {ports}"
            click.echo(f"{line}  takes {taken}" if taken else line.rstrip())
    else:
        click.echo("No services: no program there listens on a port.")


async def _list(session: str) -> list[AppInfo]:
    async with open_client(configured_server(f"list the services of {session}")) as client:
        return await list_apps(await find_kernel(client, session))
