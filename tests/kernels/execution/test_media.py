"""Pictures and other media that programs of a kernel show, on their way to the client."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import trio

from backendai_trio import (
    BuildFinished,
    Client,
    Finished,
    Media,
    Stderr,
    Stdout,
    TrioKernel,
    open_kernel,
    open_terminal,
)
from backendai_trio.files import plan_uploads
from backendai_trio.gateway import Gateway
from backendai_trio.wire.execution import RICH_OUTPUT

from ...local_kernels import work_folder
from ..distant import distant_kernel
from .runs import PYTHON, Ran, every_way, run, write

PNG = b"\x89PNG\r\n\x1a\n"
SHOW = "from backendai_display import show\n"


@pytest.fixture
def gateway_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose path is longer than the address of a socket may be (107 bytes)."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def told(ran: Ran) -> list[object]:
    """The events, with the type and the bytes of media."""
    return [
        (event.mime_type, event.content()) if isinstance(event, Media) else event
        for event in ran.events
    ]


# --- order, size, number -------------------------------------------------------------------------


@every_way
async def test_media_come_in_order(kernel: TrioKernel) -> None:
    code = (
        f"{SHOW}import sys\nprint('a', end='')\nshow('image/png', {PNG!r})\n"
        "print('b')\nshow('image/svg+xml', b'<svg/>')\nprint('c', file=sys.stderr)\n"
        "show('application/json', b'{}')\nshow('text/x', b'data:,\\xff')"
    )
    assert told(await run(kernel, code)) == [
        Stdout("a"),
        ("image/png", PNG),
        Stdout("b\n"),
        ("image/svg+xml", b"<svg/>"),
        Stderr("c\n"),
        ("application/json", b"{}"),
        ("text/x", b"data:,\xff"),
        Finished(0),
    ]


@pytest.mark.parametrize("mode", ["query", "batch"])
async def test_order_after_much_output(
    kernel: TrioKernel, tmp_path: Path, mode: Literal["query", "batch"]
) -> None:
    """After some KiB the gateway pauses, to read more at a time."""
    source = (
        f"{SHOW}for number in range(30):\n"
        "    print('x' * 3000, flush=True)\n    print(number)\n    show('image/png', b'')\n"
    )
    await kernel.upload(plan_uploads(write(tmp_path, main_py=source)))
    ran = await run(kernel, source if mode == "query" else "", mode=mode)
    expected: list[object] = []
    for number in range(30):
        expected += [Stdout(f"{'x' * 3000}\n{number}\n"), ("image/png", b"")]
    assert [event for event in told(ran) if event != BuildFinished(0)] == [*expected, Finished(0)]


@every_way
async def test_media_of_a_batch_and_of_its_children(kernel: TrioKernel, tmp_path: Path) -> None:
    child = f"{SHOW}print('child', flush=True)\nshow('image/png', b'2')"
    source = (
        f"{SHOW}import subprocess, sys\nprint('a')\nshow('image/png', b'1')\n"
        f"subprocess.run([sys.executable, '-c', {child!r}])\nprint('b')\nsys.exit(3)\n"
    )
    await kernel.upload(plan_uploads(write(tmp_path, main_py=source)))
    ran = await run(kernel, mode="batch")
    assert told(ran)[-6:] == [
        Stdout("a\n"),
        ("image/png", b"1"),
        Stdout("child\n"),
        ("image/png", b"2"),
        Stdout("b\n"),
        Finished(3),
    ]


@every_way
async def test_large_media(kernel: TrioKernel) -> None:
    """Each is more than the output that is held for a client."""
    code = (
        f"{SHOW}import random\nfor seed in range(3):\n"
        "    show('image/png', random.Random(seed).randbytes(3_000_000))\n    print(seed)"
    )
    expected: list[object] = []
    for seed in range(3):
        expected += [("image/png", random.Random(seed).randbytes(3_000_000)), Stdout(f"{seed}\n")]
    assert told(await run(kernel, code)) == [*expected, Finished(0)]


@pytest.mark.parametrize("seed", range(3))
async def test_media_over_a_connection_that_breaks(
    gateway: Gateway, kernel: TrioKernel, seed: int
) -> None:
    code = (
        f"{SHOW}import random\nrandom.seed({seed})\nfor number in range(60):\n"
        "    show('image/png', random.randbytes(random.choice([0, 9, 999, 99_999])))\n"
        "    print(number)"
    )
    chance = random.Random(seed)
    expected: list[object] = []
    for number in range(60):
        content = chance.randbytes(chance.choice([0, 9, 999, 99_999]))
        expected += [("image/png", content), Stdout(f"{number}\n")]
    size = sum(len(item[1]) for item in expected if isinstance(item, tuple))
    async with distant_kernel(gateway, kernel, seed) as (proxy, distant):
        proxy.plan(10, size)
        assert told(await run(distant, code)) == [*expected, Finished(0)]
        assert proxy.cuts == []


@every_way
async def test_collected_run(kernel: TrioKernel) -> None:
    code = f"{SHOW}print(1)\nshow('image/png', {PNG!r})\nprint(2)"
    async with kernel.execute(code) as execution:
        result = await execution.collect()
    (first, picture, last) = result["console"]
    assert (first, last) == (("stdout", "1\n"), ("stdout", "2\n"))
    assert picture[0] == "media" and Media(*picture[1]).content() == PNG


async def test_client_that_knows_no_media(gateway: Gateway, client: Client) -> None:
    """A client of an earlier release would take such a frame for a broken stream."""
    features = client.hello.features - {RICH_OUTPUT}
    client.hello = replace(client.hello, features=features)
    code = (
        f"{SHOW}print(1)\ntry: show('image/png', b'x')\nexcept OSError as exc: print(exc)\nprint(2)"
    )
    async with open_kernel(client, PYTHON) as kernel:
        ran = await run(kernel, code)
    assert ran.events == [Stdout("1\nthe client of the run does not take it\n2\n"), Finished(0)]


# --- what is refused -----------------------------------------------------------------------------

_RAW = """
import os, socket
folder = os.open(os.path.dirname(os.environ["BACKENDAI_DISPLAY"]), os.O_PATH)
def send(data):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"/proc/self/fd/{folder}/display")
        connection.sendall(data)
        return connection.recv(999).decode()
