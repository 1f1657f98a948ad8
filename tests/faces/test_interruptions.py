"""An interrupted call returns when its work has ended; nothing is left, and the face goes on."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterable, Iterator
from pathlib import Path

import pytest
import trio

from backendai_trio import Kernel, list_kernels, open_client
from backendai_trio.asyncio import AsyncAdmin, AsyncKernel, AsyncVFolder
from backendai_trio.faces import compat
from backendai_trio.kernels import FileInfo
from backendai_trio.testing import TestGateway, gateway_in_thread

from ..programs import bare_environ

CANCELLATIONS = 300
AT_ONCE = 10
PARTS = 3
LONGEST_SECONDS = 0.6
"""Cancels come anywhere from the create's first step to the end of the destroy."""
CODE = "import time\nfor _ in range(40): time.sleep(0.005)"


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestGateway]:
    with gateway_in_thread() as opened:
        for name, value in opened.environ.items():
            monkeypatch.setenv(name, value)
        yield opened


def threads() -> set[str]:
    """Threads by name, without those of Trio: kept for a few seconds to be used again, or named by
    what they do, such as the one that waits for the portal's end."""
    names = {item.name for item in threading.enumerate()}
    return {name for name in names if not name.startswith("Trio thread") and " from " not in name}


class Tally:
    """How the attempts went."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.completed = 0

    def check(self) -> None:
        assert self.cancelled + self.completed == CANCELLATIONS
        # Otherwise the times were badly chosen, and this has tested little.
        assert self.cancelled > CANCELLATIONS // 3


# --- asyncio -------------------------------------------------------------------------------------


def test_asyncio_tasks_cancelled_at_random(gateway: TestGateway) -> None:
    pick = random.Random(2017)
    tally = Tally()

    async def use() -> None:
        kernel = await AsyncKernel.get_or_create("python")
        try:
            await kernel.execute(CODE)
        finally:
            await kernel.destroy()  # noqa: ASYNC102 (it is not cut short)

    async def attempts(count: int) -> None:
        for _ in range(count):
            task = asyncio.create_task(use())
            await asyncio.sleep(pick.uniform(0, LONGEST_SECONDS))
            task.cancel()
            try:
                await task
                tally.completed += 1
            except asyncio.CancelledError:  # noqa: ASYNC103 (it is the task's, not ours)
                tally.cancelled += 1
            await AsyncAdmin.list_kernels()  # the face is usable

    async def main() -> None:
        await AsyncAdmin.list_kernels()
        before = threads()
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(attempts(CANCELLATIONS // AT_ONCE))
        assert gateway.tokens() == []
        assert threads() == before
        async with await AsyncKernel.get_or_create("python") as kernel:
            assert (await kernel.execute("print(1)"))["console"] == [("stdout", "1\n")]

    asyncio.run(main())
    tally.check()


def test_asyncio_timeout_stops_the_code(gateway: TestGateway) -> None:
    async def main() -> None:
        async with await AsyncKernel.get_or_create("python") as kernel:
            code = "import time\ntry: time.sleep(60)\nfinally: open('stopped', 'w').close()"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await kernel.execute(code)
            # When the call returned, the code had ended.
            result = await kernel.execute("import os; print(os.path.exists('stopped'))")
            assert result["console"] == [("stdout", "True\n")]

    asyncio.run(main())


def test_asyncio_cancelled_twice_waits_all_the_same(gateway: TestGateway) -> None:
    async def main() -> None:
        async with await AsyncKernel.get_or_create("python") as kernel:
            code = "import time\ntry: time.sleep(60)\nfinally: time.sleep(0.5); x = 1"
            task = asyncio.create_task(kernel.execute(code))
            await asyncio.sleep(0.7)
            task.cancel()
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await kernel.execute("print(x)"))["console"] == [("stdout", "1\n")]

    asyncio.run(main())


def test_cancelled_reads_lose_nothing(gateway: TestGateway) -> None:
    """A piece of output may arrive just when its reader is cancelled."""
    code = "import time\nfor i in range(100):\n  print(i, flush=True)\n  time.sleep(0.004)"
    pick = random.Random(2017)

    async def main() -> None:
        text = ""
        async with (
            await AsyncKernel.get_or_create("python") as kernel,
            kernel.stream_execute(code) as run,
        ):
            while run.outcome is None:
                try:
                    async with asyncio.timeout(pick.uniform(0, 0.01)):
                        async for event in run:
                            text += getattr(event, "text", "")
                except TimeoutError:
                    pass
        assert text.split() == [str(number) for number in range(100)]

    asyncio.run(main())


def test_cancelled_transfers_leave_nothing_half_done(gateway: TestGateway, tmp_path: Path) -> None:
    content = random.Random(2017).randbytes(4_000_000)
    path, out = tmp_path / "file", tmp_path / "out"
    path.write_bytes(content)
    pick = random.Random(2017)
    cancelled = 0

    async def attempt(transfer: Coroutine[object, object, object]) -> None:
        nonlocal cancelled
        try:
            async with asyncio.timeout(pick.uniform(0, 0.06)):
                await transfer
        except TimeoutError:
            cancelled += 1

    def whole_or_missing(files: Iterable[FileInfo]) -> bool:
        return {file.size for file in files if file.name != "there"} <= {len(content)}

    async def main() -> None:
        async with await AsyncKernel.get_or_create("python") as kernel:
            folder = await AsyncVFolder.create("data")
            await kernel.upload([path], to="there")
            await folder.upload([path], to="there")
            for _ in range(8):
                await attempt(kernel.upload([path]))
                assert whole_or_missing((await kernel.list_files()).files)
                await attempt(folder.upload([path]))
                assert whole_or_missing(await folder.list_files())
                for download in (kernel.download, folder.download):
                    await attempt(download(["there/file"], out, overwrite=True))
                    found = list(out.iterdir()) if out.exists() else []
                    assert [item.read_bytes() == content for item in found] in ([], [True])
            # The face is usable.
            assert await folder.download(["there/file"], out, overwrite=True) == [out / "file"]
            await folder.delete()

    asyncio.run(main())
    assert cancelled  # otherwise the times were badly chosen


def test_sends_that_nobody_awaits_go_in_order(gateway: TestGateway) -> None:
    async def main() -> bytes:
        output = b""
        async with (
            await AsyncKernel.get_or_create("python") as kernel,
            kernel.stream_pty() as pty,
        ):
            pty.resize(40, 120)
            for character in "echo in-order-$((6*7))":
                pty.send_str(character)
            await pty.send_str("\n")
            pty.send_bytes(b"exit\n")
            async for data in pty:
                output += data
            assert not pty.closed
            pty.resize(0, 0)  # fails, and nobody awaits it
            await asyncio.sleep(0.1)
            assert "0 rows" in str(pty.exception())
        assert pty.closed
        await pty.close()
        return output

    assert b"in-order-42" in asyncio.run(main())


def test_loops_and_threads_side_by_side(gateway: TestGateway) -> None:
    """Four loops in four threads, and four threads without, use one Trio thread."""
    failures: list[BaseException] = []

    async def in_loop(number: int) -> None:
        async with await AsyncKernel.get_or_create("python") as kernel:
            result = await kernel.execute(f"print({number})")
            assert result["console"] == [("stdout", f"{number}\n")]

    def in_thread(number: int) -> None:
        try:
            if number % 2:
                asyncio.run(in_loop(number))
            else:
                with Kernel.get_or_create("python") as kernel:
                    result = kernel.execute(f"print({number})")
                    assert result["console"] == [("stdout", f"{number}\n")]
        except BaseException as exc:  # noqa: ASYNC103 (for the main thread)
            failures.append(exc)

    workers = [threading.Thread(target=in_thread, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert gateway.tokens() == []


def test_blocking_face_in_a_running_loop(gateway: TestGateway) -> None:
    """As in a cell of a notebook."""

    async def cell() -> None:  # noqa: ASYNC124 (blocking is the point)
        with Kernel.get_or_create("python") as kernel:
            assert kernel.execute("print(1)")["console"] == [("stdout", "1\n")]

    asyncio.run(cell())


# --- Trio ----------------------------------------------------------------------------------------


def test_trio_scopes_cancelled_at_random(gateway: TestGateway) -> None:
    pick = random.Random(2017)
    tally = Tally()

    async def main() -> None:
        async with open_client() as client:
            before = threads()

            async def attempts(count: int) -> None:
                for _ in range(count):
                    with trio.move_on_after(pick.uniform(0, LONGEST_SECONDS)) as scope:
                        kernel = await compat.get_or_create(client, "python")
                        try:
                            await compat.execute(kernel, CODE)
                        finally:
                            await kernel.destroy()  # noqa: ASYNC102 (it has a shield)
                    tally.cancelled += scope.cancelled_caught
                    tally.completed += not scope.cancelled_caught
                    await list_kernels(client)

            async with trio.open_nursery() as workers:
                for _ in range(AT_ONCE):
                    workers.start_soon(attempts, CANCELLATIONS // AT_ONCE)
            assert gateway.tokens() == []
            assert threads() == before

    trio.run(main)
    tally.check()


# --- blocking ------------------------------------------------------------------------------------

INTERRUPTED = r"""
import json, random, signal, sys, threading
from backendai_trio import Kernel
from backendai_trio.faces import Admin, waiting

