"""Seeds of names of files."""

from __future__ import annotations

from backendai_trio.wire.kernel_spec import WORK_FOLDER

from .chosen import Seeds, chosen


def names() -> Seeds:
    given = [
        "a/b\nc", "deep/er", "../x", "out/x", "deep/out/secret", f"{WORK_FOLDER}/file",
        "up/tree/file", "loop/x", "chain/secret", "ok/er/\nfile", ".", "\ud55c\uad6d/\u00fc",
        "a//./b/", "secret",
    ]  # fmt: skip
    return {
        f"{kind}-{number:02}": chosen(name, kind)
        for number, name in enumerate(given)
        for kind in (number % 10, (number + 5) % 10)
    }
