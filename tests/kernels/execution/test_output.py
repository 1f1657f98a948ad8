"""Output of runs, much and odd, and the memory that it takes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from backendai_trio import (
    Client,
    Execution,
    Finished,
    InputRequest,
    KernelSpec,
    Stdout,
    TrioKernel,
    attach_kernel,
    open_kernel,
)
from backendai_trio.files import plan_uploads
from backendai_trio.wire.execution import INTERRUPT_RUN

from ...local_kernels import work_folder
from .runs import PYTHON, every_way, run, write


async def hash_of(execution: Execution) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    async for event in execution:
        if isinstance(event, Stdout):
            data = event.text.encode("utf-8", "surrogateescape")
            digest.update(data)
            size += len(data)
    assert execution.outcome == Finished(0)
    return digest.hexdigest(), size


@every_way
async def test_ten_megabytes_arrive_whole_and_in_order(kernel: TrioKernel) -> None:
    lines = b"".join(b"%063d\n" % number for number in range(160_000))
    async with kernel.execute("for i in range(160_000): print(f'{i:063d}')") as execution:
        assert await hash_of(execution) == (hashlib.sha256(lines).hexdigest(), len(lines))


@every_way
async def test_ten_megabytes_of_a_batch(kernel: TrioKernel, tmp_path: Path) -> None:
    lines = b"".join(b"%063d\n" % number for number in range(160_000))
    (path,) = write(tmp_path, main_py="for i in range(160_000): print(f'{i:063d}')\n")
    await kernel.upload(plan_uploads([path]))
    async with kernel.execute(mode="batch") as execution:
        assert await hash_of(execution) == (hashlib.sha256(lines).hexdigest(), len(lines))


@every_way
async def test_characters_split_across_writes(kernel: TrioKernel) -> None:
    text = "ä€😀" * 50
    ran = await run(kernel, f"import os\nfor b in {text.encode()!r}: os.write(1, bytes([b]))")
    assert ran.events == [Stdout(text), Finished(0)]


@every_way
async def test_character_split_across_polls(kernel: TrioKernel) -> None:
    code = "import os; os.write(1, b'<\\xe2\\x82'); input(); os.write(1, b'\\xac>')"
    async with kernel.execute(code) as execution:
        assert await anext(execution) == Stdout("<")
        assert await anext(execution) == InputRequest()
        await execution.send_input("")
        assert await anext(execution) == Stdout("€>")


EVERY_BYTE = "import os; os.write(1, bytes(range(256))); os.write(2, b'\\xff\\n')"


@pytest.mark.parametrize("way", ["resumable", "polls"])
async def test_bytes_that_are_no_utf8_come_unchanged(kernel: TrioKernel) -> None:
    ran = await run(kernel, EVERY_BYTE)
    assert ran.stdout.encode("utf-8", "surrogateescape") == bytes(range(256))
    assert ran.stderr.encode("utf-8", "surrogateescape") == b"\xff\n"
    # Cut off in the middle of a character.
    ran = await run(kernel, "import os; os.write(1, b'\\xe2\\x82')")
    assert ran.stdout.encode("utf-8", "surrogateescape") == b"\xe2\x82"


@pytest.mark.parametrize("way", ["socket", "polls"])
async def test_bytes_that_are_no_utf8_for_a_client_that_does_not_know(
    client: Client, kernel: TrioKernel
) -> None:
    client.hello = replace(client.hello, features=frozenset({INTERRUPT_RUN}))
    ran = await run(kernel, EVERY_BYTE)
    assert ran.stdout == bytes(range(256)).decode("utf-8", "replace")
    assert ran.stderr == "\ufffd\n"


def resident_bytes() -> int:
    """What this process, gateway and client in one, holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


MIB = 1024 * 1024
PRINTER = """
import os
line = b'x' * 65535 + b'\\n'
for number in range(800):
    os.write(1, line)
    with open('progress', 'w') as file: file.write(str(65536 * (number + 1)))
"""


@pytest.mark.parametrize("way", ["resumable", "polls"])
async def test_nobody_polls_and_nothing_grows(kernel: TrioKernel, gateway_parent: Path) -> None:
    """50 MB: the program blocks until they are fetched, and at no time are they held here."""
    progress = trio.Path(work_folder(gateway_parent) / "progress")

    async def printed() -> int:
        try:
            return int(await progress.read_text() or 0)
        except FileNotFoundError:
            return 0

    before = resident_bytes()
    async with kernel.execute(PRINTER) as execution:
        first = await anext(execution)
        assert isinstance(first, Stdout)
        while True:
            if await printed() >= MIB:
                break
            await trio.sleep(0.01)
        # It may go on for a while now, but not far. Not reaching the limit is never an error, so
        # this needs no right moment.
        for _ in range(30):
            await trio.sleep(0.01)
            assert await printed() < 8 * MIB
            assert resident_bytes() - before < 30 * MIB
        size = len(first.text)
        async for event in execution:
            if isinstance(event, Stdout):
                size += len(event.text)
                assert resident_bytes() - before < 60 * MIB
        assert execution.outcome == Finished(0)
    assert size == 800 * 65536


async def test_many_runs_take_no_memory(client: Client) -> None:
    async with open_kernel(client, KernelSpec(runtime="lua")) as kernel:
        code = "print(string.rep('x', 10000))"
        for _ in range(50):
            await run(kernel, code)
        before = resident_bytes()
        for _ in range(100):
            await run(kernel, code)
        assert resident_bytes() - before < 8 * MIB


async def test_many_kernels_one_after_another_take_no_memory(client: Client) -> None:
    for number in range(24):
        if number == 12:
            before = resident_bytes()
        kernel = await attach_kernel(client, PYTHON, token="again")
        await kernel.destroy()
    assert resident_bytes() - before < 8 * MIB
