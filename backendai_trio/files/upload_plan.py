"""Planning an upload: which files there are, under which names, before anything is sent."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import cast, get_args

import trio

from ..errors import LocalProtocolError, UploadError
from ..wire.multipart import check_name, check_names
from .exclusions import Exclusions
from .sources import Links, Upload, UploadStream

__all__ = ["plan_items", "plan_uploads"]


async def plan_items(
    items: Iterable[str | os.PathLike[str] | Upload | UploadStream],
    *,
    base: Path | None,
    links: Links = "follow",
) -> list[Upload | UploadStream]:
    """Plan the paths among the items of an upload; folders are uploaded with all their content.

    Args:
        items: paths, planned uploads and streams.
        base: as for `plan_uploads`.
        links: as for `plan_uploads`.

    Raises:
        UploadError: as for `plan_uploads`.
    """
    planned: list[Upload | UploadStream] = []
    for is_planned, group in groupby(check_names(items), _is_planned):
        if is_planned:
            planned += cast("Iterable[Upload | UploadStream]", group)
        else:
            paths = cast("list[str]", list(group))
            plan = partial(plan_uploads, paths, base=base, recursive=True, links=links)
            planned += await trio.to_thread.run_sync(plan)
    return planned


def _is_planned(item: object) -> bool:
    return isinstance(item, Upload | UploadStream)


def plan_uploads(
    paths: Iterable[str | os.PathLike[str]],
    *,
    base: Path | None = None,
    recursive: bool = False,
    links: Links = "follow",
    exclude: Iterable[str] = (),
    ignore_files: bool = False,
    on_skip: Callable[[Path], None] | None = None,
    on_exclude: Callable[[Path], None] | None = None,
) -> list[Upload]:
    """Plan an upload: look at all files before anything is sent or created. Blocks.

    A path below `base` keeps its relative name; any other gets its last component as its name. A
    symbolic link that is named in `paths` is followed. Devices, pipes and sockets are refused.

    Args:
        paths: regular files, and with `recursive` folders.
        base: folder that names are relative to; None for the current one.
        recursive: whether folders are uploaded, with all their content.
        links: what becomes of symbolic links in these folders. ``"follow"`` uploads the file or
            the folder that a link leads to, if that is inside the same folder, and refuses others.
            ``"keep"`` uploads the links (kernels take them, virtual folders do not), and refuses
            those that lead out of the folder. ``"skip"`` leaves all of them out.
        exclude: patterns of files and folders to leave out, in the form of a ``.gitignore`` file.
            They are relative to each folder in `paths`, and count for the names of `paths`, too.
        ignore_files: whether files called ``.gitignore`` and ``.backendaiignore`` in these folders
            count likewise, and those above them in the same Git repository. ``.git`` is then left
            out, too.
        on_skip: called with each link that is left out.
        on_exclude: called with each file and folder that a pattern leaves out.

    Returns:
        The files, and the folders before their content.

    Raises:
        UploadError: a path is missing, unreadable, or not a file or folder; a name cannot be sent;
            two paths get the same name; a link is refused; an ignore file is malformed.
        ValueError: `links` is none of the three words, or a pattern of `exclude` is malformed.
    """
    if links not in get_args(Links):
        raise ValueError(f"links must be 'follow', 'keep' or 'skip', not {links!r}")
    walk = _Walk(recursive, links, check_names(exclude), ignore_files, on_skip, on_exclude)
    base = _resolved_base(base)
    folders: dict[str, str] = {}
    planned: dict[str, Upload] = {}
    for item in check_names(paths):
        path = item if isinstance(item, Path) else Path(item)
        try:
            name = _name_below(path, base, folders)
            for upload in walk.plan(path, name):
                if upload.name in planned:
                    other = planned[upload.name].path
                    message = f"{other} would be uploaded as {upload.name!r} too"
                    raise UploadError(str(upload.path), message)
                planned[upload.name] = upload
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            at = getattr(exc, "filename", None) or path
            raise UploadError(str(at), f"cannot be uploaded: {reason}") from None
    return list(planned.values())


def _resolved_base(base: Path | None) -> Path:
    """The folder that names are relative to.

    Raises:
        UploadError: it is the current one, which has been removed.
    """
    try:
        return (base or Path.cwd()).resolve()
    except FileNotFoundError:
        raise UploadError(
            ".", "cannot be uploaded from: the current folder has been removed; change to another"
        ) from None


def _name_below(path: Path, base: Path, folders: dict[str, str]) -> str:
    """The remote name of a path. `folders` caches the remote names of the paths' folders."""
    if path.name in ("", ".."):
        resolved = path.resolve()
        if resolved.is_relative_to(base):
            return resolved.relative_to(base).as_posix()
        return resolved.name
    name = path.name
    folder = str(path)[: -len(name)]
    if name == base.name and Path(folder).resolve() == base.parent:
        return "."
    if (prefix := folders.get(folder)) is None:
        resolved = Path(folder).resolve()
        inner = resolved.relative_to(base).as_posix() if resolved.is_relative_to(base) else "."
        prefix = folders[folder] = "" if inner == "." else f"{inner}/"
    return prefix + name


