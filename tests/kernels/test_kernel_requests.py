"""What a kernel can do besides running code, in each era."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    Finished,
    KernelSpec,
    ServerError,
    Stdout,
    list_kernels,
    open_kernel,
)
from backendai_trio.gateway import Gateway

from .eras import era as era
from .eras import gateway as gateway
from .eras import newest, output_of

PYTHON = KernelSpec(runtime="python")
LUA = KernelSpec(runtime="lua")


# --- what a kernel can do besides running code ---------------------------------------------------


async def test_info(client: Client) -> None:
    async with open_kernel(client, KernelSpec(runtime="python3")) as kernel:
        before = await kernel.info()
        assert before.runtime == "python"
        assert before.status == "RUNNING"
        assert before.age_ms >= 0
        await output_of(kernel, "pass")
        after = await kernel.info()
        assert after.queries > before.queries
        assert after.age_ms >= before.age_ms


async def test_logs_keep_what_was_printed(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        assert await kernel.logs() == ""
        await output_of(kernel, "print('one')")
        async with kernel.execute("import sys; print('two', file=sys.stderr)") as execution:
            async for _ in execution:
                pass
        assert await kernel.logs() == "one\ntwo\n"


async def test_restart_keeps_files_and_drops_state(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        await output_of(kernel, "x = 1; import os; print(os.getpid())")
        await output_of(kernel, "open('kept', 'w').write('still here')")
        await kernel.restart()
        text = await output_of(kernel, "print('x' in globals(), open('kept').read())")
        assert text == "False still here\n"


@newest
async def test_restart_before_anything_ran(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        await kernel.restart()
        assert await output_of(kernel, "print(1)") == "1\n"


@newest
async def test_restart_ends_a_run(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        async with kernel.execute("print('up', flush=True)\nwhile True: pass") as execution:
            async for event in execution:
                if isinstance(event, Stdout):
                    await kernel.restart()
            assert execution.outcome == Finished(130)
        assert await output_of(kernel, "print(1)") == "1\n"


async def test_complete(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        await output_of(kernel, "some_long_name = 1")
        assert "some_long_name" in await kernel.complete("some_lo")
        assert "some_long_name.bit_length" in await kernel.complete("some_long_name.bit")
        assert await kernel.complete("nothing_begins_so") == []


@newest
async def test_complete_in_a_runtime_that_cannot(client: Client) -> None:
    async with open_kernel(client, KernelSpec(runtime="bash")) as kernel:
        assert await kernel.complete("ec") == []


@newest
async def test_interrupt_without_a_run_does_nothing(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        await kernel.interrupt()
        await output_of(kernel, "x = 1")
        await kernel.interrupt()
        assert await output_of(kernel, "print(x)") == "1\n"


@newest
async def test_environment_of_a_kernel(client: Client) -> None:
    spec = KernelSpec(runtime="python", environ={"GREETING": "grüß Gott", "EMPTY": ""})
    async with open_kernel(client, spec) as kernel:
        code = "import os; print(os.environ['GREETING'], repr(os.environ['EMPTY']))"
        assert await output_of(kernel, code) == "grüß Gott ''\n"
        code = "import os; print(any(name.startswith('BACKEND_') for name in os.environ))"
        assert await output_of(kernel, code) == "False\n"


async def test_list_kernels(client: Client) -> None:
    assert await list_kernels(client) == []
    first, second = open_kernel(client, PYTHON, token="one"), open_kernel(client, LUA, token="two")
    async with first, second:
        rows = await list_kernels(client)
        assert [(row.token, row.runtime, row.status) for row in rows] == [
            ("two", "lua", "RUNNING"),
            ("one", "python", "RUNNING"),
        ]
    assert await list_kernels(client) == []
    ended = await list_kernels(client, status="TERMINATED")
    assert [row.token for row in ended] == ["one", "two"]
    assert {row.status for row in await list_kernels(client, status=None)} == {"TERMINATED"}


@newest
async def test_runtime_that_cannot_be_started(
    gateway: Gateway, client: Client, gateway_parent: Path
) -> None:
    """A server that fails is a ServerError, and nothing is left of the try."""
    for folder in await trio.Path(gateway_parent).iterdir():
        await folder.rmdir()
    with pytest.raises(ServerError) as caught:
        async with open_kernel(client, PYTHON):
            pass
    assert caught.value.kind == "kernel-creation-failed"
    assert gateway.tokens() == []
