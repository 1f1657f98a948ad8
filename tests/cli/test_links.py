"""Symbolic links in the folders that commands copy: --links."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from backendai_cli.console import Status
from backendai_cli.copy_options import LeftOut

from .commands import Commands


@pytest.fixture
def tree(commands: Commands) -> Path:
    """A folder with links of every kind."""
    tree = commands.work / "p"
    (tree / "lib").mkdir(parents=True)
    (tree / "lib" / "a").write_text("1")
    (tree / "lib64").symlink_to("lib")
    (tree / "b").symlink_to("lib/a")
    return tree


def test_summary_of_many_links(capsys: pytest.CaptureFixture[str]) -> None:
    """The command may go on for ever, as a sync that watches does: it keeps no list of them."""
    left_out = LeftOut()
    tracemalloc.start()
    try:
        for number in range(100_000):
            left_out.link(f"folder/link-{number}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    left_out.report(Status())
    names = ", ".join(f"folder/link-{number}" for number in range(5))
    assert capsys.readouterr().err == f"∙ Left out 100,000 links: {names}, ...\n"


@contextmanager
def kernel(commands: Commands, served: Mapping[str, str]) -> Iterator[str]:
    assert commands.run("create", "-t", "lab1", "python", env=served).code == 0
    yield "lab1"
    assert commands.run("rm", "lab1", env=served).code == 0


def found(commands: Commands, served: Mapping[str, str], folder: str = "p") -> list[str]:
    """What is in the kernel's folder; links end with ``@``."""
    script = f"cd {folder} && find . -type f -o -type l -printf '%p@\\n' -o -false; find . -type f"
    ran = commands.run("exec", "lab1", script, env=served)
    assert ran.code == 0, ran.stderr
    return sorted(set(ran.text.split()))


@pytest.mark.parametrize("command", ["cp", "upload", "sync"])
@pytest.mark.parametrize(
    ("links", "expected", "left_out"),
    [
        ("follow", ["./b", "./lib/a", "./lib64/a"], 0),
        ("keep", ["./b@", "./lib/a", "./lib64@"], 0),
        ("skip", ["./lib/a"], 2),
    ],
)
def test_links_to_a_kernel(
    commands: Commands,
    served: Mapping[str, str],
    tree: Path,
    command: str,
    links: str,
    expected: list[str],
    left_out: int,
) -> None:
    if (command, links) == ("sync", "keep"):
        return  # compares files, and a link is none
    words = {
        "cp": ["-r", "p", "lab1:"],
        "upload": ["lab1", "p"],
        "sync": ["p", "lab1:p"],
    }[command]
    with kernel(commands, served):
        done = commands.run(command, "--links", links, *words, env=served)
        assert done.code == 0, done.stderr
        assert found(commands, served) == expected
    assert ("Left out 2 links: p/b, p/lib64" in done.stderr) == bool(left_out), done.stderr


@pytest.mark.parametrize("target", ["/etc/hostname", "missing", "../work"])
def test_a_link_that_leads_out_names_the_option(
    commands: Commands, served: Mapping[str, str], tree: Path, target: str
) -> None:
    (tree / "out").symlink_to(target)
    with kernel(commands, served):
        # A link to what is missing can be kept.
        for links in ("follow",) if target == "missing" else ("follow", "keep"):
            refused = commands.run("cp", "-r", "--links", links, "p", "lab1:", env=served)
            assert "--links skip" in refused.problem(125)
        assert commands.run("cp", "-r", "--links", "skip", "p", "lab1:", env=served).code == 0
        assert found(commands, served) == ["./lib/a"]


def test_links_to_and_from_a_virtual_folder(
    commands: Commands, served: Mapping[str, str], tree: Path
) -> None:
    assert commands.run("vfolder", "create", "data", env=served).code == 0
    skipped = commands.run("vfolder", "upload", "-r", "--links", "skip", "data", "p", env=served)
    assert "Left out 2 links" in skipped.stderr
    listed = commands.run("vfolder", "ls", "data", "p", "--json", env=served).text
    assert [item["name"] for item in json.loads(listed)] == ["lib"]
    assert commands.run("vfolder", "upload", "-r", "data", "p", env=served).code == 0
    code = "import os; os.symlink('p', 'data/link')"
    assert commands.run("run", "-q", "python", "-m", "data", "-c", code, env=served).code == 0
    (commands.work / "p").rename(commands.work / "old")
    refused = commands.run("vfolder", "download", "data", ".", env=served)
    assert "--links skip" in refused.problem(125)
    done = commands.run("vfolder", "download", "--links", "skip", "data", ".", env=served)
    assert done.code == 0, done.stderr
    assert "Left out 1 link: link" in done.stderr
    assert (commands.work / "p" / "lib64" / "a").read_text() == "1"