count, longest, code, seed = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
pick = random.Random(seed)
armed = False

def interrupt(_number, frame):
    global armed
    if not armed:
        return
    # Only inside of calls: between them Ctrl-C is the program's own affair.
    while frame is not None and frame.f_code is not waiting.wait.__code__:
        frame = frame.f_back
    if frame is None:
        signal.setitimer(signal.ITIMER_REAL, 0.0002)
    else:
        armed = False
        signal.raise_signal(signal.SIGINT)

def threads():
    return sorted(t.name for t in threading.enumerate() if not t.name.startswith("Trio thread"))

signal.signal(signal.SIGALRM, interrupt)
Admin.list_kernels()
before = threads()
interrupted = completed = 0
for _ in range(count):
    armed = True
    signal.setitimer(signal.ITIMER_REAL, pick.uniform(0.0005, longest))
    try:
        with Kernel.get_or_create("python") as kernel:
            kernel.execute(code)
        armed = False
        completed += 1
    except KeyboardInterrupt:
        interrupted += 1
    assert Admin.list_kernels() == []
with Kernel.get_or_create("python") as kernel:
    last = kernel.execute("print(1)")["console"]
print(json.dumps({
    "interrupted": interrupted, "completed": completed, "last": last,
    "threads": [before, threads()],
    "handler": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
}))
"""


def run_script(
    gateway: TestGateway, script: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        env=bare_environ(**gateway.environ),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_blocking_calls_interrupted_at_random(gateway: TestGateway, part: int) -> None:
    """One after another, since it is the main thread that Ctrl-C reaches."""
    count = CANCELLATIONS // PARTS
    done = run_script(gateway, INTERRUPTED, str(count), "0.3", CODE, str(part))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["interrupted"] + found["completed"] == count
    assert found["interrupted"] > count // 3
    assert found["last"] == [["stdout", "1\n"]]
    assert found["threads"][0] == found["threads"][1]
    assert found["handler"]
    assert gateway.tokens() == []


def test_ctrl_c_stops_the_code(gateway: TestGateway) -> None:
    script = r"""
import signal, os, threading, time
from backendai_trio import Kernel
with Kernel.get_or_create("python") as kernel:
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        kernel.execute("import time\ntry: time.sleep(60)\nfinally: open('stopped', 'w').close()")
    except KeyboardInterrupt:
        print(kernel.execute("import os; print(os.path.exists('stopped'))")["console"])
"""
    done = run_script(gateway, script)
    assert done.stdout == "[('stdout', 'True\\n')]\n", done.stderr


def test_other_handlers_wait_for_the_end_too(gateway: TestGateway) -> None:
    script = r"""
import signal, os, threading
from backendai_trio import Kernel
class Stop(Exception): pass
def stop(*_): raise Stop
signal.signal(signal.SIGTERM, stop)
with Kernel.get_or_create("python") as kernel:
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    try:
        kernel.execute("import time\ntry: time.sleep(60)\nfinally: open('stopped', 'w').close()")
    except Stop:
        print(kernel.execute("import os; print(os.path.exists('stopped'))")["console"])
"""
    done = run_script(gateway, script)
    assert done.stdout == "[('stdout', 'True\\n')]\n", done.stderr
