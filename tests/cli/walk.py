"""Every command that exists, for tests that go through all."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from backendai_cli.main import cli

__all__ = ["EVERY", "each"]


def _below(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _below(command, (*path, name))


EVERY = dict(_below(cli))
"""The commands by the words that call them."""

each = pytest.mark.parametrize("path", EVERY, ids=" ".join)
