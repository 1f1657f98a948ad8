"""The examples of README.md and of client 1.1.1, executed as printed."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from backendai_trio import Client, KernelSpec, Stdout, open_kernel
from backendai_trio.testing import TestGateway

from ..programs import bare_environ

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
PROGRAMS = [block for block in BLOCKS if re.match(r"#|import|from", block)]
PIECES = [block for block in BLOCKS if block not in PROGRAMS]
"""Of programs in Trio: what stands in some block of their reader's."""

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
    in_trio, blocking, in_asyncio = PROGRAMS[:3]
    assert run(in_trio, tmp_path) == "hello world\n"
    assert run(blocking, tmp_path) == SAID
    assert run(in_asyncio, tmp_path) == SAID


@pytest.mark.parametrize("number", range(3, len(PROGRAMS)))
def test_further_programs(tmp_path: Path, number: int) -> None:
    expected = {3: r"hello, LABLUP!", 4: r"^0\n1\n2\n[\s\S]*30 100", 5: r"^6\n"}
    assert re.search(expected[number], run(PROGRAMS[number], tmp_path))


def public_names() -> dict[str, object]:
    """Every public name of the library's packages, for pieces that do not show their imports."""
    names: dict[str, object] = {}
    for package in ("proxy", "transport", "vfolders", "files", "kernels", "admin", ""):
        module = import_module(f"backendai_trio.{package}".rstrip("."))
        names |= {name: getattr(module, name) for name in module.__all__}
    return names


class Seen(NamedTuple):
    """What executing a piece has shown."""

    said: str = ""
    """Pattern of what it printed."""
    here: Sequence[str] = ()
    """Local files that it made."""
    in_kernel: Sequence[str] = ()
    """Files in the kernel that it made."""


SEEN = [
    Seen(),
    Seen(r"0 0 train.csv\n\n"),
    Seen(r"your name\? hello, LABLUP!\nexit code 0\n"),
    Seen(r"image/png \d{4,} bytes\n"),
    Seen(),
    Seen(here=["here/images/1.png"]),
    Seen(r"tcp://127\.0\.0\.1:\d+ leads to port \d+ in the kernel\n"),
    Seen(here=["out/result/big.bin"], in_kernel=["data.csv", "live.log", "src/a.py"]),
]
BEFORE = """
import os, socket
os.mkdir("result")
open("result/big.bin", "w").close()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], end="")
"""
FILES = ["data.csv", "images/1.png", "src/a.py", "train.csv"]


@pytest.mark.parametrize(
    "number",
    [
        # What the fast tests have no library for.
        pytest.param(number, marks=[pytest.mark.slow] if "matplotlib" in piece else [])
        for number, piece in enumerate(PIECES)
    ],
)
async def test_pieces(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Each with what stands around it, as far as the text before it says so."""
    expected = SEEN[number]
    home = tmp_path / "home"
    for name in FILES:
        (home / name).parent.mkdir(exist_ok=True, parents=True)
        (home / name).touch()
    monkeypatch.chdir(home)

    async def chunks() -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield b"live"

    def show(*texts: object, end: str = "\n") -> None:
        said.append(" ".join(map(str, texts)) + end)
        if "leads to port" in said[-1]:
            nursery.cancel_scope.cancel()  # what comes next is to wait for problems

    said: list[str] = []
    async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
        async with kernel.execute(BEFORE) as run:
            events = [event async for event in run]
        port = "".join(event.text for event in events if isinstance(event, Stdout))
        piece = PIECES[number].replace("8000", port)  # which others on this machine may have
        async with trio.open_nursery() as nursery:
            public = public_names()
            given = {"client": client, "kernel": kernel, "nursery": nursery}
            scope = public | given | {"chunks": chunks(), "print": show}
            exec("async def piece():\n" + textwrap.indent(piece, "    "), scope)
            await scope["piece"]()
            nursery.cancel_scope.cancel()
        files = await kernel.list_digests("project")
    assert re.fullmatch(expected.said, "".join(said))
    assert sorted(file.name for file in files) == list(expected.in_kernel)
    made = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert sorted(made - set(FILES)) == list(expected.here)


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

    text = README.read_text(encoding="utf-8").partition("## From asyncio")[2]
    named = re.search(r"more of the kind: (.*?);", text, re.S)
    assert named is not None
    for name in re.findall(r"`(\w+)`", textwrap.dedent(named[1])):
        assert callable(getattr(Kernel, name))
