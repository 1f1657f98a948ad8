"""What a copy leaves out: patterns of the user and of ``.gitignore`` files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["Exclusions"]

_IGNORE_FILES = (".gitignore", ".backendaiignore")  # where they differ, the last one counts
_REPOSITORY = ".git"


class Exclusions:
    """The patterns that count in one folder.

    As in Git, a pattern with a slash before its end is relative to its folder, ``!`` takes an
    earlier pattern back, and what is in an excluded folder is excluded with it. The user's patterns
    count before those of files, and files in inner folders before those in outer ones.
    """

    def __init__(
        self, patterns: Iterable[str] = (), *, root: Path | None = None, ignore_files: bool = False
    ) -> None:
        """Compile the user's patterns, and read the ignore files of the folders above `root`.

        Args:
            patterns: the user's, relative to the folder.
            root: the folder; needed only for `ignore_files`.
            ignore_files: whether files called ``.gitignore`` and ``.backendaiignore`` count: those
                in the folder, and those above it up to the top of its Git repository. ``.git``
                itself is then excluded, too.

        Raises:
            ValueError: a pattern is malformed.
            OSError: an ignore file cannot be read.
        """
        lines = list(patterns)
        self._given = _compile(lines, "a pattern to exclude") if lines else None
        self._root = root if ignore_files else None
        self._by_folder: dict[str, GitIgnoreSpec | None] = {}
        self._above = _specs_above(self._root) if self._root is not None else []
        self._excluded_folders: dict[str, bool] = {"": False}

    def __bool__(self) -> bool:
        """Whether anything can be excluded."""
        return self._given is not None or self._root is not None

    def excludes(self, name: str, *, is_folder: bool) -> bool:
        """Whether a file or folder is excluded by itself, whatever the folders above it are.

        Args:
            name: relative to the folder, with forward slashes.
            is_folder: whether it is a folder.

        Raises:
            ValueError: a line of an ignore file is malformed.
            OSError: an ignore file cannot be read.
        """
        path = f"{name}/" if is_folder else name
        if self._given is not None and (found := _decision(self._given, path)) is not None:
            return found
        if self._root is None:
            return False
        if name.rpartition("/")[2] == _REPOSITORY:
            return True
        folder = name
        while folder:
            folder = folder.rpartition("/")[0]
            if (spec := self._spec_in(self._root, folder)) is None:
                continue
            inner = path[len(folder) + 1 :] if folder else path
            if (found := _decision(spec, inner)) is not None:
                return found
        for spec, prefix in self._above:
            if (found := _decision(spec, prefix + path)) is not None:
                return found
        return False

    def covers(self, name: str, *, is_folder: bool = False) -> bool:
        """Whether a file or folder is excluded, by itself or with a folder that it is in.

        Args:
            name: as for `excludes`.
            is_folder: as for `excludes`.

        Raises:
            ValueError, OSError: as for `excludes`.
        """
        return self._is_folder_excluded(name.rpartition("/")[0]) or self.excludes(
            name, is_folder=is_folder
        )

    def _is_folder_excluded(self, folder: str) -> bool:
        if (known := self._excluded_folders.get(folder)) is None:
            known = self._excluded_folders[folder] = self.covers(folder, is_folder=True)
        return known

    def _spec_in(self, root: Path, folder: str) -> GitIgnoreSpec | None:
        if folder not in self._by_folder:
            self._by_folder[folder] = _read_spec(root / folder)
        return self._by_folder[folder]


def _specs_above(root: Path) -> list[tuple[GitIgnoreSpec, str]]:
    """The patterns of the folders above one, up to the top of its Git repository; and the folder's
    path from there. The innermost comes first; there are none outside of a repository."""
    top = root.resolve()
    folders = [top, *top.parents]
    count = next((n for n, at in enumerate(folders) if (at / _REPOSITORY).exists()), 0)
    found = []
    for above in folders[1 : count + 1]:
        if (spec := _read_spec(above)) is not None:
            found.append((spec, f"{top.relative_to(above).as_posix()}/"))
    return found


def _read_spec(folder: Path) -> GitIgnoreSpec | None:
    """The patterns of a folder's ignore files; None if it has none."""
    lines: list[str] = []
    names = []
    for name in _IGNORE_FILES:
        path = folder / name
        if path.is_file():
            text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
            lines += text.splitlines()
            names.append(str(path))
    return _compile(lines, " or ".join(names)) if lines else None


def _compile(lines: Iterable[str], origin: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # imported here, since few transfers need it

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as exc:
        raise ValueError(f"{origin} is malformed: {exc}") from None


def _decision(spec: GitIgnoreSpec, path: str) -> bool | None:
    """Whether patterns exclude a path; None if none of them is about it."""
    return spec.check_file(path).include
