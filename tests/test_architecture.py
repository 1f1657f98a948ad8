"""The order of floors: imports only go down.

Every module is read with `ast`, not imported, so that imports inside functions and under
``TYPE_CHECKING`` count too. A module that stands in no row of the tables below fails the test: new
ones are put in by hand, on purpose.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import backendai_trio

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = "backendai_trio"
CLI = "backendai_cli"

# --- the order -----------------------------------------------------------------------------------

# What each module, or package with all below it, belongs to; the longest name that fits counts.
FLOORS = {
    "errors": "base",
    "config": "base",
    "signing": "base",
    "cases": "base",
    "_folders": "base",
    "_groups": "base",
    "_version": "base",
    "_environment": "environment",
    "_serving": "serving",
    "_profiles": "environment",
    "_logins": "environment",
    "journal": "environment",
    "wire": "wire",
    "_paths": "disk",
    "_archives": "disk",
    "_feeding": "disk",
    "transport": "transport",
    "kernels": "api",
    "events": "api",
    "executions": "api",
    "terminals": "api",
    "files": "api",
    "uploads": "api",
    "downloads": "api",
    "joining": "api",
    "progress": "api",
    "scripts": "api",
    "kernel_files": "api",
    "sending": "api",
    "retries": "api",
    "channels": "api",
    "apps": "api",
    "vfolders": "api",
    "folder_uploads": "api",
    "folder_downloads": "api",
    "admin": "api",
    "logins": "api",
    "plain": "api",
    "targets": "targets",
    "sweeps": "api",
    "_portal": "portal",
    "_jobs": "portal",
    "_faces": "faces",
    "blocking": "faces",
    "asyncio": "faces",
    "proxy": "proxy",
    "gateway": "gateway",
    "gateway.host": "script",
    "gateway.runner": "script",
    "testing": "testing",
    "": "root",
}

_BASE = {"base"}
_WIRE = _BASE | {"wire"}
_DISK = _WIRE | {"disk"}
_TRANSPORT = _WIRE | {"environment", "transport"}
_API = _TRANSPORT | {"disk", "api"}
_GATEWAY = _WIRE | {"disk", "serving", "gateway", "script"}
# What each of them may import besides itself.
BELOW = {
    "base": _BASE,
    "environment": _BASE | {"environment"},
    "serving": _BASE | {"serving"},
    "wire": _WIRE,
    # Safe names, files and archives on disk: both sides write what others have named.
    "disk": _DISK,
    "transport": _TRANSPORT,
    "api": _API,
    # The one place that knows both sides: a client comes with the gateway that it talks to.
    "targets": _API | _GATEWAY | {"targets"},
    "portal": _API | {"targets", "portal"},
    "faces": _API | {"portal", "faces"},
    # A client of one server and a server itself; the gateway is a server like any other to it.
    "proxy": _API | {"serving", "proxy"},
    # Client and gateway meet in `wire` only, beside the tools of the floor "disk".
    "gateway": _GATEWAY,
    # Run as files by another interpreter, where this library is not installed.
    "script": set[str](),
    "testing": _GATEWAY | {"testing"},
    "root": set(FLOORS.values()) - {"script", "testing", "root"},
}

# Modules that decide by their arguments alone.
PURE = ("wire", "signing", "cases")
IMPURE = frozenset({"trio", "anyio", "httpcore2", "socket", "ssl", "time", "random", "os"})
POSIX_ONLY = frozenset({"fcntl", "termios", "pty", "resource", "pwd", "grp", "tty"})
# Besides the standard library.
OUTSIDE = {"gateway.runner": {"lupa"}, "gateway.host": set[str](), "_environment": set[str]()}


# --- reading -------------------------------------------------------------------------------------


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


def floor_of(name: str) -> str | None:
    """The floor of a module of the library, None for one that no row of the table names."""
    inner = name.removeprefix(LIBRARY).removeprefix(".")
    while inner:
        if inner in FLOORS:
            return FLOORS[inner]
        inner = inner.rpartition(".")[0]
    return FLOORS[""] if name == LIBRARY else None


def target_of(imported: Import, tree: Mapping[str, Module]) -> str:
    """The library's module that an import loads: ``from .x import y`` may mean ``x`` or ``x.y``."""
    named_in_table = imported.full.removeprefix(f"{LIBRARY}.") in FLOORS
    is_module = imported.full in tree or (imported.module == LIBRARY and named_in_table)
    return imported.full if is_module else imported.module


# --- judging -------------------------------------------------------------------------------------


