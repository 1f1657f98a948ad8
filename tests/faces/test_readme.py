"""The examples of README.md and of client 1.1.1, executed as printed; tests/docs has the others."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from backendai_trio.testing import TestGateway

from ..programs import bare_environ

ROOT = Path(__file__).parents[2]
README = ROOT.joinpath("README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)

BLOCKING_1_1_1 = """
kern = Kernel.get_or_create('lua5', client_token='abc')
result = kern.execute('print("hello world")', mode='query')
print(result['console'])
kern.destroy()
"""
ASYNCIO_1_1_1 = """
async def main():
    kern = await AsyncKernel.get_or_create('lua5', client_token='abc')
    result = await kern.execute('print("hello world")', mode='query')
    print(result['console'])
    await kern.destroy()

loop = asyncio.get_event_loop()
try:
    loop.run_until_complete(main())
finally:
    loop.close()
"""
SAID = "[('stdout', 'hello world\\n')]\n"


def run(program: str, folder: Path, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=bare_environ(TMPDIR=str(folder), **(environ or {})),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_three_faces_side_by_side(tmp_path: Path) -> None:
    in_trio, blocking, in_asyncio = PROGRAMS
    assert run(in_trio, tmp_path) == "hello world\n"
    assert run(blocking, tmp_path) == SAID
    assert run(in_asyncio, tmp_path) == SAID


def test_examples_of_1_1_1_are_those_of_the_readme() -> None:
    assert BLOCKING_1_1_1.strip() in PROGRAMS[1]
    body = ASYNCIO_1_1_1.partition("loop =")[0].strip()
    assert body in PROGRAMS[2]


@pytest.mark.parametrize("configured", [True, False])
def test_blocking_example_of_1_1_1(tmp_path: Path, served: TestGateway, configured: bool) -> None:
    program = f"from backendai_trio import Kernel\n{BLOCKING_1_1_1}"
    assert run(program, tmp_path, served.environ if configured else None) == SAID


@pytest.mark.parametrize("configured", [True, False])
def test_asyncio_example_of_1_1_1(tmp_path: Path, served: TestGateway, configured: bool) -> None:
    program = f"import asyncio\nfrom backendai_trio.asyncio import AsyncKernel\n{ASYNCIO_1_1_1}"
    if sys.version_info >= (3, 12):
        # Outside of a loop it warns from there on that it will find none, and finds none in 3.14.
        program = program.replace("asyncio.get_event_loop()", "asyncio.new_event_loop()")
    assert run(program, tmp_path, served.environ if configured else None) == SAID


def test_names_in_the_text_are_methods() -> None:
    from backendai_trio import Kernel

    text = ROOT.joinpath("docs", "guides", "scripts.md").read_text(encoding="utf-8")
    named = re.search(r"and more: (.*?)\.\s", text, re.S)
    assert named is not None
    for name in re.findall(r"`(\w+)`", textwrap.dedent(named[1])):
        assert callable(getattr(Kernel, name))
