"""What copies leave out: patterns, and ignore files as Git reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio import UploadError
from backendai_trio.files import Exclusions, plan_uploads

from ..requirements import lacking


def make(root: Path, *files: str, **contents: str) -> None:
    """Make files; a name in `contents` has ``__`` for a slash."""
    named = dict.fromkeys(files, "") | {k.replace("__", "/"): v for k, v in contents.items()}
    for name, text in named.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def sent(root: Path, *exclude: str, ignore_files: bool = False) -> set[str]:
    """The files that are uploaded."""
    planned = plan_uploads(
        [root], base=root, recursive=True, exclude=exclude, ignore_files=ignore_files
    )
    return {item.name for item in planned if not item.is_folder}


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["*.o"], {"a", "src/a", "src/build/a", "build/a"}),
        (["build"], {"a", "a.o", "src/a", "src/a.o"}),
        (["/build"], {"a", "a.o", "src/a", "src/a.o", "src/build/a"}),
        (["src/build"], {"a", "a.o", "src/a", "src/a.o", "build/a"}),
        (["**/build/"], {"a", "a.o", "src/a", "src/a.o"}),
        (["a/"], {"a", "a.o", "src/a", "src/a.o", "src/build/a", "build/a"}),
        (["*", "!a"], {"a"}),
        (["*.o", "!/a.o"], {"a", "a.o", "src/a", "src/build/a", "build/a"}),
        (["[a-b]", "# a comment", ""], {"a.o", "src/a.o"}),
    ],
)
def test_patterns(tmp_path: Path, patterns: list[str], left: set[str]) -> None:
    make(tmp_path, "a", "a.o", "src/a", "src/a.o", "src/build/a", "build/a")
    assert sent(tmp_path, *patterns) == left
    exclusions = Exclusions(patterns)
    covered = {name for name in sent(tmp_path) if not exclusions.covers(name)}
    assert covered == left


def test_named_files_are_left_out_too(tmp_path: Path) -> None:
    make(tmp_path, "a.py", "a.pyc", "sub/b.pyc", "skip/c")
    excluded: list[Path] = []
    planned = plan_uploads(
        [tmp_path / name for name in ("a.py", "a.pyc", "sub", "skip")],
        base=tmp_path,
        recursive=True,
        exclude=["*.pyc", "skip/"],
        on_exclude=excluded.append,
    )
    assert [item.name for item in planned] == ["a.py", "sub"]
    assert [path.name for path in excluded] == ["a.pyc", "b.pyc", "skip"]


def test_ignore_files_of_each_folder_count(tmp_path: Path) -> None:
    make(
        tmp_path,
        "a.log",
        "sub/a.log",
        "sub/deep/a.log",
        "sub/deep/b",
        "other/b",
        ".git/HEAD",
    )
    (tmp_path / ".gitignore").write_text("*.log\n/other/\n")
    (tmp_path / "sub/.gitignore").write_text("!a.log\n")
    (tmp_path / "sub/deep/.backendaiignore").write_text("a.log\n")
    found = sent(tmp_path, ignore_files=True)
    ignore_files = {".gitignore", "sub/.gitignore", "sub/deep/.backendaiignore"}
    assert found - ignore_files == {"sub/a.log", "sub/deep/b"}
    assert ".git/HEAD" in sent(tmp_path)
    # The user's own patterns count before those of files.
    assert "a.log" in sent(tmp_path, "!a.log", ignore_files=True)


def test_the_last_of_two_ignore_files_counts(tmp_path: Path) -> None:
    make(tmp_path, "data.csv", "model.bin")
    (tmp_path / ".gitignore").write_text("data.csv\nmodel.bin\n")
    (tmp_path / ".backendaiignore").write_text("!data.csv\n")
    assert sent(tmp_path, "/.*", ignore_files=True) == {"data.csv"}


@pytest.mark.parametrize("top", ["", "pkg", "pkg/deep"])
def test_files_above_count_within_a_repository(tmp_path: Path, top: str) -> None:
    make(tmp_path, ".git/HEAD", "pkg/deep/a.log", "pkg/deep/b")
    (tmp_path / ".gitignore").write_text("pkg/deep/*.log\n")
    root = tmp_path / top
    assert not any(name.endswith(".log") for name in sent(root, ignore_files=True))
    shutil.rmtree(tmp_path / ".git")
    assert any(name.endswith(".log") for name in sent(root, ignore_files=True)) == bool(top)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf*.o\r\n", b"# caf\xe9\n*.o\n", b"*.o"])
def test_ignore_files_in_any_encoding(tmp_path: Path, content: bytes) -> None:
    make(tmp_path, "a.o", "b")
    (tmp_path / ".gitignore").write_bytes(content)
    assert sent(tmp_path, ignore_files=True) == {".gitignore", "b"}


@pytest.mark.parametrize("pattern", ["!", "a/**b/***/!", "//"])
def test_a_malformed_pattern_is_an_error_or_matches_nothing(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "a")
    try:
        assert sent(tmp_path, pattern) == {"a"}
    except ValueError as exc:
        assert "malformed" in str(exc)
        (tmp_path / ".gitignore").write_text(pattern)
        with pytest.raises(UploadError, match="gitignore is malformed"):
            sent(tmp_path, ignore_files=True)


NAMES = ["a", "b", "ab", "a.o", ".x", " a", "a ", "a\u2028b"]
LINES = st.lists(
    st.sampled_from(
        [
            "a", "/a", "a/", "!a", "b", "!b/", "*.o", "!*.o", "a*", "?b", "[ab]", "*/a", "/a/b",
            "**/b", "a/**", "a/**/b", "!a/", ".x", "*", "!*/", "#a", "\\#a", "a ", "/*", "!/b",
            "a\t", " a", "\ta", "a\\ ", "a\\   ", "a\r", "a\u2028b", "a\x0bb", " ", "\t", "! a",
        ]
    ),
    max_size=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def git() -> Iterator[dict[str, str]]:
    """The environment of a Git without settings of the user."""
    if shutil.which("git") is None:
        raise lacking("git is not installed")
    with TemporaryDirectory() as home:
        yield {"PATH": os.environ["PATH"], "HOME": home, "GIT_CONFIG_NOSYSTEM": "1"}


@given(outer=LINES, inner=LINES, nested=LINES)
@settings(deadline=None, max_examples=100)
def test_git_leaves_out_the_same(
    git: dict[str, str], outer: list[str], inner: list[str], nested: list[str]
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for first in ("a", "b"):
            for second in NAMES:
                make(root, f"{first}/{second}/ab", f"{first}/{second}/a.o", f"d/{first}/{second}")
        for place, lines in ((".", outer), ("a", inner), ("a/b", nested)):
            text = "".join(f"{line}\n" for line in lines)
            (root / place / ".gitignore").write_bytes(text.encode())
        subprocess.run(["git", "init", "-q"], cwd=root, env=git, check=True)
        command = ["git", "ls-files", "-z", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=root, env=git, check=True, capture_output=True)
        assert sent(root, ignore_files=True) == set(listed.stdout.decode().split("\0")) - {""}