class _Walk:
    """Finds the uploads of files and folders.

    Args:
        recursive: whether folders are uploaded.
        links, exclude, ignore_files, on_skip, on_exclude: as for `plan_uploads`.
    """

    def __init__(
        self,
        recursive: bool,
        links: Links,
        exclude: Sequence[str],
        ignore_files: bool,
        on_skip: Callable[[Path], None] | None,
        on_exclude: Callable[[Path], None] | None,
    ) -> None:
        self._recursive = recursive
        self._links = links
        self._exclude = exclude
        self._ignore_files = ignore_files
        self._on_skip = on_skip
        self._on_exclude = on_exclude
        self._named = Exclusions(exclude)

    def plan(self, path: Path, name: str) -> Iterator[Upload]:
        """The uploads of a path that the user named, and of its content if it is a folder."""
        state = path.stat()
        is_folder = stat.S_ISDIR(state.st_mode)
        is_base = name in (".", "")
        if not is_base and self._named.covers(name, is_folder=is_folder):
            self._leave_out(path)
        elif not is_folder:
            yield _upload(path, name, state)
        elif not self._recursive:
            raise UploadError(
                str(path), "cannot be uploaded: it is a folder; add -r (recursive=True)"
            )
        else:
            # The base itself is not created: its content goes to the top.
            if not is_base:
                yield _upload(path, name, state)
            yield from self._content(path, "" if is_base else f"{name}/")

    def _content(self, top: Path, prefix: str) -> Iterator[Upload]:
        """The uploads of a folder's content."""
        root = top.resolve()
        exclusions = Exclusions(self._exclude, root=top, ignore_files=self._ignore_files)
        # Beside each folder: the folders of the links that were followed to it.
        todo: list[tuple[Path, str, tuple[Path, ...]]] = [(top, prefix, ())]
        while todo:
            folder, before, crossed = todo.pop()
            for entry in self._entries(folder, before[len(prefix) :], exclusions):
                path, name = folder / entry.name, before + entry.name
                inner = crossed
                if not entry.is_symlink():
                    state = path.lstat()
                elif self._links == "skip":
                    if self._on_skip is not None:
                        self._on_skip(path)
                    continue
                elif self._links == "keep":
                    yield _link(path, name, root)
                    continue
                else:
                    inner = (*crossed, path.parent.resolve())
                    state = _followed(path, root, inner)
                yield _upload(path, name, state)
                if stat.S_ISDIR(state.st_mode):
                    todo.append((path, f"{name}/", inner))

    def _entries(
        self, folder: Path, before: str, exclusions: Exclusions
    ) -> Iterator[os.DirEntry[str]]:
        """The entries of a folder that are not excluded, by name."""
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        if not exclusions:
            yield from found
            return
        for entry in found:
            is_folder = entry.is_dir(follow_symlinks=self._links == "follow")
            if exclusions.excludes(before + entry.name, is_folder=is_folder):
                self._leave_out(folder / entry.name)
            else:
                yield entry

    def _leave_out(self, path: Path) -> None:
        if self._on_exclude is not None:
            self._on_exclude(path)


def _followed(path: Path, root: Path, inside: Sequence[Path]) -> os.stat_result:
    """The state of what a link leads to: it must be in `root`, and not hold one of `inside`."""
    target = path.resolve()
    if not (
        target.is_relative_to(root)
        and (target.is_file() or target.is_dir())
        and not any(folder.is_relative_to(target) for folder in inside)
    ):
        raise UploadError(
            str(path),
            "cannot be uploaded: it is a symbolic link to something other than a file or folder of "
            "the same folder; leave links out (--links skip), remove it, or upload what it leads "
            "to by name",
        )
    return target.stat()


def _link(path: Path, name: str, root: Path) -> Upload:
    """A link that is uploaded as one."""
    target = os.readlink(path)  # noqa: PTH115 (as it is written, not as pathlib normalises it)
    if target.startswith("/") or not path.resolve().is_relative_to(root):
        raise UploadError(
            str(path),
            "cannot be uploaded: it is a symbolic link that leads out of the folder; leave links "
            "out (--links skip), or remove it",
        )
    return Upload(path, _checked_name(path, name), 0, link=target)


def _upload(path: Path, name: str, state: os.stat_result) -> Upload:
    is_folder = stat.S_ISDIR(state.st_mode)
    if not (is_folder or stat.S_ISREG(state.st_mode)):
        raise UploadError(str(path), "cannot be uploaded: it is not a regular file")
    if not os.access(path, os.R_OK):
        raise UploadError(str(path), "cannot be uploaded: no permission to read it")
    return Upload(
        path,
        _checked_name(path, name),
        0 if is_folder else state.st_size,
        is_folder,
        bool(state.st_mode & stat.S_IXUSR) and not is_folder,
        int(state.st_mtime),
    )


def _checked_name(path: Path, name: str) -> str:
    try:
        return check_name(name)
    except LocalProtocolError as exc:
        raise UploadError(str(path), str(exc)) from None
