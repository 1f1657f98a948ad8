"""`backend.ai proxy`."""

from __future__ import annotations

import ipaddress
import signal

import click

from backendai_trio import Config

from .. import exit_codes
from ..console import Status
from ..parameters import NAME
from ..server import open_server
from ..termination import ending_signals, run_async

__all__ = ["command"]

_PORT = 8084


@click.command("proxy")
@click.option(
    "-b",
    "--bind",
    type=NAME,
    default="localhost",
    show_default=True,
    metavar="HOST",
    help="Address or name to listen on.",
)
@click.option(
    "-p",
    "--port",
    metavar="PORT",
    default=_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="TCP port; 0 is any free port.",
)
@click.option(
    "--allow-origin",
    "allow_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin of web pages that may use it, such as http://localhost:3000. May be repeated.",
)
def command(bind: str, port: int, allow_origins: tuple[str, ...]) -> int:
    """Run a proxy that signs requests of other programs, until Ctrl-C.

    HTTP and WebSocket requests to the proxy, for any path, are signed with your key pair and passed
    to the server. Whoever reaches the proxy acts as you, so it listens on this machine only, and
    refuses requests of web pages other than its own. With no server configured, it starts a gateway
    of its own.

    At /graphiql it serves GraphiQL, to query the admin API in a browser.

    \b
    Examples:
      backend.ai proxy
      curl http://localhost:8084/session -H 'Content-Type: application/json' \\
        -d '{"name": "lab1", "image": "python"}'
      backend.ai proxy --allow-origin http://localhost:3000
    """
    status = Status()
    with open_server(status) as config:
        return run_async(_serve, config, bind, port, allow_origins, status)


async def _serve(
    config: Config, host: str, port: int, allow_origins: tuple[str, ...], status: Status
) -> int:
    # Imported here: a gateway loads in its process at the same time.
    import trio

    from backendai_trio import open_client
    from backendai_trio.kernels import one_error
    from backendai_trio.proxy import Proxy, ProxyOptions, serve_proxy

    options = ProxyOptions(host=host, port=port, allow_origins=allow_origins)
    with one_error(), trio.open_signal_receiver(*ending_signals()) as received:
        async with open_client(config) as client, trio.open_nursery() as nursery:
            proxy: Proxy = await nursery.start(serve_proxy, client, options)
            status.done(f"Signing requests to {proxy.url} for {config.endpoint.url}.")
            if not ipaddress.ip_address(proxy.host).is_loopback:
                status.warn("Others on the network can reach it, and act with your key pair.")
            status.info(f"GraphiQL is at {proxy.url}/graphiql. Ctrl-C ends the proxy.")
            number = await anext(received)
            nursery.cancel_scope.cancel()
    return 0 if number == signal.SIGINT else exit_codes.SIGNALED + number
