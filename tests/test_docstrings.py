"""Every public callable says what it takes, what it raises, and where that is on the wire."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from .test_architecture import PUBLIC

_SECTION = re.compile(r"^(Args|Returns|Raises|Cancellation|Endpoint):", re.MULTILINE)
# Async, and nothing can go wrong.
_NEVER_FAIL = frozenset(
    {
        "AppStream.aclose",
        "ConnectionState.wait_back",
        "ConnectionState.wait_changed",
        "ConnectionState.wait_lost",
        "EventStream.aclose",
        "Terminal.aclose",
        "TrioKernel.destroy_or_warn",
    }
)
_SEE = re.compile(r"^\s*See\b", re.IGNORECASE)


def public_objects() -> Iterator[tuple[str, Any]]:
    """Every public class and function, by its full name, once."""
    seen: set[int] = set()
    for package, names in sorted(PUBLIC.items()):
        module = import_module(package)
        for name in sorted(names):
            thing = getattr(module, name)
            if (inspect.isclass(thing) or inspect.isroutine(thing)) and id(thing) not in seen:
                seen.add(id(thing))
                yield f"{package}.{name}", thing


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public functions, and the public methods of public classes."""
    for name, thing in public_objects():
        if inspect.isroutine(thing):
            yield name, thing
        elif issubclass(thing, (enum.Enum, BaseException)):
            continue
        else:
            for attribute, value in sorted(vars(thing).items()):
                if attribute.startswith("_"):
                    continue
                if isinstance(value, (classmethod, staticmethod)):
                    value = value.__func__
                if inspect.isfunction(value):
                    yield f"{name}.{attribute}", value


def is_method(name: str) -> bool:
    """Whether the first parameter of a public callable is the object before the dot."""
    owner = name.rpartition(".")[0]
    return inspect.isclass(dict(public_objects()).get(owner))


def faults_of(function: Callable[..., Any], *, method: bool = False) -> list[str]:
    """What a docstring lacks. A method is described without its first parameter."""
    doc = inspect.getdoc(function) or ""
    if not doc:
        return ["has no docstring"]
    faults: list[str] = []
    if _SEE.match(doc):
        faults.append("only points elsewhere")
    if not doc.partition("\n")[0].rstrip().endswith((".", "?", "``", ":")):
        faults.append("its first line is no sentence")
    body = inspect.unwrap(function)
    # Methods of the blocking and asyncio classes wait for the same Trio function.
    waits = inspect.iscoroutinefunction(body) or inspect.iscoroutinefunction(function)
    taken = list(inspect.signature(function).parameters)[1 if method else 0 :]
    parameters = [name for name in taken if name not in ("self", "cls", "task_status")]
    never_fails = function.__qualname__ in _NEVER_FAIL
    described = _arguments_of(doc)
    if missing := [name for name in parameters if name not in described]:
        faults.append(f"does not describe {', '.join(missing)}")
    if unknown := [n for n in described if n not in (*parameters, "task_status")]:
        faults.append(f"describes what it does not take: {', '.join(unknown)}")
    if waits and not never_fails and "Raises" not in _SECTION.findall(doc):
        faults.append("is async, and does not say what it raises")
    return faults


def _arguments_of(doc: str) -> list[str]:
    """Names below ``Args:``."""
    match = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", doc, re.MULTILINE)
    if match is None:
        return []
    names: list[str] = []
    for line in match[1].splitlines():
        if found := re.match(r"    ([\w*]+(?:, [\w*]+)*):", line):
            names += [name.lstrip("*") for name in found[1].split(", ")]
    return names


CALLABLES = dict(public_callables())


@pytest.mark.parametrize("name", CALLABLES)
def test_public_callables_are_described(name: str) -> None:
    assert faults_of(CALLABLES[name], method=is_method(name)) == []


@pytest.mark.parametrize("name", [name for name, _ in public_objects()])
def test_public_objects_have_docstrings(name: str) -> None:
    thing = dict(public_objects())[name]
    doc = inspect.getdoc(thing) or ""
    assert doc and not _SEE.match(doc)
    if dataclasses.is_dataclass(thing):
        assert not doc.startswith(f"{thing.__name__}("), "the docstring is the generated one"


def test_the_check_finds_what_is_missing() -> None:
    async def undescribed(path: str, *, size: int) -> None:
        """Do it.

        Args:
            path: where.
            depth: how deep.
        """

    def elsewhere() -> None:
        """See `other`."""

    def silent() -> None: ...

    async def described(path: str) -> None:
        """Send a file.

        Args:
            path: of the file.

        Raises:
            OSError: it cannot be read.
        """

    assert faults_of(undescribed) == [
        "does not describe size",
        "describes what it does not take: depth",
        "is async, and does not say what it raises",
    ]
    assert faults_of(elsewhere) == ["only points elsewhere"]
    assert faults_of(silent) == ["has no docstring"]
    assert faults_of(described) == []
