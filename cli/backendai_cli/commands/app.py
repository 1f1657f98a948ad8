"""`backend.ai app`."""

from __future__ import annotations

import click
import trio

from backendai_trio import NotFound, find_kernel, open_app, open_client

from .. import exit_codes
from ..console import Status
from ..server import configured_server

__all__ = ["command"]

_PORT = 8080


def _address(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, int]:
    """HOST:PORT or PORT, taken apart."""
    host, _, port = value.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise click.BadParameter(f"{value!r} is not [HOST:]PORT, such as 8080 or 127.0.0.1:0")
    return host.strip("[]") or "127.0.0.1", int(port)


@click.command("app")
@click.argument("session", metavar="ID")
@click.argument("name", metavar="APP")
@click.option(
    "-b",
    "--bind",
    callback=_address,
    metavar="[HOST:]PORT",
    default=f"127.0.0.1:{_PORT}",
    show_default=True,
    help="Local address; port 0 for a free one.",
)
def command(session: str, name: str, bind: tuple[str, int]) -> int:
    """Reach a service in a kernel through a local TCP port, until Ctrl-C.

    ID is the token or id of a session ('backend.ai ps'), and APP one of its services
    ('backend.ai apps ID'). On a gateway of your own that is the number of a TCP port that a program
    in the kernel listens on. The local address is printed to standard output once it can be used.

    \b
    Examples:
      backend.ai app lab1 jupyter
      backend.ai app lab1 8000 --bind 127.0.0.1:0
    """
    return trio.run(_serve, session, name, bind)


async def _serve(session: str, name: str, bind: tuple[str, int]) -> int:
    host, port = bind
    status = Status()
    async with exit_codes.ending_on_signals(), open_client(configured_server("reach")) as client:
        kernel = await find_kernel(client, session)
        async with open_app(kernel, name, host=host, port=port) as app:
            status.done(f"Service {name} of {session} is at the address below. Ctrl-C ends it.")
            click.echo(app.url)
            async for problem in app.problems:
                if isinstance(problem, NotFound) and problem.kind != "app-not-found":
                    raise problem  # the kernel itself is gone
                status.fail(" ".join(str(problem).split()))
    return 0
