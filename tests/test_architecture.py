"""The map of the library: which package stands on which, and what is public.

Imports only go down: a package imports packages of lower floors, and modules import each other in
no circle, within a package either. New packages are put into the table by hand, on purpose.
"""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import backendai_trio
from backendai_trio._lazy import public_names

from .imports import (
    CLI,
    LIBRARY,
    Module,
    circle_in,
    faults_of_cli,
    faults_of_library,
    floors_of,
    graph_of,
    merged,
    package_of,
    read_tree,
    subpackage_of,
)

ROOT = Path(__file__).resolve().parent.parent

# --- the map -------------------------------------------------------------------------------------

FLOORS = {
    "_api_versions": 1,
    "_version": 1,  # written by a build, so it may be missing
    "_lazy": 1,
    "_groups": 1,
    "_read_share": 1,
    "_http_connection": 2,
    "_asgi": 3,
    "errors": 1,
    "": 2,  # the public names
    "config": 2,
    "wire": 3,
    "files": 4,
    "transport": 4,
    "kernels": 5,
    "vfolders": 5,
    "admin": 5,
    "login": 5,
    "gateway": 5,
    "proxy": 6,
    "faces": 6,
    "testing": 6,
    "asyncio": 7,
    CLI: 8,
}
APART = {
    # Client and gateway meet in the messages, and in the tools for the local disk.
    "gateway": frozenset({"transport"}),
    # The gateway is a server like any other to them.
    "proxy": frozenset({"gateway"}),
}
PURE = frozenset({"wire"})
SCRIPTS = {
    "gateway.processes.host.host_main": frozenset[str](),
    "gateway.processes.host.serving": frozenset[str](),
    "gateway.processes.host.programs": frozenset[str](),
    "gateway.processes.host.process_tree": frozenset[str](),
    "gateway.processes.host.folder_removal": frozenset[str](),
    "gateway.processes.scripts.interpreter_main": frozenset[str](),
    "gateway.processes.scripts.interpreter_control": frozenset[str](),
    "gateway.processes.scripts.python_interpreter": frozenset[str](),
    "gateway.processes.scripts.python_stdio": frozenset[str](),
    "gateway.processes.scripts.python_blocks": frozenset[str](),
    "gateway.processes.scripts.ordered_output": frozenset[str](),
    "gateway.processes.scripts.lua_interpreter": frozenset({"lupa"}),
}
PUBLIC_PACKAGES = (
    "", "admin", "config", "faces", "files", "gateway", "kernels", "proxy", "testing", "transport",
    "vfolders",
)  # fmt: skip
PUBLIC_MODULES = ("asyncio", "errors", "login")


def names_of_packages() -> dict[str, frozenset[str]]:
    """The public packages and modules by absolute name, and the public names of each."""
    public: dict[str, frozenset[str]] = {}
    for package in PUBLIC_PACKAGES:
        name = f"{LIBRARY}.{package}".rstrip(".")
        stub = ROOT.joinpath(*name.split("."), "__init__.py")
        public[name] = frozenset(public_names(str(stub)))
    for module in PUBLIC_MODULES:
        name = f"{LIBRARY}.{module}"
        public[name] = frozenset(import_module(name).__all__)
    return public


PUBLIC = names_of_packages()


def faults(tree: dict[str, Module]) -> list[str]:
    return faults_of_library(tree, FLOORS, apart=APART, pure=PURE, scripts=SCRIPTS)


# --- the library and its command line ------------------------------------------------------------


def test_imports_of_the_library_go_down() -> None:
    tree = read_tree(ROOT / LIBRARY)
    assert f"{LIBRARY}.errors" in tree
    assert faults(tree) == []


@pytest.mark.parametrize("folder", [LIBRARY, f"cli/{CLI}"])
def test_no_circle_between_modules(folder: str) -> None:
    graph = graph_of(read_tree(ROOT / folder))
    assert circle_in(graph) == []


