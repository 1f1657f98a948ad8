"""Print the commands and options of the official client, as `official-*.txt` has them.

It is run by the Python in whose environment that client is:

    VENV/bin/python tests/coverage/click_tree.py > tests/coverage/official-26.9.6.txt
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import click


def lines(command: click.Command, path: str, context: click.Context) -> Iterator[str]:
    """A line for each command below this one, and for a group that has options."""
    options = [
        "/".join([*parameter.opts, *parameter.secondary_opts])
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ]
    if not isinstance(command, click.Group) or options:
        yield " ".join([f"{path.strip()}:", *options])
    if isinstance(command, click.Group):
        for name in sorted(command.list_commands(context)):
            below = command.get_command(context, name)
            assert below is not None
            yield from lines(below, f"{path} {name}", context)


if __name__ == "__main__":
    root = import_module("ai.backend.cli.loader").load_entry_points()
    print("\n".join(lines(root, "", click.Context(root))))
