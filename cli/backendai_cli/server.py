"""The server of a command: the configured one, or a gateway that the command starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from backendai_trio import Config, ConfigError
from backendai_trio.config import Journal, journal_folder

from .configuration import command_config
from .console import Status, show_warnings
from .termination import run_async

if TYPE_CHECKING:
    from backendai_trio import Client, TrioKernel

__all__ = ["call_kernel", "call_server", "configured_server", "journal_for", "open_server"]

T = TypeVar("T")


@contextmanager
def open_server(status: Status, *, local: bool = False, lasting: bool = False) -> Iterator[Config]:
    """Provide the settings of the configured server; with none, or `local`, those of a new gateway.

    Enter it before an event loop is imported: a gateway is loaded at the same time, in a process of
    its own.

    Args:
        status: where to say that a gateway is used.
        local: use a gateway even if a server is configured.
        lasting: whether the gateway has what `backend.ai serve` keeps, such as virtual folders.
    """
    show_warnings()
    config = None if local else command_config()
    if config is not None:
        yield config
        return
    from backendai_trio import GatewayOptions
    from backendai_trio.config import data_folder
    from backendai_trio.gateway import open_gateway_process

    if not local:
        status.info("No server is configured (BACKEND_ENDPOINT): running on this machine.")
    options = GatewayOptions(data=data_folder() if lasting else None)
    with open_gateway_process(options) as config:
        yield config


def journal_for(config: Config) -> Journal | None:
    """The journal that `gc` reads; None for a gateway of this command, which ends its kernels."""
    try:
        configured = command_config()
    except ConfigError:
        return None  # with --local, settings may be wrong
    return Journal(journal_folder()) if config == configured else None


def configured_server(action: str) -> Config:
    """Settings of the configured server, for a command that needs one.

    Args:
        action: what the command was about to do, for the error: ``list the files of lab1``.

    Raises:
        click.ClickException: no server is configured.
    """
    show_warnings()
    config = command_config()
    if config is None:
        raise click.ClickException(
            f"cannot {action}: no server is configured. Set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY "
            "and BACKEND_SECRET_KEY, or start a gateway, see 'backend.ai serve --help'"
        )
    return config


def call_server(config: Config, call: Callable[[Client], Awaitable[T]]) -> T:
    """Call a server and return the result of `call`. Signals cancel it.

    Args:
        config: settings of the server.
        call: gets a client of the server.
    """

    from backendai_trio import open_client

    from .termination import cancel_on_signals

    async def main() -> T:
        async with cancel_on_signals(), open_client(config) as client:
            return await call(client)

    return run_async(main)


def call_kernel(name: str, action: str, call: Callable[[TrioKernel], Awaitable[T]]) -> T:
    """Find a kernel and return the result of `call`.

    Args:
        name: its token or id.
        action: as for `configured_server`.
        call: gets the kernel.
    """
    from backendai_trio import find_kernel

    async def find_and_call(client: Client) -> T:
        return await call(await find_kernel(client, name))

    return call_server(configured_server(action), find_and_call)
