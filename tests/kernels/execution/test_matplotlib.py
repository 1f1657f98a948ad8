"""Matplotlib in the gateway's kernels for Python: its figures are shown by themselves."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from backendai_trio import (
    BatchOptions,
    Client,
    Event,
    Finished,
    Media,
    Stderr,
    Stdout,
    TrioKernel,
    open_kernel,
)
from backendai_trio.files import plan_uploads

from .runs import PYTHON, run, write

PLOT = "import matplotlib.pyplot as plt\n"


def size_of(picture: Event) -> tuple[int, int]:
    """Width and height of a PNG, in pixels."""
    assert isinstance(picture, Media) and picture.mime_type == "image/png"
    content = picture.content()
    assert content.startswith(b"\x89PNG\r\n\x1a\n") and content.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def figure(width: int) -> str:
    """Code that makes a figure; its width, in inches of 100 pixels, tells which it is."""
    return f"plt.figure(figsize=({width}, 2)); plt.plot([1, 3, 2])\n"


async def shown(kernel: TrioKernel, code: str, *, show_value: bool = False) -> list[object]:
    """The events of a run, with the size of each picture and without the font cache's notice."""
    async with kernel.execute(code, show_value=show_value) as execution:
        events = [event async for event in execution]
    return [
        size_of(event) if isinstance(event, Media) else event
        for event in events
        if not (isinstance(event, Stderr) and "font cache" in event.text)
    ]


async def test_code_in_the_manner_of_notebooks(kernel: TrioKernel) -> None:
    """What is open at the end is shown, once."""
    listed = "import sys; print([n for n in sys.modules if n.startswith(('matpl', 'backendai_'))])"
    assert await shown(kernel, listed) == [Stdout("[]\n"), Finished(0)]
    code = f"{PLOT}{figure(3)}{figure(4)}print('drawn')"
    assert await shown(kernel, code) == [Stdout("drawn\n"), (300, 200), (400, 200), Finished(0)]
    assert await shown(kernel, "print(plt.get_fignums())") == [Stdout("[]\n"), Finished(0)]
    code = f"{figure(3)}print(1)\nplt.show()\nprint(2)\n{figure(4)}plt.show()\nprint(3)"
    assert await shown(kernel, code) == [
        Stdout("1\n"),
        (300, 200),
        Stdout("2\n"),
        (400, 200),
        Stdout("3\n"),
        Finished(0),
    ]
    # Updates of one figure, of which the second changes nothing.
    code = (
        f"{figure(3)}plt.show(block=False)\nplt.show(block=False)\n"
        "plt.gcf().set_size_inches(4, 2)\nplt.pause(0.01)\nplt.pause(0.01)\nplt.close()"
    )
    assert await shown(kernel, code) == [(300, 200), (400, 200), Finished(0)]
    # After an error as well, whose exit code counts.
    *events, picture, end = await shown(kernel, f"{figure(3)}1 / 0")
    assert "ZeroDivisionError" in str(events) and (picture, end) == ((300, 200), Finished(1))
    # A figure that cannot be drawn fails once.
    *events, end = await shown(kernel, f"{figure(3)}plt.title('$')\nplt.title(r'$\\nothing$')")
    assert "Unknown symbol" in str(events) and end == Finished(1)
    assert await shown(kernel, "print('on')") == [Stdout("on\n"), Finished(0)]
    # A figure's own show, and one that the user saves.
    code = "fig, _ = plt.subplots(figsize=(5, 2))\nfig.savefig('x.png')\nfig.show()\nplt.close()"
    assert await shown(kernel, code) == [(500, 200), Finished(0)]


