"""A reverse proxy that passes no WebSocket upgrades: runs go over polls, and the rest says why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from backendai_trio import (
    Client,
    KernelSpec,
    TrioKernel,
    open_client,
    open_kernel,
    open_terminal,
)
from backendai_trio.errors import WebSocketsBlocked
from backendai_trio.gateway import Gateway
from backendai_trio.kernels import open_app_stream
from backendai_trio.kernels.poll_run import open_poll_run
from backendai_trio.kernels.run_streams import open_run_stream
from backendai_trio.wire.execution import BatchOptions, ExecuteRequest
from backendai_trio.wire.run_events import Finished, InputRequest, Stdout

from ..proxies import open_proxy_without_upgrades
from .eras import era, gateway, newest

__all__ = ["era", "gateway"]


@pytest.fixture
async def behind(gateway: Gateway) -> AsyncIterator[Client]:
    async with open_proxy_without_upgrades(gateway.config.endpoint.port) as port:
        endpoint = gateway.config.endpoint._replace(port=port)
        async with open_client(replace(gateway.config, endpoint=endpoint)) as client:
            yield client


async def _answer_questions(kernel: TrioKernel, code: str, *answers: str) -> str:
    printed, waiting = "", list(answers)
    async with kernel.execute(code) as run:
        async for event in run:
            match event:
                case Stdout(text):
                    printed += text
                case InputRequest():
                    await run.send_input(waiting.pop(0) if waiting else None)
                case Finished(code):
                    return f"{printed}{code}"
    raise AssertionError("the run has no end")


async def test_runs_go_over_polls(behind: Client, tmp_path: Path) -> None:
    async with open_kernel(behind, KernelSpec(runtime="python")) as kernel:
        assert await _answer_questions(kernel, "print(1)") == "1\n0"
        code = "print(input('a? ') + input('b? '))"
        assert await _answer_questions(kernel, code, "x", "y") == "a? b? xy\n0"
        read = await kernel.run("import sys; print(sys.stdin.read())", stdin=b"all\n")
        assert read["console"] == [("stdout", "all\n\n")]
        (tmp_path / "main.py").write_text("raise SystemExit(4)")
        await kernel.upload([tmp_path / "main.py"], base=tmp_path)
        assert (await kernel.run(mode="batch", options=BatchOptions()))["exitCode"] == 4


@newest
async def test_what_cannot_be_polled_says_what_is_in_the_way(behind: Client) -> None:
    reason = "a proxy on the way does not pass WebSockets on"
    async with open_kernel(behind, KernelSpec(runtime="python")) as kernel:
        for _ in range(2):
            with pytest.raises(WebSocketsBlocked, match=reason):
                async with open_terminal(kernel):
                    pass
            with pytest.raises(WebSocketsBlocked, match=reason):
                async with kernel.execute("print(1)", window=(24, 80)):
                    pass
            with pytest.raises(WebSocketsBlocked, match=reason):
                async with open_app_stream(kernel, "8000"):
                    pass
            assert await _answer_questions(kernel, "print(1)") == "1\n0"


async def _is_polled(kernel: TrioKernel, run_id: str) -> bool:
    first = ExecuteRequest("query", run_id, "print(1)")
    async with open_run_stream(kernel.client, kernel.token, first, live=True) as run:
        polled = isinstance(run, open_poll_run)
        while run.outcome is None:
            await run.receive()
    return polled


@newest
async def test_address_without_websockets_is_remembered_and_logged_once(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    direct = gateway.config.endpoint
    async with open_proxy_without_upgrades(direct.port) as port:
        blocked = direct._replace(port=port)
        config = replace(gateway.config, endpoint=blocked, other_endpoints=(direct,))
        async with (
            open_client(config) as client,
            open_kernel(client, KernelSpec(runtime="python")) as kernel,
        ):
            assert [await _is_polled(kernel, run_id) for run_id in ("a1", "a2")] == [True, True]
            (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
            assert blocked.url in warning.getMessage() and "polled" in warning.getMessage()
            client.sender.addresses.config = replace(config, endpoint=direct)
            assert [await _is_polled(kernel, run_id) for run_id in ("b1", "b2")] == [False, False]
            client.sender.addresses.config = config
            assert await _is_polled(kernel, "a3")
    assert [record for record in caplog.records if record.levelname == "WARNING"] == [warning]
