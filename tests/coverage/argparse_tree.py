"""Print the commands and options of the official client 1.1.1, as `official-1.1.1.txt` has them.

It is run by the Python in whose environment that client is; see `click_tree.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module

CLI = "ai.backend.client.cli"
MODULES = ("admin", "config", "proxy", "ps", "run", "vfolder")
SHORTCUTS = ("lcc", "lpython")
"""Programs that are the command `run` for one runtime."""


def lines(parser: argparse.ArgumentParser, path: str) -> Iterator[str]:
    """A line for each command of a parser, which is one itself if it has none."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for group in groups:
        for name, command in group.choices.items():
            yield from lines(command, f"{path} {name}".strip())
    if not groups:
        options = ("/".join(a.option_strings) for a in parser._actions if a.dest != "help")
        yield " ".join([f"{path}:", *filter(None, options)])


if __name__ == "__main__":
    for module in MODULES:
        import_module(f"{CLI}.{module}")
    found = list(lines(import_module(CLI).global_argparser, ""))
    (run,) = (line for line in found if line.startswith("run:"))
    found += [run.replace("run", shortcut, 1) for shortcut in SHORTCUTS]
    print("\n".join(sorted(found)))
