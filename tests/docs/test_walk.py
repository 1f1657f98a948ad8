"""A newcomer's walk: each block of README and docs/ does what the page says, in a fresh venv.

What a block is, by the word behind its fence: `sh` is typed into a shell, `python` is a program,
`console` shows commands and all that they print, and a `text` block behind `sh` or `python` is what
that prints on standard output. A block with a title is a file that the reader saves. All blocks of
a page are done one after another, in one shell and one folder, with a home of its own.

``<!-- not run: REASON -->`` before a block says that it is not run here, and why.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ..requirements import lacking
from .blocks import PAGES, ROOT, Block, read_blocks
from .reader import agrees, commands_of, open_reader

#: How long a command of a page may take; most of it is the installation's, on a busy machine.
SECONDS = 300.0
#: Pages about a clone of the repository: their commands are typed there.
IN_THE_CLONE = ("README.md", "docs/install.md", "CONTRIBUTING.md")
#: Pages whose programs are the cells of a notebook.
NOTEBOOKS = ("docs/guides/notebooks.md",)
#: How many blocks are not run. Each is a promise that nobody checks: keep them few.
NOT_RUN = 13
#: Ports that pages use. Nothing else may listen there.
PORTS = (8080, 8081, 8084)

BLOCKS = {page: read_blocks(page, (ROOT / page).read_text(encoding="utf-8")) for page in PAGES}
NO_INDEX = "No matching distribution found"
"""What pip says without one."""
SET_UP = BLOCKS["README.md"][0]
"""The first command of the README, which makes the venv."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes of one run of the tests have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture
def turn(shared: Path) -> Iterator[None]:
    """One page at a time: pages use the same ports."""
    with (shared / "walk.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def clone(shared: Path, turn: None) -> Path:
    """A clone of the repository in which the README's first command was typed."""
    clone = shared / "clone"
    if not (clone / ".venv" / "complete").exists():
        shutil.rmtree(clone, ignore_errors=True)
        tracked = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
        for name in filter(None, tracked.split("\0")):
            if (ROOT / name).is_file():
                (clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, clone / name)
        home = shared / "home-of-the-set-up"
        home.mkdir(exist_ok=True)
        with open_reader(clone, shared / "notes-of-the-set-up", environ_of(home, "")) as reader:
            try:
                reader.do(SET_UP, seconds=SECONDS)
            except AssertionError as exc:
                if NO_INDEX in str(exc):
                    raise lacking("the package index is not reached") from None
                raise
        (clone / ".venv" / "complete").touch()
    return clone


def environ_of(home: Path, programs: str) -> Mapping[str, str]:
    """The environment of somebody who has set nothing but how pip finds its index."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "UV_")) or name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}".lstrip(os.pathsep),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, clone: Path, tmp_path: Path) -> None:
    for port in PORTS:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)), f"something listens on port {port}"
    home, folder = tmp_path / "home", tmp_path / "work"
    for path in (home, folder):
        path.mkdir()
    environ = environ_of(home, str(clone / ".venv" / "bin"))
    where = clone if page in IN_THE_CLONE else folder
    with open_reader(where, tmp_path / "notes", environ) as reader:
        for block in BLOCKS[page]:
            if block.is_action and block.reason is None and block is not SET_UP:
                reader.do(block, seconds=SECONDS, cells=page in NOTEBOOKS)


# --- the marks ------------------------------------------------------------------------------------


def not_run() -> list[Block]:
    return [block for blocks in BLOCKS.values() for block in blocks if block.reason is not None]


def test_each_block_that_is_not_run_says_why() -> None:
    assert not [str(block) for block in not_run() if len(str(block.reason).split()) < 4]
    assert not [str(block) for block in not_run() if not block.is_action]


def test_the_number_of_blocks_that_are_not_run_is_stated() -> None:
    actions = [block for blocks in BLOCKS.values() for block in blocks if block.is_action]
    assert len(not_run()) == NOT_RUN
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    for said in (f"{len(actions)} blocks of commands", f"all but {NOT_RUN} of them"):
        assert said in text, said


def test_every_page_of_the_site_with_commands_is_walked_through() -> None:
    folder = ROOT / "docs"
    others = {"docs/coverage.md", "docs/limits.md", "docs/managers.md", "docs/protocol.md"}
    pages = {path.relative_to(ROOT).as_posix() for path in folder.rglob("*.md")}
    unknown = {page for page in pages - set(PAGES) - others if "/reference/" not in page}
    assert not unknown
    for page in others:
        blocks = read_blocks(page, (ROOT / page).read_text(encoding="utf-8"))
        assert not [str(block) for block in blocks if block.is_action]


# --- the walk itself ------------------------------------------------------------------------------

_SAMPLE = """\
```python title="a.py"
print(1)
```

<!-- not run: it needs a cluster
of two machines -->
```sh
false
```

```console
$ echo a; echo b >&2
a
b
$ printf '%s\\n' \\
> c
c
```

It prints:

```python
print(2)
```

```text
2
```
"""


def test_blocks_of_a_sample() -> None:
    file, marked, console, program, printed = read_blocks("sample.md", _SAMPLE)
    assert (file.title, file.body, file.line) == ("a.py", "print(1)\n", 1)
    assert marked.reason == "it needs a cluster of two machines"
    assert console.reason is None
    assert [len(pair) for pair in commands_of(console.body)] == [2, 2]
    assert program.prints == "2\n"
    assert not printed.is_action


@pytest.mark.parametrize(
    ("printed", "shown", "expected"),
    [
        ("a\n", "a", True),
        ("a\nb\n", "a", False),
        ("took 12 ms\n", "took … ms", True),
        ("took 12 s\n", "took … ms", False),
        ("a\nb\nc\nd\n", "a\n…\nd", True),
        ("a\nd\n", "a\n…\nd", True),
        ("a\nd\ne\n", "a\n…\nd", False),
        (f"bt-{'0' * 32}\n", f"bt-{'1' * 32}", True),
        ("", "a", False),
    ],
)
def test_what_agrees(printed: str, shown: str, expected: bool) -> None:
    assert agrees(printed, shown) is expected


@pytest.mark.parametrize(
    "block",
    [
        Block("p", 1, "sh", "false\ntrue\n"),
        Block("p", 1, "sh", "false | true\n"),
        Block("p", 1, "python", "raise SystemExit(3)\n"),
        Block("p", 1, "python", "print(3)\n", prints="4\n"),
        Block("p", 1, "console", "$ echo a\nb\n"),
        Block("p", 1, "sh", "sleep 60\n"),
    ],
)
def test_a_page_that_is_wrong_is_noticed(block: Block, tmp_path: Path) -> None:
    with open_reader(tmp_path, tmp_path / "notes", os.environ) as reader:
        reader.do(Block("p", 1, "sh", "cd . ; x=1\n"), seconds=10)
        with pytest.raises(AssertionError, match="p:1"):
            reader.do(block, seconds=1)
