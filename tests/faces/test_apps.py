"""Local ports that lead to services, and addresses of services, from scripts and asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from backendai_trio import BackendError, GatewayOptions, Kernel, NotFound, ServerError
from backendai_trio.asyncio import AsyncKernel
from backendai_trio.asyncio import ForwardedApp as AsyncForwardedApp
from backendai_trio.faces import calls, waiting
from backendai_trio.faces.blocking import ForwardedApp
from backendai_trio.kernels.apps import App
from backendai_trio.testing import TestGateway, gateway_in_thread
from backendai_trio.wire.apps import AppInfo

from ..app_servers import SERVER
from ..ssh_programs import KEY, install_server


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestGateway]:
    """A gateway whose machine has an SSH server; the environment leads to it."""
    install_server(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with gateway_in_thread(GatewayOptions(isolation="process-group")) as opened:
        for name, value in opened.environ.items():
            monkeypatch.setenv(name, value)
        yield opened


def ask(host: str, port: int) -> bytes:
    with socket.create_connection((host, port)) as connection:
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(100)


def test_in_scripts(gateway: TestGateway) -> None:
    with Kernel.get_or_create("python") as kernel:
        name = kernel.run(SERVER)["console"][0][1].strip()
        assert {app.name for app in kernel.list_apps()} == {"sshd", name}
        with kernel.open_app(name) as app:
            assert ask(app.host, app.port) == b"olleh"
            assert app.url == f"tcp://127.0.0.1:{app.port}" and app.info.name == name
            assert not app.closed
        assert app.closed
        app.close()
        with pytest.raises(OSError, match="refused"):
            ask(app.host, app.port)
        with pytest.raises(NotFound):
            kernel.open_app("nonesuch")
        assert kernel.ssh_login().private_key.startswith(KEY.partition("{")[0])
        with pytest.raises(ServerError, match="coordinator"):
            kernel.start_service("sshd")
        kernel.shutdown_service("sshd")


def test_problems_of_connections(gateway: TestGateway) -> None:
    with Kernel.get_or_create("python") as kernel:
        name = kernel.run(SERVER)["console"][0][1].strip()
        with kernel.open_app(name) as app:
            kernel.destroy()
            with socket.create_connection((app.host, app.port)) as connection:
                assert connection.recv(1) == b""
            assert isinstance(next(app), NotFound)


def test_problems_end_with_the_port(gateway: TestGateway) -> None:
    """Also for a thread that waits for the next one."""
    with Kernel.get_or_create("python") as kernel:
        name = kernel.run(SERVER)["console"][0][1].strip()
        with ThreadPoolExecutor() as pool, kernel.open_app(name) as app:
            problems = pool.submit(list, app)
            app.close()
            assert problems.result() == list(app) == []


async def collected(app: AsyncForwardedApp) -> list[BackendError]:
    return [problem async for problem in app]


@asynccontextmanager
async def breaking_port() -> AsyncIterator[App]:
    """It breaks when something waits for a problem."""
    _, problems = trio.open_memory_channel[BackendError](1)

    async def breaks() -> None:
        while not problems.statistics().tasks_waiting_receive:  # noqa: ASYNC110
            await trio.sleep(0.01)
        raise OSError("too many open files")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(breaks)
        yield App(AppInfo("web", "http"), ("127.0.0.1", 1), problems)


def test_problems_of_a_port_that_breaks_have_no_regular_end() -> None:
    app = ForwardedApp(waiting.wait(calls.open_resource(breaking_port, close_seconds=60)))
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError):
            list(app)
    with pytest.raises(OSError, match="too many"):
        app.close()
    assert list(app) == []


def test_problems_of_a_port_that_breaks_in_asyncio() -> None:
    resource = waiting.wait(calls.open_resource(breaking_port, close_seconds=60))
    with pytest.raises(trio.BrokenResourceError):
        asyncio.run(collected(AsyncForwardedApp(resource)))


def test_in_asyncio(gateway: TestGateway) -> None:
    async def main() -> None:
        async with await AsyncKernel.get_or_create("python") as kernel:
            name = (await kernel.run(SERVER))["console"][0][1].strip()
            assert len(await kernel.list_apps()) == 2
            async with kernel.open_app(name) as app:
                assert await asyncio.to_thread(ask, app.host, app.port) == b"olleh"
            app = await kernel.open_app(name)
            await kernel.destroy()
            with socket.create_connection((app.host, app.port)) as connection:
                assert await asyncio.to_thread(connection.recv, 1) == b""
            async for problem in app:
                assert isinstance(problem, NotFound)
                break
            others = asyncio.create_task(collected(app))
            await asyncio.sleep(0)
            await app.close()
            assert app.closed
            assert await others == await collected(app) == []

    asyncio.run(main())
