"""The virtual folders of the official client 23.9.10, unmodified, against `backend.ai serve`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ..cli.commands import Commands, Result

Official = Callable[..., Result]


@pytest.fixture
def official(official_23: Path, commands: Commands, served: Mapping[str, str]) -> Official:
    """Runs a command of the official client against our gateway."""

    def run(*arguments: str, stdin: bytes | None = None) -> Result:
        program = str(official_23 / "backend.ai")
        return commands.run(*arguments, stdin=stdin, env=served, program=program)

    return run


def test_create_upload_ls_download_rm(official: Official, commands: Commands) -> None:
    def done(*arguments: str, stdin: bytes | None = None) -> str:
        result = official("vfolder", *arguments, stdin=stdin)
        assert result.code == 0, result.text + result.stderr
        return result.text

    content = random.Random(0).randbytes(20_000_000)  # two pieces of its 16 MiB
    (commands.work / "big.bin").write_bytes(content)
    (commands.work / "empty").write_bytes(b"")
    (commands.work / "sub").mkdir()
    (commands.work / "sub" / "small ü.txt").write_text("small\n")
    assert 'Virtual folder "data" is created.' in done("create", "data", "local")
    assert "data" in done("list")
    done("upload", "data", "big.bin", "empty")
    done("upload", "-r", "data", "sub")
    assert all(name in done("ls", "data") for name in ("big.bin", "20000000", "empty", "sub"))
    assert "small ü.txt" in done("ls", "data", "sub")
    assert "Number of files: 3" in done("info", "data")
    done("mkdir", "-p", "data", "deep/er")
    done("mv", "data", "big.bin", "deep/er")
    done("rename-file", "data", "deep/er/big.bin", "other.bin")
    back = commands.work / "back"
    for folder in (back / "deep" / "er", back / "sub"):
        folder.mkdir(parents=True)
    done("download", "-b", "back", "data", "deep/er/other.bin", "sub/small ü.txt", "empty")
    assert (back / "deep" / "er" / "other.bin").read_bytes() == content
    assert (back / "sub" / "small ü.txt").read_text() == "small\n"
    assert (back / "empty").read_bytes() == b""
    done("rm", "data", "empty", stdin=b"y\n")
    done("rm", "-r", "data", "sub", stdin=b"y\n")
    listed = done("ls", "data")
    assert "deep" in listed and "empty" not in listed and "sub" not in listed
    done("rename", "data", "renamed")
    done("delete", "renamed")
    # It takes an empty list for an error.
    assert "NoItems" in official("vfolder", "list").stderr


def test_its_folders_and_ours(
    official: Official, commands: Commands, served: Mapping[str, str]
) -> None:
    """What one of us has put there, the other one gets."""
    (commands.work / "theirs.txt").write_text("theirs")
    (commands.work / "ours.txt").write_text("ours")
    assert official("vfolder", "create", "data", "local").code == 0
    assert official("vfolder", "upload", "data", "theirs.txt").code == 0
    assert commands.run("vfolder", "upload", "data", "ours.txt", env=served).code == 0
    (commands.work / "back").mkdir()
    assert official("vfolder", "download", "-b", "back", "data", "ours.txt").code == 0
    ours = commands.run("vfolder", "download", "-b", "back", "data", "theirs.txt", env=served)
    assert ours.code == 0, ours.stderr
    for name in ("theirs", "ours"):
        assert (commands.work / "back" / f"{name}.txt").read_text() == name


def test_refusals(official: Official, commands: Commands) -> None:
    assert official("vfolder", "create", "data", "local").code == 0
    for arguments in (
        ("create", "data", "local"),
        ("create", "no name", "local"),
        ("create", "other", "elsewhere"),
        ("info", "nope"),
        ("mv", "data", "nope", "x"),
        ("mkdir", "data", "../x"),
        ("download", "data", "../../secret"),
    ):
        refused = official("vfolder", *arguments)
        assert refused.code != 0, (arguments, refused.text)
        assert "Traceback" not in refused.stderr or "BackendAPIError" in refused.stderr
