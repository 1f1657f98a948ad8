"""Where a command goes: the configured server, or a gateway beside this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from backendai_trio import Config, Journal, journal_folder, read_config

from .console import Status

__all__ = ["configured_server", "journal_for", "open_target"]


@contextmanager
def open_target(status: Status, *, local: bool = False) -> Iterator[Config]:
    """Settings of the configured server; with none configured, or `local`, of a gateway here.

    It stands around everything that loads an event loop: a gateway loads at the same time.
    """
    config = None if local else read_config()
    if config is not None:
        yield config
        return
    from backendai_trio import open_gateway_process

    if not local:
        status.info("No server is configured (BACKEND_ENDPOINT): running on this machine.")
    with open_gateway_process() as config:
        yield config


def journal_for(config: Config) -> Journal | None:
    """Where kernels on that server are written down, for `gc`; a gateway here ends its own."""
    return Journal(journal_folder()) if config == read_config() else None


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
            f"no server is configured, so there is nothing to {use}; set BACKEND_ENDPOINT, "
            "BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY, or see 'backend.ai serve --help'"
        )
    return config
