"""Options of the commands that start a service in a kernel."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from backendai_trio.kernels import ServiceOptions

__all__ = ["service_options"]

R = TypeVar("R")


def service_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options to a command, which gets them as its argument `options`: None if none was
    given."""

    @wraps(command)
    def collect(
        *args: Any, arg: tuple[str, ...], env: tuple[str, ...], port: int | None, **rest: Any
    ) -> R:
        return command(*args, **rest, options=_parse(arg, env, port))

    decorated: Callable[..., R] = collect
    for option in (
        click.option(
            "-p", "--port", type=click.IntRange(1024, 65535), metavar="PORT",
            help="Port of the service, where it has several [default: the first].",
        ),
        click.option(
            "-e", "--env", "--envs", "env", multiple=True, metavar="NAME[=VALUE]",
            help="Environment variable of the service; without a value, that of this command's "
            "own environment; may be repeated.",
        ),
        click.option(
            "--arg", "--args", "arg", multiple=True, metavar='"--OPTION [VALUE]"',
            help="Argument of the service; may be repeated. 'backend.ai apps ID' shows what it "
            "takes.",
        ),
    ):  # fmt: skip
        decorated = option(decorated)
    return decorated


def _parse(
    arguments: tuple[str, ...], variables: tuple[str, ...], port: int | None
) -> ServiceOptions | None:
    if not (arguments or variables or port):
        return None
    from backendai_trio.kernels import ServiceOptions

    return ServiceOptions(
        dict(map(_argument, arguments)), dict(map(_variable, variables)), port or 0
    )


def _argument(text: str) -> tuple[str, str | tuple[str, ...] | None]:
    try:
        words = shlex.split(text)
    except ValueError:  # no closing quotation mark, or nothing behind a backslash
        raise click.UsageError(f"--arg {text}: its quotation marks do not match") from None
    if not words:
        raise click.UsageError("--arg is empty; write it as --arg '--option value'")
    name, equals, value = words[0].partition("=")
    values = [value] * bool(equals) + words[1:]
    return name, tuple(values) if len(values) > 1 else values[0] if values else None


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise click.UsageError(f"-e {text}: write it as NAME=VALUE")
    if not equals and (value := os.environ.get(name, "")) == "" and name not in os.environ:
        raise click.UsageError(f"-e {name}: there is no such variable here; write {name}=VALUE")
    return name, value
