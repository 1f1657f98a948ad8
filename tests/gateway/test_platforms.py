"""Where the gateway cannot run, everything else still can: nothing else needs a POSIX module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import backendai_trio

LIBRARY = Path(backendai_trio.__file__).parent
# Those of the gateway are needed only once it is opened.
LOCAL_ONLY = ("gateway",)

PRELUDE = """
import importlib, sys

# What tells them apart is asked for at import time by libraries, so those are imported first,
# as on the platform that this really is.
import trio, httptools, python_socks, trio_websocket, wsproto, click, anyio, rich
import sqlite3, ssl, subprocess
import hypercorn.trio, starlette.applications, graphql, python_multipart, rich.console, rich.table
import asyncio, concurrent.futures, multiprocessing, tempfile, shutil, getpass, webbrowser

POSIX_ONLY = {"fcntl", "termios", "pty", "resource", "pwd", "grp", "tty"}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in POSIX_ONLY:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in POSIX_ONLY:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Refuse())
sys.platform = {platform!r}
"""


def python(platform: str, code: str) -> str:
    """What `code` prints in a fresh interpreter that takes itself for another platform."""
    program = PRELUDE.replace("{platform!r}", repr(platform)) + code
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules(folder: Path, package: str, without: tuple[str, ...] = ()) -> list[str]:
    """The modules of a package, by name."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[0] not in without and parts[-1] != "__main__":
            found.append(".".join((package, *(part for part in parts if part != "__init__"))))
    return found


@pytest.fixture(params=["win32", "darwin"])
def platform(request: pytest.FixtureRequest) -> str:
    """A platform without a gateway."""
    chosen: str = request.param
    return chosen


def test_the_prelude_does_what_it_says(platform: str) -> None:
    code = """
print(sys.platform)
try:
    import fcntl
except ModuleNotFoundError as exc:
    print(exc)
"""
    assert python(platform, code) == f"{platform}\nNo module named 'fcntl'\n"


def test_client_modules_import(platform: str) -> None:
    names = [
        name
        for name in modules(LIBRARY, "backendai_trio", LOCAL_ONLY)
        # For test suites, which have a gateway.
        if name != "backendai_trio.testing"
    ]
    assert "backendai_trio.kernels.kernel" in names
    code = f"for name in {names!r}: importlib.import_module(name)\nprint('well')\n"
    assert python(platform, code) == "well\n"


def test_public_names_load(platform: str) -> None:
    code = """
import backendai_trio
for name in backendai_trio.__all__: getattr(backendai_trio, name)
print("well")
"""
    assert python(platform, code) == "well\n"


def test_command_line_modules_import(platform: str) -> None:
    cli = pytest.importorskip("backendai_cli")
    names = modules(Path(cli.__file__).parent, "backendai_cli")
    assert "backendai_cli.commands.run" in names
    code = f"for name in {names!r}: importlib.import_module(name)\nprint('well')\n"
    assert python(platform, code) == "well\n"


def test_opening_a_gateway_says_that_it_needs_linux(platform: str) -> None:
    code = """
import trio
from backendai_trio import GatewayError, open_gateway

async def main():
    try:
        async with open_gateway():
            print("it opened")
    except GatewayError as exc:
        print(exc)

trio.run(main)
"""
    said = python(platform, code)
    assert "Linux" in said
    assert platform in said
    assert "BACKEND_ENDPOINT" in said
