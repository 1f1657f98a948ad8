"""`backend.ai admin images rescan`, `alias`, `dealias` and `forget`."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import click
import trio

from backendai_trio import Client
from backendai_trio.admin import (
    TaskEvent,
    alias_image,
    dealias_image,
    forget_image,
    rescan_images,
)
from backendai_trio.kernels import one_error

from .. import exit_codes
from ..confirmation import confirm, yes_option
from ..console import Status, count, moves_cursor, printable
from ..groups import ListGroup
from ..options import quiet_option
from ..parameters import NAME
from ..server import call_server, configured_server

__all__ = ["image_commands"]

_architecture_option = click.option(
    "--arch", "architecture", default="", metavar="NAME",
    help="Architecture of the image, e.g. aarch64; managers from 22.03 on.",
)  # fmt: skip


def image_commands(listing: click.Command) -> ListGroup:
    """The group of commands about images, which lists them when no command is given.

    Args:
        listing: the command that lists them.
    """
    group = ListGroup("images", listing)
    for command in (_rescan, _alias, _dealias, _forget):
        group.add_command(command)
    return group


@click.command("rescan")
@click.option("-r", "--registry", default="", metavar="NAME", help="Registry [default: all].")
@click.option(
    "-p", "--project", default="", metavar="NAME",
    help="Project in the registry [default: all]; managers from 25.1 on.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@quiet_option
def _rescan(registry: str, project: str, as_json: bool, quiet: bool) -> int:
    """Have the server read again what images the registries have, and show how far it is.

    Ctrl-C ends the command; the server goes on. The exit code is 126 if a registry could not be
    read, or only in part.

    \b
    Examples:
      backend.ai admin images rescan
      backend.ai admin images rescan --registry cr.backend.ai
    """
    config = configured_server("rescan images")
    status = Status(quiet=quiet or as_json)

    async def call(client: Client) -> TaskEvent:
        async with _shown(status) as progress:
            return await rescan_images(
                client, registry=registry, project=project, progress=progress
            )

    event = call_server(config, call)
    if as_json:
        click.echo(json.dumps({"message": event.message, "errors": list(event.errors)}))
    status.clear()
    for error in event.errors:
        Status().fail(printable(error))
    if event.errors:
        status.info(f"The registries are read, but for {count(len(event.errors), 'error')}.")
        return exit_codes.REFUSED
    status.done("The registries are read.")
    return 0


@asynccontextmanager
async def _shown(status: Status) -> AsyncIterator[trio.MemorySendChannel[TaskEvent] | None]:
    """A channel for events that are shown on a terminal; None if there is none."""
    if not moves_cursor(sys.stderr):
        yield None
        return
    send, receive = trio.open_memory_channel[TaskEvent](0)

    async def show() -> None:
        async with receive:
            async for event in receive:
                steps = f"{event.done:g} of {event.total:g}: " if event.total else ""
                status.wait(f"{steps}{printable(event.message)}")

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show)
            async with send:
                yield send


@click.command("alias")
@click.argument("alias", type=NAME)
@click.argument("image", type=NAME)
@_architecture_option
@quiet_option
def _alias(alias: str, image: str, architecture: str, quiet: bool) -> None:
    """Give IMAGE, with its registry and tag, the further name ALIAS.

    \b
    Examples:
      backend.ai admin images alias python cr.backend.ai/stable/python:3.11-ubuntu22.04
    """
    call = partial(alias_image, alias=alias, target=image, architecture=architecture)
    call_server(configured_server("alias an image"), call)
    Status(quiet=quiet).done(f"{printable(alias)} is {printable(image)}.")


@click.command("dealias")
@click.argument("alias", type=NAME)
@quiet_option
def _dealias(alias: str, quiet: bool) -> None:
    """Take ALIAS away from its image.

    \b
    Examples:
      backend.ai admin images dealias python
    """
    call_server(configured_server("take an alias away"), partial(dealias_image, alias=alias))
    Status(quiet=quiet).done(f"There is no alias {printable(alias)} any more.")


@click.command("forget")
@click.argument("image", type=NAME)
@_architecture_option
@yes_option
@quiet_option
def _forget(image: str, architecture: str, yes: bool, quiet: bool) -> None:
    """Remove IMAGE from the list of the server. The registry keeps it: a rescan finds it again.

    \b
    Examples:
      backend.ai admin images forget cr.backend.ai/stable/python:3.6-ubuntu18.04
    """
    config = configured_server("forget an image")
    confirm(f"The image {printable(image)} is about to be forgotten.", yes=yes)
    call_server(config, partial(forget_image, image=image, architecture=architecture))
    Status(quiet=quiet).done(f"The image {printable(image)} is forgotten.")
