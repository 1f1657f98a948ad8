"""The cases of a sweep: all combinations of some values, put into commands and variables.

A range is written ``NAME=case:a,b``, ``NAME=range:start,stop,step`` or
``NAME=linspace:start,stop,n``, as in the official client 23.09. Values are texts, since commands
and environment variables are. This module does no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import prod
from string import Template

from ..errors import ConfigError

__all__ = ["MAX_CASES", "Case", "Range", "parse_range", "plan_cases"]

MAX_CASES = 100_000
"""Each case is a kernel, so more than this are a typing error."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Short, so that no number takes long to compute: "1e999999999" has a billion digits.
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_NUMBER = re.compile(
    r"\s*[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?\s*"
)


@dataclass(frozen=True, slots=True)
class Range:
    """A variable and its values, in order."""

    name: str
    """Name of the variable: a letter or ``_``, then letters, digits or ``_``."""
    values: tuple[str, ...]
    """One value or more, without duplicates."""


@dataclass(frozen=True, slots=True)
class Case:
    """One combination of values, for one kernel."""

    values: Mapping[str, str] = field(default_factory=dict)
    """Value of each range, by the range's name; different in every case of a plan."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables of the kernel, in addition to those of the `KernelSpec`."""
    build: str = "*"
    """Command of the build stage; ``*`` for the runtime's own."""
    exec: str = "*"
    """Command of the exec stage; ``*`` for the runtime's own."""

    @property
    def label(self) -> str:
        """The values in one line: ``LR=0.1 SEED=3``."""
        return " ".join(f"{name}={value}" for name, value in self.values.items())


def parse_range(text: str, *, option: str = "range") -> Range:
    """Parse a range.

    Args:
        text: ``NAME=KIND:...``. ``case:a,b`` lists texts; ``range:5``, ``range:1,5`` and
            ``range:1,10,2`` are integers without the stop, as for Python's `range`;
            ``linspace:0,1,5`` are n numbers from start to stop, both included.
        option: name of the command-line option, for the error's text.

    Returns:
        The range.

    Raises:
        ConfigError: the text has another form, or has more than `MAX_CASES` values.
    """
    name, equals, expression = text.partition("=")
    kind, colon, rest = expression.partition(":")
    read = {"case": _cases, "range": _integers, "linspace": _numbers}.get(kind)
    where = f"{option} {text!r}" if len(text) < 100 else f"{option} {text[:97]!r}..."
    if not (equals and colon and read and _NAME.fullmatch(name)):
        raise ConfigError(
            where, "write NAME=case:a,b or NAME=range:start,stop,step or NAME=linspace:start,stop,n"
        )
    try:
        values = read(rest)
    except _RangeError as exc:
        raise ConfigError(where, str(exc)) from None
    return Range(name, tuple(dict.fromkeys(values)))


def plan_cases(
    *,
    environ: Mapping[str, str] | None = None,
    build: str | None = None,
    exec: str | None = None,
    env_ranges: Iterable[Range] = (),
    build_ranges: Iterable[Range] = (),
    exec_ranges: Iterable[Range] = (),
) -> list[Case]:
    """List all combinations of the ranges' values; the last range changes fastest.

    ``$NAME`` and ``${NAME}`` are replaced by the value of a range. Other names with a ``$`` are
    left to the kernel's shell, and ``$$`` becomes ``$``.

    Args:
        environ: environment variables of every case.
        build: command of the build stage; None for the runtime's own.
        exec: command of the exec stage; None for the runtime's own.
        env_ranges: ranges to replace in the values of `environ`. One that occurs in none of them
            becomes an environment variable of its own.
        build_ranges: ranges to replace in `build`.
        exec_ranges: ranges to replace in `exec`.

    Returns:
        The cases.

    Raises:
        ConfigError: a command does not contain its range, two ranges have the same name, a range
            and a variable do, or there are more than `MAX_CASES` cases.
    """
    environ = environ or {}
    of_env, of_build, of_exec = list(env_ranges), list(build_ranges), list(exec_ranges)
    ranges = [*of_env, *of_build, *of_exec]
    used = {name for value in environ.values() for name in _names_in(value)}
    variables = [item.name for item in of_env if item.name not in used]
    _check_names(ranges, variables, environ)
    _check_used(of_build, build, "build")
    _check_used(of_exec, exec, "exec")
    if (count := prod(len(item.values) for item in ranges)) > MAX_CASES:
        raise ConfigError(
            "ranges", f"{count:,} combinations, and the limit is {MAX_CASES:,}; use fewer values"
        )
    cases = []
    for combination in product(*(item.values for item in ranges)):
        values = {item.name: value for item, value in zip(ranges, combination, strict=True)}
        in_env, in_build, in_exec = (
            {item.name: values[item.name] for item in kind} for kind in (of_env, of_build, of_exec)
        )
        cases.append(
            Case(
                values,
                {name: _fill(value, in_env) for name, value in environ.items()}
                | {name: values[name] for name in variables},
                _fill(build, in_build) if build else "*",
                _fill(exec, in_exec) if exec else "*",
            )
        )
    return cases