def faults_of_library(tree: Mapping[str, Module]) -> list[str]:
    """What is wrong with the imports of the library's modules, a line each."""
    faults: list[str] = []
    for name, module in tree.items():
        floor = floor_of(name)
        if floor is None:
            faults.append(f"{name}: stands in no row of FLOORS")
            continue
        inner = name.removeprefix(LIBRARY).removeprefix(".")
        outside = OUTSIDE.get(inner)
        for imported in imports_of(name, module):
            where = f"{name}:{imported.line}: imports {imported.full}"
            if imported.top == LIBRARY:
                target = target_of(imported, tree)
                target_floor = floor_of(target)
                if target_floor not in BELOW[floor] and target != name:
                    faults.append(f"{where}, but {floor} may not import {target_floor}")
                continue
            if imported.top == CLI:
                faults.append(f"{where}: the library does not know its command line")
            if imported.top == "asyncio" and not inner.startswith("asyncio"):
                faults.append(f"{where}: only the asyncio face may")
            if (
                outside is not None
                and imported.top not in sys.stdlib_module_names
                and imported.top not in outside
            ):
                faults.append(f"{where}, which is not in the standard library")
        faults.extend(posix_faults(name, module))
        if inner.partition(".")[0] in PURE:
            faults.extend(
                f"{name}: reaches {impure} by way of {way}"
                for impure, way in reached_from(name, tree).items()
                if impure in IMPURE
            )
    return faults


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


def posix_faults(name: str, module: Module) -> list[str]:
    """Imports that would keep a module from loading on Windows."""
    if name.startswith(f"{LIBRARY}.gateway"):
        return []  # does not run there; its package says so before it imports one of them
    return [
        f"{name}:{imported.line}: imports {imported.full} at its top, which Windows lacks"
        for imported in imports_of(name, module)
        if imported.top in POSIX_ONLY and not imported.guarded
    ]


def faults_of_cli(tree: Mapping[str, Module], public: frozenset[str]) -> list[str]:
    """What is wrong with the imports of the command line's modules, a line each."""
    faults: list[str] = []
    allowed = public | {"__version__"}
    for name, module in tree.items():
        aliases: set[str] = set()
        for imported in imports_of(name, module):
            where = f"{name}:{imported.line}: imports {imported.full}"
            if imported.top == LIBRARY:
                if imported.full == LIBRARY:
                    aliases.add(LIBRARY)
                elif imported.module != LIBRARY or imported.name not in allowed:
                    faults.append(f"{where}, which is not a public name of the library")
            elif imported.top == "asyncio":
                faults.append(f"{where}: only the asyncio face may")
            elif imported.top not in (CLI, "__future__") and any(
                part.startswith("_") for part in imported.full.split(".")
            ):
                faults.append(f"{where}, which is private")
        faults.extend(posix_faults(name, module))
        for node in ast.walk(ast.parse(module.source)):
            match node:
                case ast.Import():
                    aliases.update(
                        alias.asname
                        for alias in node.names
                        if alias.name == LIBRARY and alias.asname
                    )
                case ast.Attribute(value=ast.Name(id=alias), attr=attribute) if (
                    alias in aliases and attribute not in allowed
                ):
                    faults.append(f"{name}:{node.lineno}: {alias}.{attribute} is not public")
    return faults


# --- the library and its command line ------------------------------------------------------------


def test_library_keeps_the_order() -> None:
    tree = read_tree(ROOT / LIBRARY)
    assert f"{LIBRARY}.errors" in tree
    assert faults_of_library(tree) == []


def test_command_line_uses_public_names_only() -> None:
    tree = read_tree(ROOT / "cli" / CLI)
    assert faults_of_cli(tree, frozenset(backendai_trio.__all__)) == []


def test_nothing_called_cli_is_installed() -> None:
    assert not (ROOT / "cli" / "__init__.py").exists()


def test_public_names_are_those_that_type_checkers_see() -> None:
    """The root loads names on first use; what it loads and what it shows must be the same."""
    tree = read_tree(ROOT / LIBRARY)
    seen = {
        (imported.module.removeprefix(f"{LIBRARY}."), imported.name)
        for imported in imports_of(LIBRARY, tree[LIBRARY])
        if imported.top == LIBRARY and imported.name != "__version__"
    }
    loaded = {(module, name) for module, names in backendai_trio._HOMES.items() for name in names}
    assert loaded == seen
    assert sorted(name for _, name in loaded) == backendai_trio.__all__


@pytest.mark.parametrize("name", backendai_trio.__all__)
def test_public_name_is_there(name: str) -> None:
    module = backendai_trio._HOME_OF[name]
    path = ROOT.joinpath(LIBRARY, *module.split("."))
    if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
        assert getattr(backendai_trio, name) is not None
    assert name in dir(backendai_trio)


def test_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = backendai_trio.no_such_name


