"""Batch runs on a gateway that loses their output between stages, as managers' agents do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    BatchOptions,
    Client,
    Event,
    Finished,
    GatewayOptions,
    InputRequest,
    KernelSpec,
    QuotaExceeded,
    Stderr,
    Stdout,
    TrioKernel,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway import Gateway
from backendai_trio.kernels.held_batch import hold_batch
from backendai_trio.testing import Reply, open_faulty_network
from backendai_trio.transport.limits import Limits
from backendai_trio.wire.execution import ExecuteRequest
from backendai_trio.wire.http import PROBLEM

GAP_SECONDS = 0.3


@pytest.fixture
async def gateway(gateway_parent: Path) -> AsyncIterator[Gateway]:
    """One that loses the output of batch runs, as managers of that release do."""
    async with open_gateway(GatewayOptions(release="26.9")) as opened:
        opened.faults.stage_gap_seconds = GAP_SECONDS
        yield opened


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    async with open_kernel(client, KernelSpec(runtime="python")) as opened:
        yield opened


async def ran(kernel: TrioKernel, options: BatchOptions) -> tuple[str, str, int | None]:
    """Output, errors and exit code of a batch run over a WebSocket."""
    texts: dict[type, str] = {Stdout: "", Stderr: ""}
    async with kernel.execute(mode="batch", options=options) as run:
        async for event in run:
            if isinstance(event, Stdout | Stderr):
                texts[type(event)] += event.text
    assert isinstance(run.outcome, Finished)
    return texts[Stdout], texts[Stderr], run.outcome.exit_code


async def test_the_fault_is_there(kernel: TrioKernel) -> None:
    """The other tests would fail without the mend: a client that knows nothing of it hangs."""
    kernel.client.hello = replace(kernel.client.hello, manager="23.09.10")
    options = BatchOptions(build=None, exec="echo hi")
    events: list[Event] = []
    with trio.move_on_after(3 * GAP_SECONDS) as scope:
        async with kernel.execute(mode="batch", options=options) as run:
            run.abandon()
            async for event in run:
                events.append(event)
    assert scope.cancelled_caught and Stdout("hi\n") not in events


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (BatchOptions(build=None, exec="echo hi; exit 7"), ("hi\n", "", 7)),
        (BatchOptions(build="echo 'b  c' >f", exec="cat f; echo e >&2"), ("b  c\n", "e\n", 0)),
        (BatchOptions(clean="echo c", build="echo b", exec="echo e"), ("c\nb\ne\n", "", 0)),
        (BatchOptions(build="echo no >&2; exit 3", exec="echo never"), ("", "no\n", 127)),
        (BatchOptions(build=None, exec=None), ("", "", 0)),
        (BatchOptions(build=None, exec="printf 'no newline'"), ("no newline", "", 0)),
        (BatchOptions(build=None, exec="# a comment"), ("", "", 0)),
    ],
)
async def test_commands(
    kernel: TrioKernel, options: BatchOptions, expected: tuple[str, str, int]
) -> None:
    assert await ran(kernel, options) == expected
    result = await kernel.run(mode="batch", options=options)
    assert result["exitCode"] == expected[2]
    assert "".join(t for kind, t in result["console"] if kind == "stdout") == expected[0]


async def test_files_by_the_rules_of_python(kernel: TrioKernel, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import sys\nprint('from main')\nsys.exit(5)\n")
    await kernel.upload([tmp_path / "main.py"], base=tmp_path)
    assert await ran(kernel, BatchOptions()) == ("from main\n", "", 5)


async def test_files_without_a_main_script(kernel: TrioKernel) -> None:
    _, errors, code = await ran(kernel, BatchOptions())
    assert "main.py" in errors and "--exec" in errors
    assert code == 127


async def test_a_makefile_is_made(kernel: TrioKernel, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        "all:\n\t@echo made; printf '#!/bin/sh\\necho ran\\n' >main\n\t@chmod +x main\n"
    )
    await kernel.upload([tmp_path / "Makefile"], base=tmp_path)
    assert await ran(kernel, BatchOptions()) == ("made\nran\n", "", 0)


async def test_many_in_one_kernel(kernel: TrioKernel, gateway_parent: Path) -> None:
    for number in range(5):
        options = BatchOptions(build=None, exec=f"echo {number}; exit {number}")
        assert await ran(kernel, options) == (f"{number}\n", "", number)
    names = {path.name for path in gateway_parent.rglob("*")}  # noqa: ASYNC240 (a few)
    assert "work" in names and not any(name.startswith(".backendai-") for name in names)


@pytest.mark.parametrize("lasts", [False, True])
async def test_rate_limit_of_the_order(gateway: Gateway, lasts: bool) -> None:
    """It is waited out, also where that takes longer than a shield may last."""
    limits = Limits(rate_limited_seconds=3.0)
    async with (
        open_faulty_network(gateway.config) as network,
        open_client(replace(network.config, grace_seconds=2.0), limits=limits) as client,
        open_kernel(client, KernelSpec(runtime="python")) as kernel,
    ):
        refusal = Reply(429, b'{"type": "rate-limit-exceeded"}', PROBLEM)
        network.inject(refusal, times=None if lasts else 2, matching="^POST .*/upload")
        options = BatchOptions(build=None, exec="echo hi")
        with trio.fail_after(20):
            if lasts:
                stays = pytest.warns(RuntimeWarning, match="may still go on")
                with stays, pytest.raises(QuotaExceeded):
                    await ran(kernel, options)
            else:
                assert await ran(kernel, options) == ("hi\n", "", 0)
        assert len(network.hits) >= 2


async def test_input(kernel: TrioKernel) -> None:
    options = BatchOptions(build=None, exec="python3 -c 'print(input().upper())'")
    said = ""
    async with kernel.execute(mode="batch", options=options) as run:
        async for event in run:
            match event:
                case InputRequest():
                    await run.send_input("hello")
                case Stdout(text):
                    said += text
    assert said == "HELLO\n"


async def test_interrupt_before_it_begins(kernel: TrioKernel) -> None:
    options = BatchOptions(build=None, exec="echo begun; sleep 60")
    async with kernel.execute(mode="batch", options=options) as run:
        await run.interrupt()
        events = [event async for event in run]
    assert events == [Finished(130)]
    assert (await kernel.run("print(1)"))["console"] == [("stdout", "1\n")]


async def test_interrupt_while_it_runs(kernel: TrioKernel) -> None:
    options = BatchOptions(build=None, exec="echo begun; sleep 60")
    async with kernel.execute(mode="batch", options=options) as run:
        async for event in run:
            if isinstance(event, Stdout):
                await run.interrupt()
    assert isinstance(run.outcome, Finished) and run.outcome.exit_code != 0


@pytest.mark.parametrize("seconds", [0.0, 0.1, GAP_SECONDS, 2 * GAP_SECONDS, 3 * GAP_SECONDS])
async def test_cancelled(kernel: TrioKernel, seconds: float) -> None:
    """At any point: the kernel is free for the next run."""
    options = BatchOptions(build=None, exec="echo begun; sleep 60")
    with trio.move_on_after(seconds):
        async with kernel.execute(mode="batch", options=options) as run:
            async for _ in run:
                pass
    assert await ran(kernel, BatchOptions(build=None, exec="echo next")) == ("next\n", "", 0)


def test_other_options_stay() -> None:
    options = BatchOptions(build="x", build_log=True).as_json() | {"more": 1}
    held, _ = hold_batch(ExecuteRequest("batch", "id", "", options))
    assert held.options["more"] == 1 and held.options["build"] == ""
