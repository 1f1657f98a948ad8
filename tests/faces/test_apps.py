"""Local ports that lead to services, and addresses of services, from scripts and asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backendai_trio import BackendError, GatewayOptions, Kernel, NotFound, ServerError
from backendai_trio.asyncio import AsyncKernel
from backendai_trio.asyncio import ForwardedApp as AsyncForwardedApp
from backendai_trio.testing import TestGateway, gateway_in_thread

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
