"""One process that uploads many files at once, and looks at what has become of them on the disk."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio
from protocol import Figures, obey
from work import raise_open_files

from backendai_trio import (
    BackendError,
    Client,
    KernelSpec,
    TrioKernel,
    TrioVFolder,
    UploadError,
    attach_kernel,
    create_vfolder,
    open_client,
)
from backendai_trio.transport.limits import Limits

CONNECTIONS = 400
"""The most requests of this client at once."""
BLOCK = 1 << 20


class Uploads:
    """The orders.

    Args:
        client: of the gateway.
        place: all files of the gateway, of its kernels, and of this process are below it.
    """

    def __init__(self, client: Client, place: Path) -> None:
        self._client = client
        self._place = place
        self._targets: list[TrioKernel | TrioVFolder] = []

    async def targets(self, kernels: int, folders: int) -> Figures:
        """Make kernels and virtual folders to upload to; the uploads take turns on all of them."""
        spec = KernelSpec(runtime="python")
        made: list[list[TrioKernel | TrioVFolder]] = [[], []]
        for number in range(kernels):
            made[0].append(await attach_kernel(self._client, spec, token=f"files-{number}"))
        for number in range(folders):
            made[1].append(await create_vfolder(self._client, f"files-{number}"))
        self._targets = [target for pair in zip(*made, strict=True) for target in pair]
        return {}

    async def files(self, name: str, count: int, size: int) -> Figures:
        """Make files of the same size, each with a content of its own."""
        await trio.to_thread.run_sync(partial(make_files, self._place / name, count, size))
        return {}

    async def upload(self, name: str) -> Figures:
        """Upload the files of a name, all at once.

        Returns:
            The seconds of each that was taken, and of all together; how often which error came; how
            many of those that were taken are not whole where they belong, and how many there are
            that were not.
        """
        taken: dict[str, float] = {}
        errors: Counter[str] = Counter()
        start = time.perf_counter()

        async def upload(path: Path, target: TrioKernel | TrioVFolder) -> None:
            begun = time.perf_counter()
            try:
                await target.upload([path], base=path.parent)
            except BackendError as exc:
                errors[kind_of(exc)] += 1
            else:
                taken[path.name] = time.perf_counter() - begun

        paths = sorted((self._place / name).iterdir())
        async with trio.open_nursery() as nursery:
            for number, path in enumerate(paths):
                nursery.start_soon(upload, path, self._targets[number % len(self._targets)])
        took = time.perf_counter() - start
        found = await trio.to_thread.run_sync(compare, self._place, paths, list(taken))
        return {"seconds": list(taken.values()), "all": took, "errors": errors, **found}


def kind_of(error: BackendError) -> str:
    """The type and the status of an error, or of the one that has caused it."""
    cause = error
    while isinstance(cause, UploadError) and isinstance(cause.__cause__, BackendError):
        cause = cause.__cause__
    status = getattr(cause, "status", None)
    return f"{type(cause).__name__}, {status}" if status else f"{type(cause).__name__}: {cause}"


def make_files(folder: Path, count: int, size: int) -> None:
    """Files of random bytes, which repeat within a file only."""
    folder.mkdir()
    for number in range(count):
        block = random.Random(f"{folder.name}-{number}").randbytes(min(size, BLOCK))
        with (folder / f"{folder.name}-{number:03}.bin").open("wb") as file:
            left = size
            while left:
                left -= file.write(block[:left])


def compare(place: Path, sources: Sequence[Path], taken: Sequence[str]) -> Figures:
    """Look for copies of files, wherever they are."""
    wanted = {path.name: digest_of(path) for path in sources}
    size = sources[0].stat().st_size
    found: dict[str, list[str]] = {}
    partial_files = 0
    for path in place.rglob("*"):
        if not path.is_file() or path.is_symlink() or path.parent == sources[0].parent:
            continue
        if path.name in wanted:
            found.setdefault(path.name, []).append(digest_of(path))
        elif path.parent.name == "uploads" or path.parent.parent.name.endswith(".staging"):
            partial_files += path.stat().st_size <= size
    right = [name for name in taken if found.get(name) == [wanted[name]]]
    untaken = set(found) - set(taken)
    whole = [name for name in untaken if found[name] == [wanted[name]]]
    return {
        "damaged": len(taken) - len(right) + len(untaken) - len(whole),
        "partial": partial_files,
    }


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def main() -> None:
    raise_open_files()
    limits = Limits(max_connections=CONNECTIONS)
    async with open_client(limits=limits) as client:
        uploads = Uploads(client, Path.home())
        await obey(
            {"targets": uploads.targets, "files": uploads.files, "upload": uploads.upload},
            trio.to_thread.run_sync,
        )


if __name__ == "__main__":
    trio.run(main)
