"""`backend.ai start-service` and `backend.ai shutdown-service`."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import click

from ..console import Status
from ..parameters import NAME
from ..server import call_kernel
from ..service_options import service_options

if TYPE_CHECKING:
    from backendai_trio.kernels import ServiceOptions

__all__ = ["shutdown", "start"]


@click.command("start-service")
@click.argument("session", metavar="ID", type=NAME)
@click.argument("name", metavar="APP", type=NAME)
@service_options
@click.option("--public", is_flag=True, help="Let everyone in who knows where the proxy serves it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def start(
    session: str, name: str, options: ServiceOptions | None, public: bool, as_json: bool
) -> None:
    """Start a service in a kernel, and print its address at the cluster's app proxy.

    ID is the token or id of a session ('backend.ai ps'), and APP one of its services
    ('backend.ai apps ID'). The address works in any browser and lets in whoever knows it. Clusters
    without an app proxy refuse; 'backend.ai app' makes a local port instead.

    \b
    Examples:
      backend.ai start-service lab1 jupyter
      backend.ai start-service lab1 jupyter --arg '--theme dark' --env PASSWORD
    """
    from backendai_trio.kernels import start_service

    action = f"start the service {name} of {session}"
    started = call_kernel(session, action, partial(start_service, app=name, options=options))
    url = started.url(public=public)
    click.echo(json.dumps({"app": name, "url": url}) if as_json else url)


@click.command("shutdown-service")
@click.argument("session", metavar="ID", type=NAME)
@click.argument("name", metavar="APP", type=NAME)
def shutdown(session: str, name: str) -> None:
    """End a service that the server has started in a kernel.

    ID is the token or id of a session ('backend.ai ps'), and APP one of its services
    ('backend.ai apps ID'). The next connection starts it anew, also with other arguments.

    \b
    Examples:
      backend.ai shutdown-service lab1 jupyter
    """
    from backendai_trio.kernels import shutdown_service

    action = f"end the service {name} of {session}"
    call_kernel(session, action, partial(shutdown_service, app=name))
    Status().done(f"Service {name} of {session} has ended.")
