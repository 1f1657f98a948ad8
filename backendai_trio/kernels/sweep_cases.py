"""The cases of a sweep: every combination of some values, put into commands and variables. Pure.

A range is written ``NAME=case:a,b``, ``NAME=range:start,stop,step`` or
``NAME=linspace:start,stop,n``, as official clients with sweeps have it (seen in 23.09; 1.1.1 has
none). Values are texts from here on: commands and environment variables know nothing else.
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
"""More than these are a slip of the keyboard: each is a kernel."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Short enough that no number of it takes long to work out: "1e999999999" has a billion digits.
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_NUMBER = re.compile(
    r"\s*[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?\s*"
)


@dataclass(frozen=True, slots=True)
class Range:
    """A variable and the values it takes, in order."""

    name: str
    """A letter or ``_``, then letters, digits or ``_``."""
    values: tuple[str, ...]
    """At least one, each once."""


@dataclass(frozen=True, slots=True)
class Case:
    """One combination: what a kernel of its own is made and used with."""

    values: Mapping[str, str] = field(default_factory=dict)
    """Names of the ranges to this case's values; no two cases of a plan have the same."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its kernel, beside those of the `KernelSpec`."""
    build: str = "*"
    """Command that builds its files, ``*`` for the runtime's own."""
    exec: str = "*"
    """Command that runs them, likewise."""

    @property
    def label(self) -> str:
        """Its values in one line: ``LR=0.1 SEED=3``."""
        return " ".join(f"{name}={value}" for name, value in self.values.items())


def parse_range(text: str, *, option: str = "range") -> Range:
    """Read a range.

    Args:
        text: ``NAME=KIND:...``. ``case:a,b`` are the texts between the commas; ``range:5``,
            ``range:1,5`` and ``range:1,10,2`` are integers without the stop, as Python counts;
            ``linspace:0,1,5`` are n numbers from start to stop, both included.
        option: what to call it in an error.

    Raises:
        ConfigError: it is none of these.
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
    except _Wrong as exc:
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
    """Every combination of the ranges' values, the last range changing fastest.

    ``$NAME`` and ``${NAME}`` stand for a value: of `env_ranges` in the values of `environ`, of
    `build_ranges` in `build` and of `exec_ranges` in `exec`. Other names with a ``$`` are left to
    the kernel's shell, and ``$$`` is one ``$``. A range of `env_ranges` that no value uses is a
    variable itself.

    Args:
        environ: variables of all cases.
        build, exec: commands for the files; None for the runtime's own.

    Raises:
        ConfigError: a range is used nowhere, two have one name, or there are more than `MAX_CASES`.
    """
    environ = environ or {}
    kinds = [list(env_ranges), list(build_ranges), list(exec_ranges)]
    everything = [one for kind in kinds for one in kind]
    names = [one.name for one in everything]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(name, "two ranges have this name; give each its own")
    used = {name for value in environ.values() for name in _names_in(value)}
    variables = [one.name for one in kinds[0] if one.name not in used]
    for one in kinds[0]:
        if one.name in variables and one.name in environ:
            raise ConfigError(
                one.name, f"set by a range and by a value that has no ${one.name}; leave one out"
            )
    for command, ranges, what in ((build, kinds[1], "build"), (exec, kinds[2], "exec")):
        for one in ranges:
            if one.name not in _names_in(command or ""):
                raise ConfigError(
                    f"--{what}-range {one.name}",
                    f"it is used nowhere; write ${one.name} where it belongs in --{what}",
                )
    if (count := prod(len(one.values) for one in everything)) > MAX_CASES:
        raise ConfigError(
            "ranges", f"together they are {count:,} cases; the limit is {MAX_CASES:,}"
        )
    cases = []
    for combination in product(*(one.values for one in everything)):
        values = dict(zip(names, combination, strict=True))
        of_env, of_build, of_exec = ({one.name: values[one.name] for one in k} for k in kinds)
        cases.append(
            Case(
                values,
                {name: _fill(value, of_env) for name, value in environ.items()}
                | {name: values[name] for name in variables},
                _fill(build, of_build) if build else "*",
                _fill(exec, of_exec) if exec else "*",
            )
        )
    return cases


class _Wrong(ValueError):
    """Why what stands behind the colon of a range cannot be read."""


def _cases(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _integers(text: str) -> tuple[str, ...]:
    parts = text.split(",")
    if not (1 <= len(parts) <= 3 and all(map(_INTEGER.fullmatch, parts))):
        raise _Wrong("write range:stop, range:start,stop or range:start,stop,step, in integers")
    numbers = [int(part) for part in parts]
    if len(numbers) == 3 and numbers[2] == 0:
        raise _Wrong("its step is 0, so that it would never end")
    values = range(*numbers)
    if not values:
        raise _Wrong("it has no values: the stop is not one of them")
    return _bounded(values)


def _numbers(text: str) -> tuple[str, ...]:
    parts = text.split(",")
    if not (
        len(parts) == 3
        and all(map(_NUMBER.fullmatch, parts[:2]))
        and _INTEGER.fullmatch(parts[2])
        and int(parts[2]) >= 1
    ):
        raise _Wrong("write linspace:start,stop,n: two numbers, and how many values (1 or more)")
    start, stop, count = Fraction(parts[0]), Fraction(parts[1]), int(parts[2])
    step = (stop - start) / max(count - 1, 1)
    return tuple(_written(start + step * int(tick)) for tick in _bounded(range(count)))


def _bounded(values: range) -> tuple[str, ...]:
    # Asked before any is made, and not of `len`, which has a limit of its own.
    if (values[-1] - values[0]) // values.step >= MAX_CASES:
        raise _Wrong(f"it has more than {MAX_CASES:,} values")
    return tuple(map(str, values))


def _written(number: Fraction) -> str:
    """The shortest text that means this number to a program that reads it as a double."""
    if number.denominator == 1 and abs(number) < 10**16:
        return str(number.numerator)
    try:
        return repr(float(number))
    except OverflowError:
        raise _Wrong("its numbers are too large") from None


def _names_in(text: str) -> set[str]:
    """The names behind the dollar signs of a text."""
    matches = Template.pattern.finditer(text)
    return {name for match in matches if (name := match["named"] or match["braced"])}


def _fill(text: str, values: Mapping[str, str]) -> str:
    return Template(text).safe_substitute(values)
