"""`--limit NAME=AMOUNT`: what the programs of kernels may use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from backendai_trio.gateway import KernelLimits, parse_bytes

__all__ = ["limit_option"]

_FIELDS: dict[str, tuple[str, Callable[[str], int]]] = {
    "memory": ("memory_bytes", parse_bytes),
    "cores": ("cores", int),
    "processes": ("processes", int),
    "open-files": ("open_files", int),
    "cpu-time": ("cpu_seconds", int),
    "file-size": ("file_bytes", parse_bytes),
}


def _limits(_context: click.Context, _option: click.Parameter, texts: Any) -> KernelLimits:
    found: dict[str, int] = {}
    for text in texts:
        name, _, amount = text.partition("=")
        if name not in _FIELDS:
            known = ", ".join(_FIELDS)
            raise click.BadParameter(f"there is no limit {name!r}; use one of {known}")
        field, read = _FIELDS[name]
        try:
            found[field] = read(amount)
        except ValueError:
            example = "4g or 512m" if read is parse_bytes else "10"
            raise click.BadParameter(
                f"{amount!r} is no amount of {name}; give one such as {example}"
            ) from None
        if found[field] <= 0:
            raise click.BadParameter(f"{name} must be more than 0; leave it out for no limit")
    return KernelLimits(**found)


limit_option = click.option(
    "--limit",
    "kernel_limits",
    multiple=True,
    metavar="NAME=AMOUNT",
    callback=_limits,
    help="Limit what kernels use, e.g. memory=4g; may be repeated. NAME: memory and cores (of a "
    "kernel), processes, open-files, cpu-time (seconds), file-size.",
)
