"""Files to and from kernels and virtual folders."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..peers import USUAL
from ..rows import BARE, OURS, Limit, Row
from ..servers import gateway
from ..setting import Setting
from ..turns import in_turns
from ..workers import MeasuringFailed, Worker, open_worker

NAME = "files"
TITLE = "Files to and from kernels and virtual folders, on a gateway"
MANY = 0.2
"""Of the official client's time, for many files."""
COPY = "a copy on the disk"
MIB, KIB = 1 << 20, 1 << 10


@dataclass(frozen=True)
class Load:
    """What is sent."""

    name: str
    title: str
    count: int
    size: int
    """Of each file, in bytes."""
    per_folder: int = 0
    """Files in each folder; 0 for one folder."""
    rounds: int = 3
    limit: float = 1.0

    @property
    def names(self) -> list[str]:
        """The paths of the files."""
        names = [f"{number:05}.bin" for number in range(self.count)]
        if not self.per_folder:
            return names
        return [f"{number // self.per_folder:03}/{name}" for number, name in enumerate(names)]


def loads(setting: Setting) -> list[Load]:
    large = setting.count(512, 128)
    many, tree = setting.count(1_000, 300), setting.count(10_000, 1_000)
    return [
        Load("large", f"1 file of {large} MiB", 1, large * MIB),
        Load("many", f"{many:,} files of 4 KiB", many, 4 * KIB, limit=MANY),
        Load("tree", f"a tree of {tree:,} files", tree, KIB, per_folder=100, rounds=1, limit=MANY),
    ]


def measure(setting: Setting) -> Iterator[Row]:
    with setting.place() as (folder, env), ExitStack() as stack:
        served = env | stack.enter_context(gateway(folder / "data", env)).variables
        workers = {OURS: stack.enter_context(open_worker(sys.executable, "ours_files.py", served))}
        if setting.usual is not None:
            python = setting.usual / "python"
            workers[USUAL] = stack.enter_context(open_worker(python, "official_files.py", served))
        for load in loads(setting):
            if setting.quick and load.name == "tree":
                continue
            for where in ("kernel", "folder"):
                yield from _Transfers(setting, workers, folder, load, where).rows()
            shutil.rmtree(folder / load.name)


class _Transfers:
    """The transfers of the same files, in turns, to one place."""

    def __init__(
        self,
        setting: Setting,
        workers: Mapping[str, Worker],
        folder: Path,
        load: Load,
        where: str,
    ) -> None:
        self._workers = workers
        self._folder = folder
        self._load = load
        self._where = where
        self._there = f"bench-{load.name}"
        self._rounds = setting.rounds or min(load.rounds, setting.count(3, 1))
        self._number = 0
        self._sent = ""

    def rows(self) -> Iterator[Row]:
        load = self._load
        source = self._folder / load.name
        if not source.exists():
            write_files(source, load.names, load.size)
        self._workers[OURS].ask("make", self._where, self._there)
        self._warm_up()
        to = "a kernel" if self._where == "kernel" else "a virtual folder"
        for title, action in (
            (f"upload of {load.title} to {to}", self._upload),
            (f"download of {load.title} from {to}", self._download),
        ):
            measures: dict[str, Callable[[], float]] = {
                who: partial(action, who) for who in self._workers
            }
            measures[BARE] = partial(action, BARE)
            samples = in_turns(measures, self._rounds, warm_up=False, twice=False)
            yield Row(
                NAME,
                title,
                samples,
                bare=COPY,
                size=load.size if load.count == 1 else 0,
                limit=Limit(load.limit, USUAL),
                headline=self._where == "kernel" and load.name != "tree",
            )
        self._workers[OURS].ask("remove", self._where, self._there)

    def _warm_up(self) -> None:
        """Have each client load what it needs, with a small file."""
        for who, worker in self._workers.items():
            name = f"warm-{who}"
            warm = self._folder / name
            write_files(warm, ["small.bin"], KIB)
            worker.ask("upload", self._where, self._there, str(warm))
            order = ["download", self._where, self._there, name, str(self._folder / f"back-{name}")]
            worker.ask(*order, *([] if who == OURS else [[f"{name}/small.bin"]]))
            shutil.rmtree(warm)
            shutil.rmtree(self._folder / f"back-{name}")

    def _upload(self, who: str) -> float:
        # Each time into a new folder there. What is to be replaced, or was just removed, would
        # slow the file system down.
        self._number += 1
        plain = self._folder / self._load.name
        source = plain.rename(self._folder / f"{self._load.name}-{self._number}")
        try:
            self._level()
            if who == BARE:
                return _copied(source, self._folder / f"copy-{self._number}")
            took = self._workers[who].seconds("upload", self._where, self._there, str(source))
            self._sent = source.name
            return took
        finally:
            source.rename(plain)

    def _download(self, who: str) -> float:
        self._number += 1
        into = self._folder / f"back-{self._number}"
        self._level()
        try:
            if who == BARE:
                return _copied(self._folder / self._load.name, into)
            order = ["download", self._where, self._there, self._sent, str(into)]
            files = [f"{self._sent}/{name}" for name in self._load.names]
            more = [] if who == OURS else [files]
            took = self._workers[who].seconds(*order, *more)
            arrived = sum(path.is_file() for path in into.rglob("*"))
            if arrived != self._load.count:
                raise MeasuringFailed(f"{arrived} of {self._load.count} files arrived at {who}")
            return took
        finally:
            shutil.rmtree(into, ignore_errors=True)

    def _level(self) -> None:
        """Have the machine in the same state before every transfer.

        What the one before has left to be written to the disk is written. And the page cache finds
        memory that was in use just now: in a virtual machine, pages that its host has yet to
        provide cost up to 2 s for 512 MiB, and that hits the one client or the other.
        """
        os.sync()
        scratch = self._folder / "scratch"
        write_file(scratch, 2 * self._load.count * self._load.size)
        scratch.unlink()


def _copied(source: Path, target: Path) -> float:
    start = time.perf_counter()
    shutil.copytree(source, target)
    took = time.perf_counter() - start
    shutil.rmtree(target)
    return took


def write_files(folder: Path, names: list[str], size: int) -> None:
    """Files of a size, by their paths in a new folder."""
    folder.mkdir()
    for parent in {(folder / name).parent for name in names}:
        parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_file(folder / name, size)


def write_file(path: Path, size: int) -> None:
    """A file of bytes that no disk packs."""
    block = os.urandom(min(size, MIB))
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(block[:size])
