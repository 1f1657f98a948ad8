"""The commands that help and documents show: each of them would be taken as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from backendai_cli.commands.run import command as run
from backendai_cli.main import cli

from ..docs.blocks import PAGES, ROOT, read_blocks
from .walk import EVERY, each

#: Files that must be there for a command line to be right.
FILES = ("bashrc", "id_backendai", "sessions.graphql", "setup.sh")
FOLDERS = ("src",)


def calls(line: str) -> Iterator[list[str]]:
    """The calls of our programs in a line of shell, a list of words each."""
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from calls(inner)
    # $'...' is bash's way to write a newline; what stands in it makes no difference here.
    line = re.sub(r"\$\([^()]*\)", "word", line).replace("$'", "'")
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    call: list[str] | None = None
    for word in [*words, ";"]:
        if re.fullmatch(r"[();<>|&]+", word):
            if call is not None:
                yield call
            call = None
        elif call is not None:
            call.append(word)
        elif re.fullmatch(r"(.*/)?(backend\.ai|lcc|lpython)", word):
            call = [word.rpartition("/")[2]]


def check(call: list[str]) -> None:
    """Parse a call as the command would, without running it."""
    program, *words = call
    if program != "backend.ai":
        with run.make_context(program, ["c", *words]):
            return
    if any(word.isupper() for word in words):  # "backend.ai app ID APP" tells how it is written
        return
    command: click.Command = cli
    context = click.Context(cli, info_name=program)
    while isinstance(command, click.Group):
        _, words, _ = command.make_parser(context).parse_args(words)
        if not words:
            return
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name!r}"
        context, command = click.Context(found, context, name), found
    try:
        with command.make_context(command.name, words, context.parent):
            pass  # leaving it closes the files that it has opened
    except click.exceptions.Exit as exc:  # --help and --version
        assert exc.exit_code == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).touch()
    for name in FOLDERS:
        (tmp_path / name).mkdir()


@each
@pytest.mark.usefixtures("folder")
def test_examples_of_the_help(path: tuple[str, ...]) -> None:
    """Every command has some, and the command is in them."""
    lines = (EVERY[path].help or "").partition("Examples:\n")[2].replace("\\\n", " ")
    found = [call for line in lines.splitlines() for call in calls(line)]
    for call in found:
        check(call)
    if path != ("admin", "images"):  # which is shown as `backend.ai images`
        words = [" ".join(call) for call in found]
        assert any(all(name in text for name in path) for text in words), words


def calls_of(page: str) -> Iterator[list[str]]:
    """The calls in the blocks and between the backticks of a document."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in read_blocks(page, text):
        lines = block.body.replace("\\\n", " ").splitlines()
        if block.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        if block.language in ("sh", "console"):
            yield from (call for line in lines for call in calls(line))
    for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text):
        yield from calls(span)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", PAGES)
def test_examples_of_documents(page: str) -> None:
    for call in calls_of(page):
        check(call)


def test_the_documents_show_many_commands() -> None:
    assert sum(1 for page in PAGES for _ in calls_of(page)) > 150
