"""Tar archives, extracted without trust in their content. Memory does not grow with the archive.

Everything here blocks; asynchronous callers use threads.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import sys
from pathlib import Path
from types import TracebackType

from ..errors import LocalProtocolError, RemoteProtocolError
from ..wire.archives import ArchiveDecoder, Entry
from .exclusions import Exclusions
from .paths import check_local_name

__all__ = ["MAX_ENTRIES", "Extractor"]

MAX_ENTRIES = 65_536
"""Most entries of an archive that are extracted; more count as an attack on the file system."""
_WRITE = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Extractor:
    """Extracts an archive into a folder that nobody else writes to, and nothing outside it.

    A hard link to an earlier file of the archive becomes a copy. Symbolic links are made last, so
    that nothing is written through one, and only those that stay inside the folder. Every other
    kind of entry is refused. Permissions are the default ones and the owner's executable bit. Use
    it as a context manager, so that no file stays open.

    Attributes:
        folder: where the archive is extracted.
        files: how many files were extracted.
        size: bytes of their content.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_entries: int = MAX_ENTRIES,
        preserve: bool = False,
        exclusions: Exclusions | None = None,
    ) -> None:
        """Begin with an empty folder.

        Args:
            folder: an existing folder.
            max_entries: the archive is refused when it has more.
            preserve: whether files and folders get their times of modification.
            exclusions: patterns of what is not extracted from each folder at the top.
        """
        self.files = 0
        self.size = 0
        self.folder = folder
        self._max_entries = max_entries
        self._preserve = preserve
        self._exclusions = exclusions
        self._path = ""
        self._modified = 0
        self._folder_times: dict[str, int] = {}
        self._entries = 0
        self._decoder = ArchiveDecoder()
        self._file: int | None = None
        self._left = self._size = 0
        self._last = ""
        self._links: list[Entry] = []
        self._tops: dict[str, None] = {}
        self._made: set[str] = set()
        self._grown: dict[str, tuple[int, int]] = {}

    @property
    def names(self) -> list[str]:
        """Names at the top of the archive, in order."""
        return list(self._tops)

    def feed(self, data: bytes) -> None:
        """Extract the next bytes of the archive.

        Raises:
            RemoteProtocolError: the archive is malformed or hostile, or has too many entries.
            OSError: the disk is full, or fails.
        """
        for item in self._decoder.feed(data):
            if isinstance(item, Entry):
                self._begin(item)
            else:
                self._write(item)

    def finish(self, *, sealed: bool = False) -> None:
        """Check that the archive is whole, and make its symbolic links.

        Args:
            sealed: whether the archive must have a seal.

        Raises:
            RemoteProtocolError: it was cut short or altered on its way, or a link leads out of the
                folder.
            OSError: a link cannot be made.
        """
        self._decoder.finish(sealed=sealed)
        self._make_links()
        self._set_folder_times()

    def next_archive(self) -> None:
        """Finish one archive and begin another, which goes into the same folder.

        Raises:
            RemoteProtocolError: as `finish`.
            OSError: as `finish`.
        """
        self._decoder.finish()
        self._decoder = ArchiveDecoder()
        self._make_links()
        self._set_folder_times()

    def take_progress(self) -> list[tuple[str, int, int]]:
        """Files that have grown since the last call: name, bytes so far, bytes in all."""
        grown, self._grown = self._grown, {}
        return [(name, done, size) for name, (done, size) in grown.items()]

    def _make_links(self) -> None:
        links, self._links = self._links, []
        for link in links:
            if not _stays_inside(link):
                raise RemoteProtocolError(
                    f"archive: the link {link.name!r} leads out of the folder; refused"
                )
            path = self.folder / link.name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(link.target)
            except OSError as exc:
                raise self._clash(link, exc) from None

    def close(self) -> None:
        """Close the file that is being written."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)
            self._set_time(self._path, self._modified)

    def _set_time(self, path: str, modified: int) -> None:
        """Set the time of modification, unless the archive does not know it (0)."""
        if self._preserve and modified:
            os.utime(path, (modified, modified))

    def _set_folder_times(self) -> None:
        """Set the times of folders, which change with what is put into them."""
        for path, modified in self._folder_times.items():
            self._set_time(path, modified)
        self._folder_times.clear()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, entry: Entry) -> None:
        self.close()
        self._entries += not entry.more
        if self._entries > self._max_entries:
            raise RemoteProtocolError(
                f"archive: it has more than {self._max_entries:,} entries; "
                "download its folders one by one"
            )
        if not entry.name:
            return
        if sys.platform == "win32":
            _check_local_name(entry.name)
        if entry.more and entry.name != self._last:
            raise RemoteProtocolError(f"archive: {entry.name!r} goes on without a beginning")
        self._last = entry.name if entry.kind == "file" else ""
        self._tops[entry.name.partition("/")[0]] = None
        if self._is_excluded(entry.name, is_folder=entry.kind == "folder"):
            return
        if entry.kind == "symlink":
            self._links.append(entry)
            return
        path = f"{self.folder}/{entry.name}"  # pathlib would take half of the time
        try:
            folder = entry.name if entry.kind == "folder" else entry.name.rpartition("/")[0]
            if folder and folder not in self._made:
                os.makedirs(f"{self.folder}/{folder}", exist_ok=True)  # noqa: PTH103
                self._made.add(folder)
            if entry.kind == "folder":
                self._folder_times[path] = entry.modified
                return
            if entry.kind == "hardlink":
                self._copy(entry, path)
                self._set_time(path, entry.modified)
            elif entry.more:
                self._file = os.open(path, _WRITE | os.O_APPEND)
            else:
                mode = 0o777 if entry.executable else 0o666
                self._file = os.open(path, _WRITE | os.O_CREAT | os.O_TRUNC, mode)
        except OSError as exc:
            raise self._clash(entry, exc) from None
        self.files += not entry.more
        self._path, self._modified = path, entry.modified
        self._left = self._size = entry.size
        self._grown[entry.name] = (0, entry.size)
        if not self._left:
            self.close()

    def _is_excluded(self, name: str, *, is_folder: bool) -> bool:
        inner = name.partition("/")[2]
        if not inner or not self._exclusions:
            return False
        return self._exclusions.covers(inner, is_folder=is_folder)

    def _copy(self, entry: Entry, path: str) -> None:
        target = entry.target.removeprefix("./")
        if self._is_excluded(target, is_folder=False):
            # Its content was in the archive only once, and has been passed over.
            raise RemoteProtocolError(
                f"archive: {entry.name!r} is a hard link to {target!r}, which is excluded; "
                "exclude both of them, or none"
            )
        try:
            source = self.folder / check_local_name(target)
            if not stat.S_ISREG(source.lstat().st_mode):
                raise OSError
        except (OSError, LocalProtocolError):
            raise RemoteProtocolError(
                f"archive: {entry.name!r} is a hard link to {entry.target!r}, "
                "which is not a file of the archive; refused"
            ) from None
        shutil.copyfile(source, path, follow_symlinks=False)
        self.size += source.stat().st_size

    def _write(self, data: memoryview) -> None:
        if self._file is None:
            return
        view = data
        while view:
            view = view[os.write(self._file, view) :]
        self.size += len(data)
        self._left -= len(data)
        self._grown[self._last] = (self._size - self._left, self._size)
        if not self._left:
            self.close()

    def _clash(self, entry: Entry, exc: OSError) -> Exception:
        """The error of two entries of one name; any other is the disk's."""
        if isinstance(exc, FileExistsError | NotADirectoryError | IsADirectoryError):
            return RemoteProtocolError(f"archive: {entry.name!r} is in it as two kinds")
        return exc


def _check_local_name(name: str) -> None:
    try:
        check_local_name(name)
    except LocalProtocolError as exc:
        raise RemoteProtocolError(f"archive: {exc}") from None


def _stays_inside(link: Entry) -> bool:
    """Whether a symbolic link leads to a place below the archive's root.

    ``..`` is allowed only at the beginning of the target: after a name, it would be relative to
    wherever a link of that name leads.
    """
    if not link.target or link.target.startswith("/") or "\\" in link.target:
        return False
    parts = link.target.split("/")
    climbs = 0
    while climbs < len(parts) and parts[climbs] in ("..", ".", ""):
        climbs += 1
    if ".." in parts[climbs:] or "\0" in link.target:
        return False
    where = posixpath.normpath(posixpath.join(posixpath.dirname(link.name), *parts[:climbs]))
    return where != ".." and not where.startswith("../")
