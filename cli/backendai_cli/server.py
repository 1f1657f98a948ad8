"""Where a command goes: the configured server, or a gateway beside this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from backendai_trio import Config, ConfigError, read_config
from backendai_trio.config import Journal, journal_folder

from .console import Status

if TYPE_CHECKING:
    from backendai_trio import Client, TrioKernel

__all__ = ["ask", "configured_server", "journal_for", "open_target", "with_kernel"]

T = TypeVar("T")


@contextmanager
def open_target(status: Status, *, local: bool = False, lasting: bool = False) -> Iterator[Config]:
    """Settings of the configured server; with none configured, or `local`, of a gateway here.

    It stands around everything that loads an event loop: a gateway loads at the same time.

    Args:
        status: where to say which it is.
        local: use a gateway here, whatever is configured.
        lasting: whether a gateway here shall have what is kept from one command to the next:
            virtual folders, the same as those of `backend.ai serve`.
    """
    config = None if local else read_config()
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
    """Where kernels on that server are written down, for `gc`; a gateway here ends its own."""
    try:
        configured = read_config()
    except ConfigError:
        return None  # settings that nobody has needed: --local
    return Journal(journal_folder()) if config == configured else None


def configured_server(use: str) -> Config:
    """Settings of the configured server, for a command that can do nothing without one.

    Args:
        use: what there would be no use in, for the error: "follow".

    Raises:
        click.ClickException: none is configured.
    """
    config = read_config()
    if config is None:
        raise click.ClickException(
            f"no server is configured, so there is nothing to {use}: set BACKEND_ENDPOINT, "
            "BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY, or see 'backend.ai serve --help'"
        )
    return config


def ask(config: Config, call: Callable[[Client], Awaitable[T]]) -> T:
    """What `call` answers, given a client of the server; for commands that ask and print."""
    import trio

    from backendai_trio import open_client

    from . import exit_codes

    async def main() -> T:
        async with exit_codes.ending_on_signals(), open_client(config) as client:
            return await call(client)

    return trio.run(main)


def with_kernel(name: str, use: str, call: Callable[[TrioKernel], Awaitable[object]]) -> None:
    """Find a kernel by its token or id, and do something with it.

    Args:
        name: the token or id.
        use: as for `configured_server`.
        call: what to do.
    """
    from backendai_trio import find_kernel

    async def find_and_call(client: Client) -> None:
        await call(await find_kernel(client, name))

    ask(configured_server(use), find_and_call)
