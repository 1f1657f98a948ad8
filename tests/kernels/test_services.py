"""Services that a server starts: SSH, options, app proxies; and what releases cannot do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import trio

from backendai_trio import (
    Client,
    ConnectionFailed,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    ServerError,
    TrioKernel,
    open_app,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway import Gateway
from backendai_trio.kernels import (
    AppInfo,
    ServiceOptions,
    list_apps,
    open_app_stream,
    shutdown_service,
    ssh_login,
    start_service,
)
from backendai_trio.wire.http import Request

from ..ssh_programs import KEY, install_server

PYTHON = KernelSpec(runtime="python")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SSH server on the gateway's machine."""
    install_server(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


@pytest.fixture
async def ssh_gateway(server: None, gateway_parent: Path) -> AsyncIterator[Gateway]:
    """A gateway whose kernels have an SSH server, also where root runs it."""
    async with open_gateway(GatewayOptions(isolation="process-group")) as opened:
        yield opened


@pytest.fixture
async def client(ssh_gateway: Gateway) -> AsyncIterator[Client]:
    async with open_client(ssh_gateway.config) as opened:
        yield opened


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    async with open_kernel(client, PYTHON) as opened:
        yield opened


async def ssh_entry(kernel: TrioKernel) -> AppInfo:
    (entry,) = [app for app in await list_apps(kernel) if app.name == "sshd"]
    return entry


# -- SSH ------------------------------------------------------------------------------------------


async def test_login(kernel: TrioKernel) -> None:
    login = await ssh_login(kernel)
    assert login.user == (await ssh_entry(kernel)).user != ""
    assert login.private_key.startswith(KEY.partition("{")[0])
    assert login.private_key not in repr(login) and "key of" not in repr(login)
    assert (await ssh_login(kernel)).private_key == login.private_key
    assert (await ssh_login(kernel, fetch_key=False)).private_key == ""


async def test_each_kernel_has_its_own_server(client: Client, kernel: TrioKernel) -> None:
    async with open_kernel(client, PYTHON) as other:
        assert (await ssh_login(kernel)).private_key != (await ssh_login(other)).private_key


async def test_tunnel_to_the_server(kernel: TrioKernel) -> None:
    async with (
        open_app(kernel, "sshd") as app,
        await trio.open_tcp_stream(app.host, app.port) as stream,
    ):
        assert await stream.receive_some() == b"SSH-2.0-Test\r\n"
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"


async def test_many_first_connections(kernel: TrioKernel) -> None:
    """The server is started once; its port is not listed beside its name."""

    async def connect() -> None:
        async with open_app_stream(kernel, "sshd") as stream:
            assert (await stream.receive_some()).startswith(b"SSH-2.0-")

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(connect)
    assert await list_apps(kernel) == [await ssh_entry(kernel)]


@pytest.mark.parametrize("how", ["shutdown", "restart"])
async def test_server_is_ended_and_started_anew(kernel: TrioKernel, how: str) -> None:
    async with open_app_stream(kernel, "sshd") as stream:
        assert await stream.receive_some()
        await (shutdown_service(kernel, "sshd") if how == "shutdown" else kernel.restart())
        try:
            assert await stream.receive_some() == b""
        except trio.BrokenResourceError:
            pass  # it was reset
    await shutdown_service(kernel, "sshd")  # it does not run, and that is fine
    await ssh_login(kernel)


async def test_server_that_does_not_start(client: Client) -> None:
    async with open_kernel(client, replace(PYTHON, environ={"SSHD_FAILS": "1"})) as kernel:
        with pytest.raises(ServerError, match="no hostkeys available"):
            await ssh_login(kernel)
        # The kernel is none the worse for it.
        assert (await kernel.run("print(6 * 7)"))["console"] == [("stdout", "42\n")]


async def test_home_of_the_user_is_left_alone(client: Client, tmp_path: Path) -> None:
    async with open_kernel(client, replace(PYTHON, environ={"HOME": str(tmp_path)})) as kernel:
        await ssh_login(kernel)
        assert not (tmp_path / ".ssh").exists()


async def test_kernel_without_a_key(kernel: TrioKernel) -> None:
    await ssh_login(kernel)
    async with open_app_stream(kernel, "sshd"):
        await kernel.remove(["id_container"])
        with pytest.raises(NotFound, match="id_container"):
            # A server that runs makes no key again.
            await ssh_login(kernel)


async def test_no_server(
    gateway_parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused like any unknown app. A server has to be there, and the program that makes keys."""
    install_server(tmp_path / "bin")
    (tmp_path / "bin" / "ssh-keygen").unlink()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    async with (
        open_gateway(GatewayOptions(isolation="process-group")) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, PYTHON) as kernel,
    ):
        assert await list_apps(kernel) == []
        with pytest.raises(NotFound, match="ssh-keygen is not installed") as refused:
            await ssh_login(kernel)
        assert refused.value.kind == "app-not-found"
        with pytest.raises(NotFound, match="there is no SSH server") as refused:
            async with open_app_stream(kernel, "sshd"):
                pass
        assert refused.value.kind == "app-not-found"


async def test_service_that_does_not_speak_ssh(
    ssh_gateway: Gateway, tmp_path: Path, client: Client
) -> None:
    program = tmp_path / "bin" / "sshd"
    program.write_text(program.read_text().replace("SSH-2.0-Test", "HTTP/1.1 400"))
    async with open_kernel(client, PYTHON) as kernel:
        with pytest.raises(ConnectionFailed, match="does not speak SSH"):
            await ssh_login(kernel)


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [ServiceOptions({"-v": None}), ServiceOptions(envs={"A": "b"}), ServiceOptions(port=8080)],
    ids=["argument", "variable", "port"],
)
async def test_options_are_checked_before_anything_is_started(
    kernel: TrioKernel, options: ServiceOptions
) -> None:
    with pytest.raises(LocalProtocolError, match="sshd"):
        async with open_app(kernel, "sshd", options=options):
            pass
    with pytest.raises(LocalProtocolError, match="sshd"):
        async with open_app_stream(kernel, "sshd", options=options):
            pass
    with pytest.raises(LocalProtocolError, match="sshd"):
        await start_service(kernel, "sshd", options=options)
    ran = await kernel.run("import os; print(os.path.exists('id_container'))")
    assert ran["console"] == [("stdout", "False\n")]


async def test_malformed_options_are_refused(kernel: TrioKernel) -> None:
    path = kernel.client.era.session_path(kernel.address, "start-service")
    with pytest.raises(InvalidRequest, match="Malformed"):
        await kernel.client.call(Request.of_json("POST", path, {"app": "x", "envs": "["}))


# -- app proxies ----------------------------------------------------------------------------------


async def test_start_without_a_proxy(kernel: TrioKernel) -> None:
    with pytest.raises(ServerError, match="No coordinator configured") as refused:
        await start_service(kernel, "sshd")
    assert refused.value.status == 503 and "backend.ai app" in refused.value.advice


async def test_start_with_a_proxy(ssh_gateway: Gateway, client: Client) -> None:
    ssh_gateway.faults.app_proxy = "http://127.0.0.1:5050"
    async with open_kernel(client, PYTHON) as kernel:
        started = await start_service(kernel, "sshd")
        url = urlsplit(started.url())
        assert (url.netloc, url.path) == ("127.0.0.1:5050", "/v2/proxy/auth")
        query = dict(parse_qsl(url.query))
        assert (query["app"], query["session_id"]) == ("sshd", kernel.kernel_id)
        assert query["token"] and query["token"] not in repr(started)
        assert "open_to_public=true" in started.url(public=True)
        with pytest.raises(NotFound):
            await start_service(kernel, "nonesuch")


async def test_unknown_service(kernel: TrioKernel) -> None:
    with pytest.raises(NotFound):
        await shutdown_service(kernel, "nonesuch")
    gone = kernel
    await gone.destroy()
    for call in (start_service, shutdown_service):
        with pytest.raises(NotFound):
            await call(gone, "sshd")


@pytest.mark.parametrize(
    ("release", "starts", "ends"),
    [("1.3", False, False), ("19.09", False, False), ("20.03", False, True),
     ("20.09", False, True), ("22.03", True, True), ("23.09", True, True), ("26.9", True, True)],
)  # fmt: skip
async def test_releases(
    server: None, gateway_parent: Path, release: str, starts: bool, ends: bool
) -> None:
    """What a release cannot do is refused here; a gateway of that release refuses it, too."""
    options = GatewayOptions(release=release, isolation="process-group")
    spec = PYTHON if release == "1.3" else replace(PYTHON, resources={"cpu": "1"})
    async with (
        open_gateway(options) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, spec) as kernel,
    ):
        error = ServerError if starts else LocalProtocolError
        with pytest.raises(error, match="coordinator" if starts else r"21\.09\.3"):
            await start_service(kernel, "sshd")
        if ends:
            await shutdown_service(kernel, "sshd")
        else:
            with pytest.raises(LocalProtocolError, match=r"20\.03"):
                await shutdown_service(kernel, "sshd")
        if not starts:
            path = client.era.session_path(kernel.address, "start-service")
            with pytest.raises(NotFound):
                await client.call(Request.of_json("POST", path, {"app": "sshd"}))