"""


async def test_what_is_refused(kernel: TrioKernel) -> None:
    """A program may send anything; the next medium is shown all the same."""
    code = (
        f"{SHOW}{_RAW}"
        "for data in (b'x' * 200, b'image/png\\n', b'a b 3\\n', b'\\xff 3\\nabc', b'a -1\\n'):\n"
        "    print(send(data))\n"
        "print(send(b'image/png 9999999\\n'))\n"
        "with socket.socket(socket.AF_UNIX) as connection:\n"
        "    connection.connect(f'/proc/self/fd/{folder}/display')\n"
        "    connection.sendall(b'image/png 9\\nabc')\n"
        "for _ in range(10):\n"
        "    try: show('image/png', bytes(9_000_000))\n"
        "    except OSError as exc: print(exc)\n"
        "show('image/png', b'last')"
    )
    malformed = "its MIME type or its size is malformed\n"
    assert told(await run(kernel, code)) == [
        Stdout(
            5 * malformed
            + "it has 9,999,999 bytes, and may have 8,388,608 at most\n"
            + 10 * "it has 9,000,000 bytes, and may have 8,388,608 at most\n"
        ),
        ("image/png", b"last"),
        Finished(0),
    ]


async def test_program_that_no_run_follows(kernel: TrioKernel) -> None:
    (line,) = [
        "python3 -c 'import backendai_display as d; d.show(\"image/png\", b\"\")'; echo do''ne\n"
    ]
    shown = b""
    async with open_terminal(kernel) as terminal:
        await terminal.send_all(line.encode())
        while b"done" not in shown:
            shown += await terminal.receive_some()
    assert b"OSError: the program does not belong to a run that a client follows" in shown


async def test_thread_that_outlives_its_run(kernel: TrioKernel, gateway_parent: Path) -> None:
    """Between two runs nothing is shown, and the next run is as if nothing had been."""
    code = (
        f"{SHOW}import os, threading, time\n"
        "def late():\n"
        "    while not os.path.exists('go'): time.sleep(0.005)\n"
        "    try: show('image/png', b'late')\n"
        "    except OSError as exc: refusal = str(exc)\n"
        "    with open('told', 'x') as file: file.write(refusal)\n"
        "threading.Thread(target=late).start()"
    )
    assert told(await run(kernel, code)) == [Finished(0)]
    work = work_folder(gateway_parent)
    (work / "go").touch()
    with trio.fail_after(30):
        while not (work / "told").exists():  # noqa: ASYNC110 (another process makes it)
            await trio.sleep(0.005)
    assert told(await run(kernel, "show('image/png', b'x')\nprint('y')")) == [
        ("image/png", b"x"),
        Stdout("y\n"),
        Finished(0),
    ]


async def test_interrupt_while_the_client_is_behind(kernel: TrioKernel) -> None:
    """The program waits until a client that reads nothing has room; Ctrl-C ends that."""
    code = f"{SHOW}print('up', flush=True)\nwhile True: show('image/png', bytes(1_000_000))"
    async with kernel.execute(code) as execution:
        assert await anext(execution) == Stdout("up\n")
        await execution.interrupt()
        with trio.fail_after(30):
            async for _ in execution:
                pass
    assert execution.outcome == Finished(130)
    assert told(await run(kernel, f"{SHOW}show('image/png', b'x')")) == [
        ("image/png", b"x"),
        Finished(0),
    ]


async def test_kernel_ends_while_the_client_is_behind(client: Client) -> None:
    code = f"{SHOW}print('up', flush=True)\nwhile True: show('image/png', bytes(1_000_000))"
    with trio.fail_after(30):
        async with open_kernel(client, PYTHON) as kernel, kernel.execute(code) as execution:
            assert await anext(execution) == Stdout("up\n")
            execution.abandon()