@pytest.mark.parametrize("folder", [LIBRARY, f"cli/{CLI}"])
def test_no_circle_between_packages_within_a_package(folder: str) -> None:
    graph = graph_of(read_tree(ROOT / folder))
    assert circle_in(merged(graph, {name: subpackage_of(name) for name in graph})) == []


def test_the_floors_are_those_of_the_table() -> None:
    graph = graph_of(read_tree(ROOT / LIBRARY))
    packages = merged(graph, {name: package_of(name) for name in graph})
    for package, floor in floors_of(packages).items():
        assert floor <= FLOORS[package], package
    assert max(FLOORS.values()) == 8
    assert {package for package in FLOORS if package != CLI} == packages.keys() | {"_version"}


def test_the_command_line_uses_public_names_only() -> None:
    public = PUBLIC | {LIBRARY: PUBLIC[LIBRARY] | {"__version__"}}
    pinned = frozenset({"textual_image._sixel.image_to_sixels"})
    assert faults_of_cli(read_tree(ROOT / "cli" / CLI), public, pinned) == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    encoder = project["optional-dependencies"]["sixel"][0]
    assert re.fullmatch(r"textual-image>=[\d.]+,<[\d.]+", encoder)


def test_nothing_called_cli_is_installed() -> None:
    assert not (ROOT / "cli" / "__init__.py").exists()


# --- public names --------------------------------------------------------------------------------


def test_the_top_level_is_what_first_programs_need() -> None:
    assert len(backendai_trio.__all__) <= 60
    assert {"open_kernel", "Kernel", "BackendError", "open_client"} <= set(backendai_trio.__all__)


def test_a_public_name_has_one_home() -> None:
    # asyncio's classes are called like the blocking ones, as client 1.1.1 has it; errors that first
    # programs catch are at the top level.
    homes: dict[str, list[str]] = {}
    for package, names in PUBLIC.items():
        if package not in (f"{LIBRARY}.asyncio", f"{LIBRARY}.errors"):
            for name in names:
                homes.setdefault(name, []).append(package)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


@pytest.mark.parametrize("package", PUBLIC_PACKAGES)
def test_public_names_are_there(package: str) -> None:
    module = import_module(f"{LIBRARY}.{package}".rstrip("."))
    for name in PUBLIC[module.__name__]:
        assert getattr(module, name) is not None
        assert name in dir(module)
    assert sorted(PUBLIC[module.__name__]) == module.__all__
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


