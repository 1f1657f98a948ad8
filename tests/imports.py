"""Reading imports with `ast`, and the rules that they keep (`test_architecture.py` has the table).

Modules are read, not imported, so imports inside functions and under ``TYPE_CHECKING`` count too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

LIBRARY = "backendai_trio"
CLI = "backendai_cli"

IMPURE = frozenset({"trio", "anyio", "socket", "ssl", "time", "random", "os"})
POSIX_ONLY = frozenset({"fcntl", "termios", "pty", "resource", "pwd", "grp", "tty"})


class Import(NamedTuple):
    """One name that a module imports."""

    module: str
    """Absolute name of the module it comes from."""
    name: str
    """``""`` when the module itself is imported."""
    line: int
    guarded: bool
    """Stands in a function, or under a check of the platform or of TYPE_CHECKING."""

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


class Module(NamedTuple):
    """A module as text."""

    source: str
    is_package: bool = False


def read_tree(folder: Path) -> dict[str, Module]:
    """Modules below a package's folder, by absolute name."""
    found: dict[str, Module] = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found[name] = Module(path.read_text(encoding="utf-8"), is_package)
    return found


def is_guard(test: ast.expr) -> bool:
    text = ast.unparse(test)
    return any(word in text for word in ("TYPE_CHECKING", "sys.platform", "os.name"))


def imports_of(name: str, module: Module) -> Iterator[Import]:
    """Everything that a module imports, wherever it stands in it."""
    package = name if module.is_package else name.rpartition(".")[0]

    def absolute(level: int, tail: str) -> str:
        if not level:
            return tail
        parts = package.split(".")
        parts = parts[: len(parts) - level + 1]
        return ".".join([*parts, tail] if tail else parts)

    def walk(node: ast.AST, guarded: bool) -> Iterator[Import]:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(alias.name, "", node.lineno, guarded)
            case ast.ImportFrom():
                source = absolute(node.level, node.module or "")
                for alias in node.names:
                    yield Import(source, alias.name, node.lineno, guarded)
            case ast.Call(func=function, args=[ast.Constant(value=str(text)), *_]) if ast.unparse(
                function
            ).endswith(("import_module", "__import__")):
                level = len(text) - len(text.lstrip("."))
                yield Import(absolute(level, text.lstrip(".")), "", node.lineno, guarded)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                guarded = True
            case ast.If() if is_guard(node.test):
                guarded = True
        for child in ast.iter_child_nodes(node):
            yield from walk(child, guarded)

    yield from walk(ast.parse(module.source), False)


# --- graphs --------------------------------------------------------------------------------------


def target_of(imported: Import, tree: Mapping[str, Module]) -> str:
    """The module that an import loads: ``from .x import y`` may mean ``x`` or ``x.y``."""
    return imported.full if imported.full in tree else imported.module


def package_of(name: str) -> str:
    """The row of a module in the table: the first part of its name below the library."""
    if name.partition(".")[0] == CLI:
        return CLI
    return name.removeprefix(LIBRARY).removeprefix(".").partition(".")[0]


def subpackage_of(name: str) -> str:
    """The package that a module lies in; modules of a package's own folder stand for themselves."""
    parts = name.split(".")
    return name if len(parts) <= (2 if parts[0] == CLI else 3) else ".".join(parts[:-1])


def graph_of(tree: Mapping[str, Module]) -> dict[str, set[str]]:
    """Every module with the modules of the tree that it imports."""
    graph: dict[str, set[str]] = {}
    for name, module in tree.items():
        targets = {target_of(imported, tree) for imported in imports_of(name, module)}
        graph[name] = {target for target in targets if target in tree} - {name}
    return graph


def merged(graph: Mapping[str, set[str]], key: Mapping[str, str]) -> dict[str, set[str]]:
    """The same graph between groups of its nodes."""
    groups: dict[str, set[str]] = {}
    for node, targets in graph.items():
        group = groups.setdefault(key[node], set())
        group.update(key[target] for target in targets if key[target] != key[node])
    return groups


def circle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """Nodes that import each other in a circle; empty if there is none."""
    left = {node: set(targets) for node, targets in graph.items()}
    while free := [node for node, targets in left.items() if not targets & left.keys()]:
        for node in free:
            del left[node]
    return sorted(left)


def floors_of(graph: Mapping[str, set[str]]) -> dict[str, int]:
    """Each node of a graph without circles, and the longest way down from it, from 1."""
    floors: dict[str, int] = {}
    while len(floors) < len(graph):
        for node, targets in graph.items():
            if node not in floors and targets <= floors.keys():
                floors[node] = 1 + max((floors[target] for target in targets), default=0)
    return floors