# --- the judge itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("errors", "from .config import Config"),
        ("wire.http", "from ..errors import ApiError\nfrom .fields import Fields"),
        ("wire.http", "import re, json\nfrom urllib.parse import quote"),
        ("_environment", "import os\nfrom .config import parse_config"),
        ("transport.client", "import httpcore2, trio\nfrom .._environment import read_config"),
        ("kernels", "from .executions import Execution\nfrom .transport.client import Client"),
        ("kernels", "from . import executions\nfrom .wire import kernels"),
        ("blocking", "from ._jobs import Job\nfrom .kernels import open_kernel"),
        ("asyncio", "import asyncio\nfrom ..kernels import open_kernel"),
        ("asyncio.streams", "from asyncio import Event"),
        ("gateway.app", "from ..wire.http import Problem\nfrom .kernels import Kernel\nimport pty"),
        ("gateway.app", "from .._serving import x\nfrom ..signing import verify"),
        ("gateway.runner", "import json, os\nimport lupa"),
        ("gateway.host", "import fcntl"),
        ("testing", "import pytest\nfrom .gateway import open_gateway"),
        ("terminals", "def f():\n    import termios"),
        ("terminals", "import sys\nif sys.platform != 'win32':\n    import termios"),
        ("", "from .kernels import open_kernel\nfrom .gateway import open_gateway"),
    ],
)
def test_judge_lets_pass(name: str, source: str) -> None:
    module = f"{LIBRARY}.{name}".rstrip(".")
    tree = {module: Module(source, is_package=name in ("", "asyncio", "gateway"))}
    assert faults_of_library(tree) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("surprise", ""),
        ("surprise.inner", ""),
        ("errors", "from .wire.http import Reply"),
        ("errors", "from .wire import http"),
        ("errors", "from . import kernels"),
        ("config", "from ._environment import read_config"),
        ("_environment", "import trio"),
        ("_environment", "from .transport.client import open_client"),
        ("wire.http", "from ..transport.client import Client"),
        ("wire.http", "import os"),
        ("wire.http", "def f():\n    from time import monotonic"),
        ("wire.http", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trio"),
        ("wire.http", "from .._groups import one_error"),
        ("signing", "import random"),
        ("signing", "import socket as s"),
        ("transport.client", "from ..kernels import TrioKernel"),
        ("transport.client", "from ..gateway import open_gateway"),
        ("kernels", "from ._jobs import Job"),
        ("kernels", "from . import open_client"),
        ("kernels", "import backendai_trio"),
        ("kernels", "def f():\n    import backendai_trio.blocking"),
        ("kernels", "if TYPE_CHECKING:\n    from .blocking import Kernel"),
        ("kernels", "import asyncio"),
        ("kernels", "from asyncio import Event"),
        ("kernels", "import importlib\nimportlib.import_module('asyncio')"),
        ("kernels", "from importlib import import_module\nimport_module('.blocking', 'x')"),
        ("kernels", "from backendai_cli import main"),
        ("terminals", "import termios"),
        ("terminals", "try:\n    import tty\nexcept ImportError:\n    tty = None"),
        ("_portal", "from .blocking import Kernel"),
        ("blocking", "import asyncio"),
        ("proxy.server", "from ..gateway.server import open_gateway"),
        ("transport.client", "from .._serving import serve_app"),
        ("gateway.app", "from ..proxy.server import open_proxy"),
        ("gateway.app", "from ..kernels import open_kernel"),
        ("gateway.app", "from ..transport.client import Client"),
        ("gateway.app", "from ..transport import client"),
        ("gateway.app", "from .._environment import read_config"),
        ("gateway.app", "from ..testing import x"),
        ("gateway.host", "import trio"),
        ("gateway.host", "from . import limits"),
        ("gateway.host", "import lupa"),
        ("gateway.runner", "from ..wire.fields import Fields"),
        ("gateway.runner", "import trio"),
        ("testing", "from .blocking import Kernel"),
        ("", "from .testing import gateway"),
    ],
)
def test_judge_finds(name: str, source: str) -> None:
    module = f"{LIBRARY}.{name}".rstrip(".")
    groups = Module("import trio")
    tree = {f"{LIBRARY}._groups": groups, module: Module(source, is_package=not name)}
    assert len(faults_of_library(tree)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import click, trio\nfrom backendai_trio import open_kernel",
        "from __future__ import annotations\nfrom ._output import show\nfrom . import _output",
        "import backendai_trio\nbackendai_trio.open_kernel",
        "import backendai_trio as library\nlibrary.open_kernel, library.__version__",
        "from backendai_trio import __version__",
        "def f():\n    import termios",
    ],
)
def test_judge_lets_the_command_line_pass(source: str) -> None:
    assert faults_of_cli({f"{CLI}.main": Module(source)}, frozenset({"open_kernel"})) == []


@pytest.mark.parametrize(
    "source",
    [
        "from backendai_trio import hidden",
        "from backendai_trio import *",
        "from backendai_trio import _environment",
        "from backendai_trio.kernels import open_kernel",
        "import backendai_trio.kernels",
        "def f():\n    from backendai_trio.wire.http import Reply",
        "if TYPE_CHECKING:\n    from backendai_trio.errors import ApiError",
        "import backendai_trio\nbackendai_trio.kernels",
        "import backendai_trio as library\nlibrary._environment",
        "from click._compat import x",
        "import _thread",
        "from click import _winconsole",
        "import asyncio",
        "import termios",
    ],
)
def test_judge_finds_in_the_command_line(source: str) -> None:
    assert len(faults_of_cli({f"{CLI}.main": Module(source)}, frozenset({"open_kernel"}))) == 1