# --- the rules themselves ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("errors", "import re"),
        ("config.settings", "from ..errors import ConfigError"),
        ("wire.http", "from ..errors import ApiError\nfrom .json_fields import Fields"),
        ("wire.http", "import re, json\nfrom urllib.parse import quote"),
        ("transport.client", "import trio\nfrom ..config.environment import read_config"),
        ("kernels.kernel", "from .execution import Execution\nfrom ..wire import kernels"),
        ("faces.blocking", "from .calls import Call\nfrom ..kernels.kernel import open_kernel"),
        ("asyncio.streams", "from asyncio import Event"),
        (
            "gateway.api.app",
            "from ...wire.http import Problem\nfrom ..kernels import x\nimport pty",
        ),
        ("gateway.processes.scripts.lua_interpreter", "import json, os\nimport lupa"),
        (
            "gateway.processes.scripts.python_interpreter",
            "if TYPE_CHECKING:\n    from .interpreter_control import Control\n"
            "else:\n    from interpreter_control import Control\nimport asyncio",
        ),
        ("gateway.processes.host.host_main", "import fcntl"),
        ("testing.plugin", "import pytest\nfrom ..gateway.server import open_gateway"),
        ("kernels.terminal", "def f():\n    import termios"),
        ("kernels.terminal", "import sys\nif sys.platform != 'win32':\n    import termios"),
    ],
)
def test_the_rules_let_pass(name: str, source: str) -> None:
    assert faults({f"{LIBRARY}.{name}": Module(source)}) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("surprise", ""),
        ("surprise.inner", ""),
        ("errors", "from .wire.http import Response"),
        ("errors", "from .wire import http"),
        ("config.settings", "from ..transport.client import open_client"),
        ("wire.http", "from ..transport.client import Client"),
        ("wire.http", "import os"),
        ("wire.http", "def f():\n    from time import monotonic"),
        ("wire.http", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trio"),
        ("wire.http", "from .._groups import one_error"),
        ("wire.signing", "import socket as s"),
        ("transport.client", "from ..kernels import TrioKernel"),
        ("transport.client", "from ..gateway import open_gateway"),
        ("kernels.kernel", "from ..faces.calls import Call"),
        ("kernels.kernel", "from ..vfolders.vfolder import TrioVFolder"),
        ("kernels.kernel", "def f():\n    import backendai_trio.faces.blocking"),
        ("kernels.kernel", "if TYPE_CHECKING:\n    from ..faces.blocking import Kernel"),
        ("kernels.kernel", "import asyncio"),
        ("kernels.kernel", "import importlib\nimportlib.import_module('asyncio')"),
        ("kernels.kernel", "from importlib import import_module\nimport_module('..faces', 'x')"),
        ("kernels.kernel", "from backendai_cli import main"),
        ("kernels.terminal", "import termios"),
        ("kernels.terminal", "try:\n    import tty\nexcept ImportError:\n    tty = None"),
        ("faces.blocking", "import asyncio"),
        ("proxy.server", "from ..gateway.server import open_gateway"),
        ("gateway.api.app", "from ...proxy.server import open_proxy"),
        ("gateway.api.app", "from ...kernels.kernel import open_kernel"),
        ("gateway.api.app", "from ...transport import client"),
        ("gateway.processes.host.host_main", "import trio"),
        ("gateway.processes.host.host_main", "from . import limits"),
        ("gateway.processes.host.host_main", "import lupa"),
        ("gateway.processes.scripts.interpreter_main", "from ....wire.http import Problem"),
        ("gateway.processes.scripts.interpreter_main", "from .. import pty"),
        ("gateway.processes.scripts.python_interpreter", "import lupa"),
        ("testing.plugin", "from ..faces.blocking import Kernel"),
    ],
)
def test_the_rules_find(name: str, source: str) -> None:
    tree = {f"{LIBRARY}._groups": Module("import trio"), f"{LIBRARY}.{name}": Module(source)}
    assert len(faults(tree)) == 1


def test_circles_are_found() -> None:
    tree = {
        f"{LIBRARY}.kernels.{name}": Module(source)
        for name, source in {
            "a": "from .b import x",
            "b": "def f():\n    from . import c",
            "c": "from .a import y",
            "d": "from .a import y",
        }.items()
    }
    circle = circle_in(graph_of(tree))
    assert {name[-1] for name in circle} >= {"a", "b", "c"}


@pytest.mark.parametrize(
    "source",
    [
        "import click, trio\nfrom backendai_trio import open_kernel",
        "from __future__ import annotations\nfrom ._output import show\nfrom . import _output",
        "from backendai_trio import __version__",
        "from backendai_trio.kernels import one_error",
        "def f():\n    import termios",
    ],
)
def test_the_rules_let_the_command_line_pass(source: str) -> None:
    public = PUBLIC | {LIBRARY: PUBLIC[LIBRARY] | {"__version__"}}
    assert faults_of_cli({f"{CLI}.main": Module(source)}, public) == []


@pytest.mark.parametrize(
    "source",
    [
        "from backendai_trio import hidden",
        "from backendai_trio import *",
        "from backendai_trio import _lazy",
        "import backendai_trio",
        "from backendai_trio.kernels.kernel import open_kernel",
        "from backendai_trio.kernels import open_kernel",
        "import backendai_trio.kernels.kernel",
        "def f():\n    from backendai_trio.wire.http import Response",
        "if TYPE_CHECKING:\n    from backendai_trio.config import parse_config",
        "from click._compat import x",
        "import _thread",
        "from click import _winconsole",
        "import asyncio",
        "import termios",
    ],
)
def test_the_rules_find_in_the_command_line(source: str) -> None:
    assert len(faults_of_cli({f"{CLI}.main": Module(source)}, PUBLIC)) == 1
