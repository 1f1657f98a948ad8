"""How the files of a kernel are removed. The process host uses it (see `serving.py`)."""

from __future__ import annotations

import os


def remove_tree(path: str) -> int:
    """Remove a folder tree, and return the size of its files in bytes.

    Walks with chdir, because a program may have nested folders deeper than PATH_MAX, and deeper
    than there are file descriptors. Symbolic links are not followed; no other process of the kernel
    is alive that could replace a folder by one. Mount points and other users' files are left.
    """
    size = 0
    try:
        os.chdir(path)
    except OSError:
        return 0
    names: list[str] = []  # of the folders from `path` down to the current one
    todo: list[list[str]] = []  # for each of them the subfolders that are left
    while True:
        if len(todo) == len(names):
            folders = []
            with os.scandir() as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                        continue
                    try:
                        size += entry.stat(follow_symlinks=False).st_size
                        os.unlink(entry.name)  # noqa: PTH108
                    except OSError:
                        pass
            todo.append(folders)
        if todo[-1]:
            name = todo[-1].pop()
            try:
                os.chmod(name, 0o700)  # noqa: PTH101 (module caches make folders read-only)
                os.chdir(name)
            except OSError:
                continue
            names.append(name)
            continue
        todo.pop()
        os.chdir("..")
        try:
            os.rmdir(names[-1] if names else path)  # noqa: PTH106
        except OSError:
            pass
        if not names:
            return size
        names.pop()
