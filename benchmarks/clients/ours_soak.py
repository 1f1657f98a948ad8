"""One process that uses a gateway as people do on a usual day, only faster."""

from __future__ import annotations

import os
import random
import shutil
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio
from ours_load import reset
from ours_streams import received
from protocol import Figures, obey
from work import memory, output, raise_open_files

from backendai_trio import (
    ApiError,
    Client,
    KernelSpec,
    NotFound,
    TrioKernel,
    attach_kernel,
    create_vfolder,
    find_vfolder,
    list_kernels,
    open_client,
    open_kernel,
    open_terminal,
)
from backendai_trio.kernels import open_app_stream

PYTHON = KernelSpec(runtime="python")
RUNS = 25
"""In each kernel."""
FILE_BYTES = 256 * 1024
SERVER = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0))
def serve(peer):
    with peer:
        while data := peer.recv(65536):
            peer.sendall(data)
def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
print(listener.getsockname()[1])
"""
PEOPLE = 6
"""How many kernels are in use at once at most."""
PATIENCE_SECONDS = 60.0


class Soak:
    """The orders.

    Args:
        folder: for files of this process; it is made and removed.
    """

    _client: Client

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._random = random.Random(2018)
        self._done: Counter[str] = Counter()

    async def use(self, kernels: int, seconds: float) -> Figures:
        """Use so many kernels one after the other, at even times; how often what was done."""
        self._done.clear()
        self._folder.mkdir(exist_ok=True)
        (self._folder / "sent.bin").write_bytes(self._random.randbytes(FILE_BYTES))
        people = trio.CapacityLimiter(PEOPLE)
        start = trio.current_time()

        async def use_one(number: int) -> None:
            await trio.sleep_until(start + number * seconds / kernels)
            async with people:
                with trio.fail_after(PATIENCE_SECONDS):
                    await self._use_kernel(number)

        # A client of its own: what it keeps open must not be there when all is over.
        async with open_client() as self._client, trio.open_nursery() as nursery:
            for number in range(kernels):
                nursery.start_soon(use_one, number)
        shutil.rmtree(self._folder)
        return dict(self._done)

    def own(self) -> Figures:
        """What this process has."""
        return {
            "bytes": memory("VmRSS"),
            "fds": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
        }

    async def _use_kernel(self, number: int) -> None:
        """What one kernel is used for. Every tenth is left to the gateway's idle timeout."""
        if number % 10 == 9:
            kernel = await attach_kernel(self._client, PYTHON, token=f"soak-{number}")
            await self._work(kernel, number)
            self._done["kernels left to the idle timeout"] += 1
        else:
            async with open_kernel(self._client, PYTHON) as kernel:
                await self._work(kernel, number)
            self._done["kernels"] += 1
        if number % 5 == 0:
            await self._use_folder(f"soak-{number}")
        await self._be_refused()
        await self._cut_connections()

    async def _work(self, kernel: TrioKernel, number: int) -> None:
        for step in range(RUNS):
            result = await kernel.run(f"print({step})")
            if output(result) != f"{step}\n":
                raise ValueError(f"print({step}) has ended with {result}")
        self._done["runs of code"] += RUNS
        await kernel.upload([self._folder / "sent.bin"], base=self._folder)
        self._done["uploads"] += 1
        into = self._folder / f"back-{number}"
        into.mkdir()
        await kernel.download(["sent.bin"], into)
        same_bytes(into / "sent.bin", self._folder / "sent.bin")
        shutil.rmtree(into)
        self._done["downloads"] += 1
        if number % 2:
            await self._type(kernel)
        else:
            await self._connect(kernel)
        await self._cancel(kernel)

    async def _type(self, kernel: TrioKernel) -> None:
        async with open_terminal(kernel) as opened:
            await opened.send_all(b"echo a$((40 + 2))b\n")
            shown = b""
            while b"a42b" not in shown:
                shown += await received(opened)
        self._done["terminals"] += 1

    async def _connect(self, kernel: TrioKernel) -> None:
        port = output(await kernel.run(SERVER)).strip()
        for _ in range(3):
            async with open_app_stream(kernel, port) as stream:
                await stream.send_all(b"ping")
                echoed = b""
                while len(echoed) < 4:
                    echoed += await stream.receive_some()
            self._done["connections to services"] += 1

    async def _cancel(self, kernel: TrioKernel) -> None:
        """Go away in the middle of things."""
        for action in (
            lambda: kernel.run("import time; time.sleep(0.3)"),
            lambda: kernel.upload([self._folder / "sent.bin"], base=self._folder, to="again"),
            lambda: self._type(kernel),
        ):
            with trio.move_on_after(self._random.uniform(0.0, 0.02)):
                await action()
            self._done["cancelled calls"] += 1

    async def _use_folder(self, name: str) -> None:
        folder = await create_vfolder(self._client, name)
        try:
            await folder.upload([self._folder / "sent.bin"], base=self._folder)
            into = self._folder / f"back-{name}"
            into.mkdir()
            await folder.download(["sent.bin"], into)
            same_bytes(into / "sent.bin", self._folder / "sent.bin")
            shutil.rmtree(into)
        finally:
            with trio.move_on_after(PATIENCE_SECONDS, shield=True):
                await (await find_vfolder(self._client, name)).delete()
        self._done["virtual folders"] += 1

    async def _be_refused(self) -> None:
        """Ask for what there is not."""
        await self._expect(NotFound, lambda: find_vfolder(self._client, "no-such-folder"))
        spec = KernelSpec(runtime="cobol")
        await self._expect(ApiError, lambda: attach_kernel(self._client, spec, token="soak-bad"))
        self._done["listings"] += 1
        await list_kernels(self._client)

    async def _expect(self, kind: type[ApiError], action: Callable[[], Awaitable[object]]) -> None:
        try:
            await action()
        except kind:
            self._done["refused requests"] += 1
            return
        raise ValueError("what does not exist was not refused")

    async def _cut_connections(self) -> None:
        """Connections that end in the middle of a head, of a body, and without a word."""
        where = self._client.config.endpoint
        upload = b"PUT /session/none/archive HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"
        for data in (b"", b"GET / HT", b"\x16\x03\x01 no TLS here\r\n\r\n", upload + b"x" * 1000):
            opened = socket.create_connection((where.host, where.port))
            opened.sendall(data)
            await trio.sleep(0.01)
            reset(opened)
            self._done["cut connections"] += 1


def same_bytes(one: Path, other: Path) -> None:
    """Check that two files are the same.

    Raises:
        ValueError: they are not.
    """
    if one.read_bytes() != other.read_bytes():
        raise ValueError(f"{one} has come back different")


async def main() -> None:
    raise_open_files()
    soak = Soak(Path.home() / "soak")
    await obey({"use": soak.use, "own": soak.own}, trio.to_thread.run_sync)


if __name__ == "__main__":
    trio.run(main)
