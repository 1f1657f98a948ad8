"""Files on their way into a session, and out of it."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from backendai_trio import BackendError, DownloadError, InvalidRequest, NotFound, TrioKernel

from .runs import chunks, run

pytestmark = pytest.mark.needs("sessions")

MIB = 1024 * 1024
_DIGEST = (
    "import hashlib, os\nfor folder, _, names in sorted(os.walk('sent')):\n"
    "    for name in sorted(names):\n        path = os.path.join(folder, name)\n"
    "        print(path, hashlib.sha256(open(path, 'rb').read()).hexdigest())"
)


def _write(folder: Path, sizes: dict[str, int]) -> dict[str, str]:
    """Files of random bytes; their names and digests."""
    chance = random.Random(len(sizes))
    found = {}
    for name, size in sizes.items():
        data = chance.randbytes(size)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        found[name] = hashlib.sha256(data).hexdigest()
    return found


async def _sent(kernel: TrioKernel) -> dict[str, str]:
    """What is in the session's folder ``sent``, as a program there sees it."""
    ran = await run(kernel, _DIGEST)
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert not ran.stderr, ran.stderr
    return dict(lines)


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 5_000_000])
async def test_upload_of_each_size(kernel: TrioKernel, tmp_path: Path, size: int) -> None:
    wanted = _write(tmp_path, {"sent/a.bin": size})
    await kernel.upload([tmp_path / "sent"], base=tmp_path)
    assert await _sent(kernel) == wanted


@pytest.mark.parametrize("count", [1, 19, 25, 100])
async def test_upload_of_many_files(kernel: TrioKernel, tmp_path: Path, count: int) -> None:
    sizes = {f"sent/{number % 7}/f{number}.bin": 37 * number for number in range(count)}
    wanted = _write(tmp_path, sizes)
    await kernel.upload([tmp_path / "sent"], base=tmp_path)
    assert await _sent(kernel) == wanted
    assert "alive" in (await run(kernel, "print('alive')")).stdout


async def test_upload_while_code_runs(kernel: TrioKernel, tmp_path: Path) -> None:
    """Files of a few bytes need no help of the session's: they arrive at once."""
    wanted = _write(tmp_path, {"sent/a.bin": 10})
    async with kernel.execute("import time\ntime.sleep(2)\nprint('slept')") as execution:
        await kernel.upload([tmp_path / "sent"], base=tmp_path)
        said = [getattr(event, "text", "") async for event in execution]
    assert "".join(said) == "slept\n"
    assert await _sent(kernel) == wanted


async def test_large_upload_while_code_runs(kernel: TrioKernel, tmp_path: Path) -> None:
    """What goes in parts waits for the code that runs, or arrives beside it; both are whole."""
    wanted = _write(tmp_path, {"sent/a.bin": 5_000_000})
    async with kernel.execute("import time\ntime.sleep(3)\nprint('slept')") as execution:
        await kernel.upload([tmp_path / "sent"], base=tmp_path)
        said = [getattr(event, "text", "") async for event in execution]
    assert "".join(said) == "slept\n"
    assert await _sent(kernel) == wanted


async def test_upload_replaces(kernel: TrioKernel, tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    for text in ("one", "two, longer", "3"):
        (tmp_path / "sent" / "a.txt").write_text(text)
        await kernel.upload([tmp_path / "sent"], base=tmp_path)
        assert (await run(kernel, "print(open('sent/a.txt').read())")).stdout == f"{text}\n"


async def test_names_of_files(kernel: TrioKernel, tmp_path: Path) -> None:
    names = ["with space.txt", "ünï.txt", "-dash.txt", "quote'\".txt", "a+b&c=d.txt"]
    for name in names:
        (tmp_path / "sent").mkdir(exist_ok=True)
        (tmp_path / "sent" / name).write_text(name)
    await kernel.upload([tmp_path / "sent"], base=tmp_path)
    ran = await run(kernel, "import os\nprint(sorted(os.listdir('sent')))")
    assert ran.stdout == f"{sorted(names)}\n"


@pytest.mark.needs("session-files")
async def test_download(kernel: TrioKernel, tmp_path: Path) -> None:
    code = "import os\nos.makedirs('made/deep')\nopen('made/deep/a.bin', 'wb').write(b'A' * 700000)"
    await run(kernel, code + "\nopen('b.txt', 'w').write('b')")
    await kernel.download(["made", "b.txt"], tmp_path / "got")
    assert (tmp_path / "got/made/deep/a.bin").read_bytes() == b"A" * 700_000
    assert (tmp_path / "got/b.txt").read_text() == "b"
    await kernel.download_as("b.txt", tmp_path / "c.txt")
    assert (tmp_path / "c.txt").read_text() == "b"
    async with kernel.open_download("b.txt") as stream:
        assert b"".join([data async for data in stream]) == b"b"


@pytest.mark.needs("large-downloads")
async def test_download_of_five_megabytes(kernel: TrioKernel, tmp_path: Path) -> None:
    await run(kernel, "open('a.bin', 'wb').write(b'A' * 5000000)")
    await kernel.download(["a.bin"], tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"A" * 5_000_000


@pytest.mark.needs("session-files")
async def test_download_of_what_is_not_there(kernel: TrioKernel, tmp_path: Path) -> None:
    with pytest.raises((InvalidRequest, NotFound, DownloadError)):
        await kernel.download(["nowhere.txt"], tmp_path / "got")
    assert not (tmp_path / "got").exists() or os.listdir(tmp_path / "got") == []


@pytest.mark.needs("session-files")
async def test_list_of_files(kernel: TrioKernel) -> None:
    await run(
        kernel, "import os\nos.mkdir('d')\nopen('d/a.txt', 'w').write('12345')\nos.mkdir('d/e')"
    )
    listing = await kernel.list_files("d")
    assert sorted((f.name, f.is_folder) for f in listing.files) == [("a.txt", False), ("e", True)]
    assert {f.name: f.size for f in listing.files}["a.txt"] == 5
    nowhere = await kernel.list_files("nowhere")
    assert nowhere.files == () and nowhere.problem


async def test_files_are_made_and_removed(kernel: TrioKernel) -> None:
    await kernel.mkdir("d/e")
    await kernel.upload_stream("d/e/a.txt", chunks(b"A"), size=1)
    assert (await run(kernel, "print(open('d/e/a.txt').read())")).stdout == "A\n"
    digests = await kernel.list_digests("d")
    assert [(found.name, found.size) for found in digests] == [("e/a.txt", 1)]
    await kernel.remove(["d"], recursive=True)
    assert (await run(kernel, "import os\nprint(os.path.exists('d'))")).stdout == "False\n"


async def test_path_that_leaves_the_folder(kernel: TrioKernel, tmp_path: Path) -> None:
    with pytest.raises(BackendError):
        await kernel.upload_stream("../../out.txt", chunks(b"A"), size=1)
    assert (await run(kernel, "print('alive')")).stdout == "alive\n"
