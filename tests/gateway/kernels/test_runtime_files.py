"""Which files of runtimes kernels are given to read, wherever they are installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backendai_trio.gateway.kernels.runtime_files import runtime_files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the user; nothing is on PATH."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("RUSTUP_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    return folder


def _install(program: Path, *, link: Path | None = None) -> None:
    """Make a program, and put the folder that it, or a link to it, is in on PATH."""
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    if link is not None:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(program)
    os.environ["PATH"] += f"{os.pathsep}{(link or program).parent}"


def test_the_folder_that_a_runtime_is_installed_in(home: Path) -> None:
    version = home / ".nvm/versions/v20"
    _install(version / "bin/node")
    assert {version, version / "bin/node"} <= set(runtime_files())


def test_a_runtime_behind_a_link(home: Path) -> None:
    _install(home / "sdk/go/bin/go", link=home / ".local/bin/go")
    found = runtime_files()
    assert {home / "sdk/go", home / ".local/bin/go"} <= set(found)
    assert home / ".local" not in found


@pytest.mark.parametrize("folder", [".", ".local", ".cargo"])
def test_folders_with_other_files_of_the_user(home: Path, folder: str) -> None:
    """No folder is readable that has more in it than a runtime."""
    _install(home / folder / "bin/rustc")
    (home / ".rustup").mkdir()
    found = runtime_files()
    assert {home / folder / "bin/rustc", home / ".rustup"} <= set(found)
    assert not any((home / folder).is_relative_to(path) for path in found)


def test_a_user_without_a_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(home / "node/bin/node")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where none is known
    assert home / "node" in runtime_files()


def test_scripts_that_start_a_version(home: Path) -> None:
    _install(home / ".pyenv/shims/perl")
    assert home / ".pyenv" in runtime_files()