@pytest.mark.parametrize("mode", ["query", "batch"])
async def test_many_updates(
    kernel: TrioKernel, tmp_path: Path, mode: Literal["query", "batch"]
) -> None:
    """The first is shown, the last, and one a second between."""
    source = (
        f"import time\n{PLOT}{figure(3)}start = time.monotonic()\nfor n in range(30, 60):\n"
        "    plt.gcf().set_size_inches(n / 10, 2)\n    plt.pause(0.001)\n"
        "print(time.monotonic() - start)\n"
    )
    await kernel.upload(plan_uploads(write(tmp_path, main_py=source)))
    ran = await run(kernel, source if mode == "query" else "", mode=mode)
    seconds = float(ran.stdout)
    shown_sizes = [size_of(event) for event in ran.events if isinstance(event, Media)]
    assert (shown_sizes[0], shown_sizes[-1]) == ((300, 200), (590, 200))
    assert 2 <= len(shown_sizes) <= 2 + seconds


async def test_prompt(kernel: TrioKernel) -> None:
    """A figure is built by several inputs: it is shown when that is asked for."""

    async def enter(code: str) -> list[object]:
        events = await shown(kernel, code, show_value=True)
        return [event for event in events if not isinstance(event, Stdout)]

    assert await enter(PLOT) == [Finished(0)]
    assert await enter(figure(3)) == [Finished(0)]
    assert await enter("plt.title('x')") == [Finished(0)]
    assert await enter("plt.show()") == [(300, 200), Finished(0)]
    assert await enter("plt.ion()") == [Finished(0)]
    assert await enter(figure(3)) == [(300, 200), Finished(0)]
    assert await enter("1 + 1") == [Finished(0)]
    assert await enter("plt.title('x')") == [(300, 200), Finished(0)]


async def test_script(kernel: TrioKernel, tmp_path: Path) -> None:
    source = (
        f"{PLOT}{figure(3)}print('a', end='')\nplt.show()\nprint('b')\n{figure(4)}plt.show()\n"
        f"{figure(5)}print('c')\n"
    )
    await kernel.upload(plan_uploads(write(tmp_path, main_py=source)))
    ran = await run(kernel, mode="batch")
    events = [
        size_of(event) if isinstance(event, Media) else event
        for event in ran.events
        if not isinstance(event, Stderr)
    ]
    assert events == [
        Stdout("a"),
        (300, 200),
        Stdout("b\n"),
        (400, 200),
        Stdout("c\n"),
        Finished(0),
    ]


@pytest.mark.parametrize(
    ("environ", "code", "backend"),
    [
        ({"MPLBACKEND": "svg"}, "", "svg"),
        ({}, "import os; os.environ['MPLBACKEND'] = 'agg'\n", "agg"),
        ({}, "import matplotlib; matplotlib.use('agg')\n", "agg"),
        ({}, "open('matplotlibrc', 'w').write('backend: pdf')\n", "pdf"),
    ],
)
async def test_backend_of_the_users_choice(
    client: Client, environ: Mapping[str, str], code: str, backend: str
) -> None:
    async with open_kernel(client, replace(PYTHON, environ=environ)) as kernel:
        code += f"{PLOT}{figure(3)}print(plt.get_backend())\nplt.savefig('x.png')"
        assert await shown(kernel, code) == [Stdout(f"{backend}\n"), Finished(0)]


async def test_python_without_our_modules(kernel: TrioKernel, tmp_path: Path) -> None:
    """Matplotlib works there as it does everywhere."""
    source = f"{PLOT}{figure(3)}plt.savefig('x.png')\nprint(plt.get_backend())"
    await kernel.upload(plan_uploads(write(tmp_path, main_py=source)))
    command = "python -I main.py; PYTHONPATH=src python main.py; python main.py"
    ran = await run(kernel, mode="batch", options=BatchOptions(exec=command))
    assert ran.stdout == "agg\nagg\nmodule://backendai_matplotlib\n"


async def test_interrupt_of_a_drawing(kernel: TrioKernel) -> None:
    """A figure that is left open is drawn when the code has ended; that is a part of the run."""
    endless = "def draw(renderer):\n    print('drawing')\n    while True: pass\n"
    async with kernel.execute(f"{PLOT}{endless}plt.figure().draw = draw") as execution:
        async for event in execution:
            if event == Stdout("drawing\n"):
                await execution.interrupt()
    assert execution.outcome == Finished(130)
    assert await shown(kernel, "print('on')") == [Stdout("on\n"), Finished(0)]
