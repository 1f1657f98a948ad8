"""The options of a sweep, and its cases."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..parameters import LocalPath

if TYPE_CHECKING:
    from backendai_trio import Case

__all__ = ["SweepOptions", "sweep_options"]

_MAX_PARALLEL = 2  # as with the official client
_RANGES = {
    "env_range": "Sweep: values of an environment variable.",
    "build_range": "Sweep: values in --build.",
    "exec_range": "Sweep: values in --exec.",
}


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """The sweep that a command line asks for."""

    env_range: tuple[str, ...]
    build_range: tuple[str, ...]
    exec_range: tuple[str, ...]
    max_parallel: int | None
    fail_fast: bool | None
    results: Path | None
    resume: Path | None

    @property
    def parallel(self) -> int:
        """How many kernels may exist at a time."""
        return self.max_parallel or _MAX_PARALLEL

    def cases(
        self, environ: Mapping[str, str], build: str | None, execute: str | None
    ) -> list[Case] | None:
        """The cases of the sweep; None if no sweep is asked for.

        Raises:
            ConfigError: a range is malformed, or nothing uses it.
            click.UsageError: an option of sweeps is given without a range.
        """
        given = [f"--{name.replace('_', '-')}" for name in _OPTIONS if _is_set(getattr(self, name))]
        if not given:
            return None
        if not any(name.endswith("-range") for name in given):
            raise click.UsageError(
                f"{given[0]} is for sweeps: give --env-range, --build-range or --exec-range with it"
            )
        from backendai_trio import plan_cases
        from backendai_trio.kernels import parse_range

        ranges = {
            f"{name}s": [
                parse_range(text, option=f"--{name.replace('_', '-')}")
                for text in getattr(self, name)
            ]
            for name in _RANGES
        }
        return plan_cases(environ=environ, build=build, exec=execute, **ranges)


_OPTIONS = tuple(SweepOptions.__dataclass_fields__)


def _is_set(value: object) -> bool:
    return value is not None and value != ()


def sweep_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options of a sweep to a command, which receives them as its argument `sweep`."""

    @functools.wraps(function)
    def command(**arguments: object) -> int:
        own = {name: arguments.pop(name) for name in _OPTIONS}
        return function(sweep=SweepOptions(**own), **arguments)  # type: ignore[arg-type]

    path = LocalPath(dir_okay=False)
    options = [
        *(
            click.option(f"--{name.replace('_', '-')}", multiple=True, metavar="RANGE", help=text)
            for name, text in _RANGES.items()
        ),
        click.option(
            "--max-parallel",
            metavar="N",
            type=click.IntRange(min=1),
            help=f"Sweep: number of kernels at a time [default: {_MAX_PARALLEL}].",
        ),
        click.option(
            "--fail-fast/--keep-going",
            default=None,
            help="Sweep: stop at the first case that fails, or run all [default: run all].",
        ),
        click.option(
            "--results",
            metavar="FILE",
            type=path,
            help="Sweep: file for the results, one JSON object for each case.",
        ),
        click.option(
            "--resume",
            metavar="FILE",
            type=path,
            help="Sweep: run the cases that have not succeeded in FILE, and append their results.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command
