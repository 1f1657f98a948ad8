"""What a copy leaves out: patterns of the user and of ``.gitignore`` files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Exclusions"]

_IGNORE_FILES = (".gitignore", ".backendaiignore")  # where they differ, the last one counts
_OUTER_SPACE = re.compile(r"^\s+|\s+$")
_REPOSITORY = ".git"
_FOLDER_MARK = "ps_d"


class _Rule(NamedTuple):
    """A line of an ignore file."""

    regex: re.Pattern[str]
    excludes: bool
    only_folders: bool


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
        self._given = _compile(lines, "a pattern to exclude")
        self._root = root if ignore_files else None
        self._by_folder: dict[str, list[_Rule]] = {}
        self._above = _rules_above(self._root) if self._root is not None else []
        self._excluded_folders: dict[str, bool] = {"": False}

    def __bool__(self) -> bool:
        """Whether anything can be excluded."""
        return bool(self._given) or self._root is not None

    def excludes(self, name: str, *, is_folder: bool) -> bool:
        """Whether a file or folder is excluded by itself, whatever the folders above it are.

        Args:
            name: relative to the folder, with forward slashes.
            is_folder: whether it is a folder.

        Raises:
            ValueError: a line of an ignore file is malformed.
            OSError: an ignore file cannot be read.
        """
        if (found := _decision(self._given, name, is_folder)) is not None:
            return found
        if self._root is None:
            return False
        if name.rpartition("/")[2] == _REPOSITORY:
            return True
        folder = name
        while folder:
            folder = folder.rpartition("/")[0]
            inner = name[len(folder) + 1 :] if folder else name
            rules = self._rules_in(self._root, folder)
            if (found := _decision(rules, inner, is_folder)) is not None:
                return found
        for rules, prefix in self._above:
            if (found := _decision(rules, prefix + name, is_folder)) is not None:
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

    def _rules_in(self, root: Path, folder: str) -> list[_Rule]:
        if folder not in self._by_folder:
            self._by_folder[folder] = _read_rules(root / folder)
        return self._by_folder[folder]


def _rules_above(root: Path) -> list[tuple[list[_Rule], str]]:
    """The patterns of the folders above one, up to the top of its Git repository; and the folder's
    path from there. The innermost comes first; there are none outside of a repository."""
    top = root.resolve()
    folders = [top, *top.parents]
    count = next((n for n, at in enumerate(folders) if (at / _REPOSITORY).exists()), 0)
    found = []
    for above in folders[1 : count + 1]:
        if rules := _read_rules(above):
            found.append((rules, f"{top.relative_to(above).as_posix()}/"))
    return found


def _read_rules(folder: Path) -> list[_Rule]:
    """The patterns of a folder's ignore files."""
    lines: list[str] = []
    names = []
    for name in _IGNORE_FILES:
        path = folder / name
        if path.is_file():
            text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
            lines += (line.removesuffix("\r") for line in text.split("\n"))
            names.append(str(path))
    return _compile(lines, " or ".join(names))


def _compile(lines: Iterable[str], origin: str) -> list[_Rule]:
    """The rules of some lines, the last one first, as the last one that matches counts."""
    rules = []
    for line in lines:
        try:
            if (rule := _compile_line(line)) is not None:
                rules.append(rule)
        except ValueError as exc:
            raise ValueError(f"{origin} is malformed: {exc}") from None
    return rules[::-1]


def _compile_line(line: str) -> _Rule | None:
    from pathspec import GitIgnoreSpec  # imported here, since few transfers need it

    stripped = line.rstrip(" ")
    if stripped.endswith("\\") and stripped != line:  # the first space is escaped
        stripped = f"{stripped[:-1]}[ ]"
    # `GitIgnoreSpec` strips all kinds of space, and Git none but that at the end.
    stripped = _OUTER_SPACE.sub(lambda match: "".join(f"[{c}]" for c in match[0]), stripped)
    # `GitIgnoreSpec` lets a pattern of a folder match all that is in it, so that ``!a/`` includes
    # what Git leaves out. Git, and this module, ask for each folder on the way instead.
    only_folders = stripped.endswith("/")
    patterns = GitIgnoreSpec.from_lines([stripped.removesuffix("/")]).patterns
    pattern = next(iter(patterns), None)
    if pattern is None or pattern.include is None or pattern.regex is None:  # e.g. a comment
        return None
    return _Rule(pattern.regex, pattern.include, only_folders)


def _decision(rules: Iterable[_Rule], name: str, is_folder: bool) -> bool | None:
    """Whether rules exclude a name; None if none of them is about it."""
    for rule in rules:
        if rule.only_folders and not is_folder:
            continue
        found = rule.regex.search(name)
        # The mark is set where the pattern matches a folder above the name.
        if found is not None and found.groupdict().get(_FOLDER_MARK) is None:
            return rule.excludes
    return None
