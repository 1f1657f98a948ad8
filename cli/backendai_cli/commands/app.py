"""`backend.ai app`."""

from __future__ import annotations

import signal
import sys

import click
import trio

from backendai_trio import NotFound, find_kernel, open_app, open_client
from backendai_trio.kernels import ServiceOptions, copy_both_ways, one_error, open_app_stream

from ..console import Status
from ..errors import message_of
from ..openssh import touch_key
from ..parameters import NAME
from ..server import configured_server
from ..service_options import service_options
from ..standard_streams import StandardStreams, is_pipe
from ..termination import cancel_on_signals, run_async

__all__ = ["command"]

_PORT = 8080


def _address(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, int]:
    """Parse ``HOST:PORT`` or ``PORT``."""
    host, _, port = value.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise click.BadParameter(f"{value!r} is not [HOST:]PORT, such as 8080 or 127.0.0.1:0")
    return host.strip("[]") or "127.0.0.1", int(port)


@click.command("app")
@click.argument("session", metavar="ID", type=NAME)
@click.argument("name", metavar="APP", type=NAME)
@click.option(
    "-b",
    "--bind",
    type=NAME,
    callback=_address,
    metavar="[HOST:]PORT",
    default=f"127.0.0.1:{_PORT}",
    show_default=True,
    help="Local address; port 0 is any free port.",
)
@click.option(
    "--stdio",
    is_flag=True,
    help="Connect standard input and output once, as a ProxyCommand of ssh; no port is opened.",
)
@service_options
@click.pass_context
def command(
    ctx: click.Context,
    session: str,
    name: str,
    bind: tuple[str, int],
    stdio: bool,
    options: ServiceOptions | None,
) -> int:
    """Forward a local TCP port to a service in a kernel, until Ctrl-C.

    ID is the token or id of a session ('backend.ai ps'), and APP one of its services
    ('backend.ai apps ID'). On your own gateway, services are the TCP ports that programs in the
    kernel listen on, by number, and sshd. The local address is printed to standard output when it
    is ready.

    \b
    Examples:
      backend.ai app lab1 jupyter
      backend.ai app lab1 jupyter --arg '--theme dark' --env PASSWORD
      backend.ai app lab1 8000 --bind 127.0.0.1:0
      ssh -o ProxyCommand='backend.ai app lab1 sshd --stdio' work@lab1
    """
    if stdio:
        if ctx.get_parameter_source("bind") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError("--stdio opens no port, so it takes no --bind")
        return run_async(_connect_standard_streams, session, name, options)
    return run_async(_serve, session, name, bind, options)


async def _serve(
    session: str, name: str, bind: tuple[str, int], options: ServiceOptions | None
) -> int:
    host, port = bind
    status = Status()
    config = configured_server(f"connect to the service {name} of {session}")
    async with cancel_on_signals(), open_client(config) as client:
        kernel = await find_kernel(client, session)
        async with open_app(kernel, name, host=host, port=port, options=options) as app:
            status.done(f"Service {name} of {session} is at the address below. Ctrl-C ends it.")
            click.echo(app.url)
            async for problem in app.problems:
                if isinstance(problem, NotFound) and problem.kind != "app-not-found":
                    raise problem  # the kernel is gone
                status.warn(message_of(problem))
    return 0


async def _connect_standard_streams(session: str, name: str, options: ServiceOptions | None) -> int:
    """Connect the standard streams to a service, until either side ends.

    Between pipes, Ctrl-C is left to the program at their other ends: sftp goes on after it, and ssh
    would report that the connection broke if its ProxyCommand ended first. If that program ends,
    this command notices it.
    """
    if is_pipe(sys.stdin) and is_pipe(sys.stdout):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = configured_server(f"connect to the service {name} of {session}")
    local = StandardStreams()
    with one_error():
        async with cancel_on_signals(), trio.open_nursery() as nursery:

            async def end_with_reader() -> None:
                await local.wait_output_closed()
                nursery.cancel_scope.cancel()

            nursery.start_soon(end_with_reader)
            async with open_client(config) as client:
                kernel = await find_kernel(client, session)
                if name == "sshd":
                    touch_key(kernel)
                async with open_app_stream(kernel, name, options=options) as remote:
                    await copy_both_ways(local, remote)
            nursery.cancel_scope.cancel()
    return 0