def _check_names(
    ranges: Iterable[Range], variables: Iterable[str], environ: Mapping[str, str]
) -> None:
    names = [item.name for item in ranges]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(name, "two ranges have this name; rename one of them")
    for name in variables:
        if name in environ:
            raise ConfigError(name, "set both by a range and by a variable (-e); drop one of them")


def _check_used(ranges: Iterable[Range], command: str | None, stage: str) -> None:
    names = _names_in(command or "")
    for item in ranges:
        if item.name not in names:
            raise ConfigError(
                f"--{stage}-range {item.name}",
                f"--{stage} does not contain ${item.name}; write it where the value belongs",
            )


class _RangeError(ValueError):
    """The part of a range behind the colon cannot be parsed."""


def _cases(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _integers(text: str) -> tuple[str, ...]:
    parts = text.split(",")
    if not (1 <= len(parts) <= 3 and all(map(_INTEGER.fullmatch, parts))):
        raise _RangeError(
            "write range:stop, range:start,stop or range:start,stop,step; integers only"
        )
    numbers = [int(part) for part in parts]
    if len(numbers) == 3 and numbers[2] == 0:
        raise _RangeError("its step is 0; use another number")
    values = range(*numbers)
    if not values:
        raise _RangeError("it has no values: the stop itself is not included; use a larger one")
    return _bounded(values)


def _numbers(text: str) -> tuple[str, ...]:
    parts = text.split(",")
    if not (
        len(parts) == 3
        and all(map(_NUMBER.fullmatch, parts[:2]))
        and _INTEGER.fullmatch(parts[2])
        and int(parts[2]) >= 1
    ):
        raise _RangeError(
            "write linspace:start,stop,n: two numbers, and how many values (1 or more)"
        )
    start, stop, count = Fraction(parts[0]), Fraction(parts[1]), int(parts[2])
    step = (stop - start) / max(count - 1, 1)
    return tuple(_written(start + step * int(tick)) for tick in _bounded(range(count)))


def _bounded(values: range) -> tuple[str, ...]:
    # Not `len`, which fails for very long ranges, and before any text is made.
    if (values[-1] - values[0]) // values.step >= MAX_CASES:
        raise _RangeError(f"it has more than {MAX_CASES:,} values")
    return tuple(map(str, values))


def _written(number: Fraction) -> str:
    """The shortest text that a program reads as the same double."""
    if number.denominator == 1 and abs(number) < 10**16:
        return str(number.numerator)
    try:
        return repr(float(number))
    except OverflowError:
        raise _RangeError("its numbers are too large for a double") from None


def _names_in(text: str) -> set[str]:
    """The names that have a ``$`` in front of them in a text."""
    matches = Template.pattern.finditer(text)
    return {name for match in matches if (name := match["named"] or match["braced"])}


def _fill(text: str, values: Mapping[str, str]) -> str:
    return Template(text).safe_substitute(values)