def reached_from(name: str, tree: Mapping[str, Module]) -> dict[str, str]:
    """Outside modules that a module imports itself or through others, each with its way."""
    outside: dict[str, str] = {}
    seen = {name}
    todo = [(name, name)]
    while todo:
        current, way = todo.pop()
        if current not in tree or current == LIBRARY:
            continue
        for imported in imports_of(current, tree[current]):
            if imported.top != LIBRARY:
                outside.setdefault(imported.top, way)
            elif (target := target_of(imported, tree)) not in seen:
                seen.add(target)
                todo.append((target, f"{way} > {target}"))
    return outside


# --- rules ---------------------------------------------------------------------------------------


def faults_of_library(
    tree: Mapping[str, Module],
    floors: Mapping[str, int],
    *,
    apart: Mapping[str, frozenset[str]] = {},
    pure: frozenset[str] = frozenset(),
    scripts: Mapping[str, frozenset[str]] = {},
) -> list[str]:
    """What is wrong with the imports of the library's modules, a line each.

    Args:
        tree: the modules by absolute name.
        floors: the floor of each package, and of each module beside them.
        apart: packages that a package may not import although they lie below it.
        pure: packages whose modules decide by their arguments only.
        scripts: modules that are run as files by another interpreter, with the packages that they
            may import besides the standard library and the scripts of their folder.
    """
    faults: list[str] = []
    for name, module in tree.items():
        package = package_of(name)
        inner = name.removeprefix(LIBRARY).removeprefix(".")
        if package not in floors:
            faults.append(f"{name}: stands in no row of FLOORS")
            continue
        for imported in imports_of(name, module):
            where = f"{name}:{imported.line}: imports {imported.full}"
            if inner in scripts:
                allowed = sys.stdlib_module_names | scripts[inner]
                if imported.top not in allowed and not is_sibling(name, imported, scripts):
                    faults.append(f"{where}, which is not in the standard library")
            elif imported.top == LIBRARY:
                other = package_of(target_of(imported, tree))
                if other != package and (
                    floors.get(other, 99) >= floors[package] or other in apart.get(package, ())
                ):
                    faults.append(f"{where}, but {package!r} may not import {other!r}")
            elif imported.top == CLI:
                faults.append(f"{where}: the library does not know its command line")
            elif imported.top == "asyncio" and package != "asyncio":
                faults.append(f"{where}: only the asyncio classes may")
        faults.extend(posix_faults(name, module))
        if package in pure:
            faults.extend(
                f"{name}: reaches {impure} by way of {way}"
                for impure, way in reached_from(name, tree).items()
                if impure in IMPURE
            )
    return faults


def is_sibling(name: str, imported: Import, scripts: Iterable[str]) -> bool:
    """Whether a script imports a script of its folder: by its name alone, or for type checkers."""
    folder = name.removeprefix(f"{LIBRARY}.").rpartition(".")[0]
    module = imported.full.removeprefix(f"{LIBRARY}.{folder}.").partition(".")[0]
    return f"{folder}.{module}" in scripts


def posix_faults(name: str, module: Module) -> list[str]:
    """Imports that would keep a module from loading on Windows."""
    if name.startswith(f"{LIBRARY}.gateway"):
        return []  # does not run there, and says so when it is opened
    return [
        f"{name}:{imported.line}: imports {imported.full} at its top, which Windows lacks"
        for imported in imports_of(name, module)
        if imported.top in POSIX_ONLY and not imported.guarded
    ]


def faults_of_cli(
    tree: Mapping[str, Module],
    public: Mapping[str, frozenset[str]],
    pinned: frozenset[str] = frozenset(),
) -> list[str]:
    """What is wrong with the imports of the command line's modules, a line each.

    Args:
        tree: its modules by absolute name.
        public: the library's public packages and modules, and the public names of each.
        pinned: private names of other projects that may be imported, since only releases are
            allowed that are known to have them.
    """
    faults: list[str] = []
    for name, module in tree.items():
        for imported in imports_of(name, module):
            where = f"{name}:{imported.line}: imports {imported.full}"
            if imported.top == LIBRARY:
                if imported.name not in public.get(imported.module, frozenset()):
                    faults.append(f"{where}, which is not a public name of the library")
            elif imported.top == "asyncio":
                faults.append(f"{where}: the command line runs on Trio")
            elif (
                imported.top not in (CLI, "__future__")
                and imported.full not in pinned
                and any(part.startswith("_") for part in imported.full.split("."))
            ):
                faults.append(f"{where}, which is private")
        faults.extend(posix_faults(name, module))
    return faults
