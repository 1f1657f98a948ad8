"""Commands that are interrupted or killed at random moments: no kernel is left, nor a file."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from backendai_trio import GatewayOptions
from backendai_trio.testing import TestGateway, gateway_in_thread

from ..cli.commands import Commands
from ..cli.terminal import eventually
from .census import Place, settle
from .command_lines import KEPT, LINES, SIZE, prepare, run_until
from .rounds import KILLS, chance, share
from .tls import certificate_files

ORPHAN_SECONDS = 5.0
GC_SECONDS = 15.0
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class Account:
    """Commands, and the gateway that they go to.

    Attributes:
        commands: the commands.
        env: variables that lead to the gateway.
        gateway: the gateway.
    """

    def __init__(
        self, commands: Commands, env: Mapping[str, str], gateway: TestGateway, pick: random.Random
    ) -> None:
        self.commands = commands
        self.env = env
        self.gateway = gateway
        self._port = prepare(commands, env)
        self._pick = pick
        self._seconds: dict[str, float] = {}
        self._before = set(self._files())

    def moment(self, name: str) -> float:
        """A moment of a line, in seconds from its start. The first time, it runs undisturbed."""
        if name not in self._seconds:
            code, took, text = self.run(name)
            assert code in (0, 130, 143), (name, code, text)
            self._seconds[name] = took
            self.check_files(name)
        return self._pick.uniform(0.05, 1.0) * self._seconds[name]

    def run(self, name: str, number: int = 0, seconds: float = 0.0) -> tuple[int, float, str]:
        """Run a line; see `run_until`."""
        return run_until(self.commands, LINES[name], self.env, self._port, number, seconds)

    def check_files(self, where: str) -> None:
        """No partial file is left. Whole ones are removed, for the next round."""
        assert list(self.commands.tmp.iterdir()) == [], where
        for path in set(self._files()) - self._before:
            assert path.stat().st_size == SIZE, f"{where}: {path} is not whole"
            path.unlink()

    def remove_files(self) -> None:
        """Remove what a killed command has left."""
        for path in set(self._files()) - self._before:
            path.unlink()

    def entries(self) -> list[Path]:
        """Entries of the journal. One without a whole line is of no kernel: its command was killed
        while it wrote the line. `gc` removes it when nobody can be writing it any more."""
        folder = self.commands.home / ".local" / "state" / "backendai-trio" / "kernels"
        return [path for path in folder.glob("*") if b"\n" in path.read_bytes()]

    def _files(self) -> Iterator[Path]:
        return (path for path in self.commands.work.rglob("*") if path.is_file())


@contextmanager
def account(scheme: str, folder: Path, pick: random.Random) -> Iterator[Account]:
    """Commands with a gateway, a kernel and a virtual folder."""
    options, env = GatewayOptions(), {}
    if scheme == "https":
        ca, chain, key = certificate_files(folder)
        options, env = GatewayOptions(certificate=(chain, key)), {"BACKEND_CA_FILE": str(ca)}
    (folder / "person").mkdir()
    commands = Commands(folder / "person")
    with gateway_in_thread(options) as gateway:
        env |= gateway.environ
        yield Account(commands, env, gateway, pick)


def lines_of(count: int, pick: random.Random) -> list[str]:
    """Names of lines, one for each round; few rounds are all of different lines."""
    names = list(LINES)
    pick.shuffle(names)
    return [names[index % len(names)] for index in range(count)]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_interrupted_commands(scheme: str, tmp_path: Path, gateway_parent: Path) -> None:
    pick = chance("commands", scheme)
    empty = Place((gateway_parent,)).census()
    with account(scheme, tmp_path, pick) as made:
        for name in lines_of(share(4, 4), pick):
            seconds, number = made.moment(name), pick.choice(INTERRUPTS)
            where = f"{name}: {number.name} after {seconds:.3f} s"
            code, _, text = made.run(name, number, seconds)
            if "Fatal Python error" not in text:  # Python itself was interrupted, at its start
                assert code in (0, 130, 143, -number), f"{where}: {code} {text}"
            assert "backendai" not in text.partition("Traceback")[2], f"{where}: {text}"
            assert made.gateway.tokens() == [KEPT], where
            made.check_files(where)
            assert made.entries() == [], where
    assert settle(Place((gateway_parent,)), empty) == []


def test_interrupted_commands_on_this_machine(tmp_path: Path) -> None:
    """The gateway is in the command, and ends with it."""
    pick = chance("commands", "local")
    commands = Commands(tmp_path)
    (commands.work / "big.bin").write_bytes(b"x" * SIZE)
    (commands.work / "main.py").write_text("print(1)\n")
    local = [name for name, line in LINES.items() if line.local]
    seconds: dict[str, float] = {}
    for _ in range(share(2, 3)):
        name = pick.choice(local)
        if name not in seconds:
            code, seconds[name], text = run_until(commands, LINES[name], {})
            assert code == 0, text
        after, number = pick.uniform(0.05, 1.0) * seconds[name], pick.choice(INTERRUPTS)
        where = f"{name}: {number.name} after {after:.3f} s"
        run_until(commands, LINES[name], {}, "", number, after)
        assert commands.kernel_processes() == [], where
        assert list(commands.tmp.iterdir()) == [], where


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_killed_commands(scheme: str, tmp_path: Path, gateway_parent: Path) -> None:
    """`gc` ends what they leave, also when the last write to the journal was cut."""
    pick = chance("killed commands", scheme)
    with account(scheme, tmp_path, pick) as made:
        for name in lines_of(max(2, KILLS // 6), pick):
            seconds = made.moment(name)
            made.run(name, signal.SIGKILL, seconds)
            cut = [cut_second_line(path, pick) for path in made.entries()]
            where = f"{name}: killed after {seconds:.3f} s, entries cut to {cut}"

            def collect(made: Account = made, where: str = where) -> bool:
                done = made.commands.run("gc", env=made.env)
                assert done.code == 0, f"{where}: {done.stderr}"
                return made.gateway.tokens() == [KEPT] and made.entries() == []

            assert eventually(collect, GC_SECONDS), f"{where}: {made.gateway.tokens()}"
            made.remove_files()


def cut_second_line(entry: Path, pick: random.Random) -> int:
    """Cut what the journal's last write has written; returns the new length."""
    content = entry.read_bytes()
    first = content.find(b"\n")
    if first < 0:
        return len(content)
    length = pick.randint(first, len(content))
    entry.write_bytes(content[:length])
    return length


def test_killed_commands_on_this_machine(tmp_path: Path) -> None:
    """Kernels notice that their gateway is gone, and need no `gc`."""
    pick = chance("killed commands", "local")
    commands = Commands(tmp_path)
    (commands.work / "big.bin").write_bytes(b"x" * SIZE)
    (commands.work / "main.py").write_text("print(1)\n")
    local = [name for name, line in LINES.items() if line.local]
    for _ in range(max(2, KILLS // 10)):
        name = pick.choice(local)
        seconds = pick.uniform(0.1, 2.0)
        run_until(commands, LINES[name], {}, "", signal.SIGKILL, seconds)
        where = f"{name}: killed after {seconds:.3f} s"
        assert commands.nothing_is_left(ORPHAN_SECONDS), f"{where}: {commands.kernel_files()}"
