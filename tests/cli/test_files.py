"""The commands that move files."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from .commands import Commands
from .kernel_files import Here
from .terminal import eventually


@pytest.fixture
def here(commands: Commands, served: Mapping[str, str]) -> Here:
    return Here(commands, served)


def test_upload_download_and_ls(here: Here) -> None:
    (here.work / "src" / "empty").mkdir(parents=True)
    (here.work / "src" / "main.py").write_text("print(1)")
    assert here("upload", "lab1", "src").stderr == ""  # quiet in a pipe
    assert (here.there / "src" / "empty").is_dir()
    assert here("ls", "lab1").text == "src/\n"
    (row, other) = json.loads(here("ls", "lab1", "src", "--json").text)
    assert (row["name"], other["name"], other["size"]) == ("empty", "main.py", 8)
    assert "main.py" in here("ls", "-l", "lab1", "src").text
    assert "missing" in here("ls", "lab1", "missing", code=125).stderr
    here("download", "lab1", "src", "--dest", "copy")
    assert (here.work / "copy/src/main.py").read_text() == "print(1)"
    assert "exists already" in here("download", "lab1", "src", "--dest", "copy", code=125).stderr
    here("download", "-f", "lab1", "src", "--dest", "copy")


def test_a_file_that_exists_names_the_option(here: Here) -> None:
    (here.work / "a").write_text("mine")
    (here.there / "a").write_text("theirs")
    for arguments in (["cp", "lab1:a", "."], ["cp", "lab1:a", "a"], ["download", "lab1", "a"]):
        problem = here(*arguments, code=125).stderr
        assert "-f (--overwrite)" in problem and "exists already" in problem
        assert (here.work / "a").read_text() == "mine"


def test_cp(here: Here) -> None:
    (here.work / "d").mkdir()
    (here.work / "d" / "one").write_text("1")
    here("cp", "d/one", "lab1:")
    here("cp", "d/one", "lab1:renamed")
    here("cp", "-r", "d", "lab1:new/name")
    here("cp", "-r", "d", "lab1:new")
    found = {str(path.relative_to(here.there)) for path in here.there.rglob("*") if path.is_file()}
    assert found == {"one", "renamed", "new/name/one", "new/d/one"}
    here("cp", "lab1:renamed", ".")
    here("cp", "lab1:renamed", "other")
    assert (here.work / "renamed").read_text() == (here.work / "other").read_text() == "1"
    here("cp", "-r", "lab1:new", "back")
    assert (here.work / "back/name/one").read_text() == "1"
    assert "-r" in here("cp", "lab1:new", "x", code=125).stderr
    assert "it is a folder" in here("cp", "d", "lab1:", code=125).stderr
    for arguments in (("a", "b"), ("lab1:a", "lab1:b"), ("lab1:a", "lab2:b", "c")):
        assert "ID:PATH" in here("cp", *arguments, code=125).stderr


def test_sync(here: Here) -> None:
    (here.work / "d" / "sub").mkdir(parents=True)
    (here.work / "d" / "sub" / "a").write_text("a")
    (here.work / "d" / "b").write_text("b")
    assert "2 files sent" in here("sync", "d", "lab1:p").stderr
    assert "0 files sent" in here("sync", "d", "lab1:p").stderr
    (here.work / "d" / "b").write_text("B")
    (here.work / "d" / "sub" / "a").unlink()
    assert "1 file sent, 0 removed" in here("sync", "d", "lab1:p").stderr
    assert "0 files sent, 1 removed" in here("sync", "--delete", "d", "lab1:p").stderr
    assert (here.there / "p/b").read_text() == "B"
    assert not (here.there / "p/sub/a").exists()


def test_sync_that_watches(here: Here) -> None:
    (here.work / "d").mkdir()
    (here.work / "d" / "a").write_text("1")
    with here.commands.start("sync", "--watch", "d", "lab1:p", env=here.env) as running:
        running.expect("1 file sent", on="stderr")
        (here.work / "d" / "b").write_text("2")
        running.expect("1 file sent", on="stderr")
        assert (here.there / "p/b").read_text() == "2"
        running.signal(signal.SIGINT)
        assert running.wait() == 130


def test_ctrl_c_leaves_no_half_file(here: Here) -> None:
    large = here.work / "large"
    with large.open("wb") as file:
        file.truncate(8 * 1024**3)  # more than is sent before the signal comes
    with here.commands.start("upload", "lab1", "large", env=here.env) as running:
        kernel = here.there.parent
        staging = kernel.with_name(f"{kernel.name}.staging")
        assert eventually(lambda: any(file.stat().st_size for file in staging.glob("*/*")))
        running.signal(signal.SIGINT)
        assert running.wait() == 130
    assert list(here.there.iterdir()) == []
    large.unlink()


def test_progress_on_a_terminal(here: Here, tmp_path: Path) -> None:
    (here.work / "large").write_bytes(bytes(3_000_000))
    with here.commands.terminal("upload", "lab1", "large", env=here.env) as running:
        running.expect("total")
        assert running.wait() == 0
    assert (here.there / "large").stat().st_size == 3_000_000
