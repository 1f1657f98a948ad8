"""Events, services and terminals of sessions, and the proxy in front of a server."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace

import pytest
import trio

from backendai_trio import (
    Client,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    TrioKernel,
    open_app,
    open_client,
    open_events,
    open_kernel,
    open_terminal,
    query,
)
from backendai_trio.kernels import ServiceOptions, list_apps, shutdown_service, ssh_login
from backendai_trio.proxy import open_proxy
from backendai_trio.wire.kernel_spec import WORK_FOLDER

from .conftest import Commands
from .runs import run
from .targets import Target

pytestmark = pytest.mark.needs("sessions")


@pytest.mark.needs("events")
async def test_events_of_a_session(client: Client, target: Target, python: KernelSpec) -> None:
    names: list[str] = []
    async with open_events(client) as events:
        async with open_kernel(client, python) as kernel:
            pass
        with trio.fail_after(target.session_seconds):
            async for event in events:
                if event.token == kernel.token:
                    names.append(event.name)
                    if event.ends_session:
                        break
    assert "session_started" in names or "kernel_started" in names
    assert names.index(next(n for n in names if n.endswith("_started"))) < len(names) - 1


@pytest.mark.needs("apps")
async def test_list_of_services(kernel: TrioKernel) -> None:
    for app in await list_apps(kernel):
        assert app.name and app.protocol


@pytest.mark.needs("apps", "app-streams")
async def test_service_through_a_local_port(kernel: TrioKernel, target: Target) -> None:
    """A program in the session listens, and is reached from here, twice at a time."""
    name, port = "8089", 8089
    if target.name == "gateway":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        name = str(port)
    else:
        name = "echo"
    code = (
        "import socket, threading\n"
        f"listener = socket.create_server(('127.0.0.1', {port}))\n"
        "def serve():\n"
        "    while True:\n"
        "        connection, _ = listener.accept()\n"
        "        def echo(connection=connection):\n"
        "            while True:\n"
        "                data = connection.recv(65536)\n"
        "                if not data: break\n"
        "                connection.sendall(data.upper())\n"
        "            connection.close()\n"
        "        threading.Thread(target=echo, daemon=True).start()\n"
        "threading.Thread(target=serve, daemon=True).start()\nprint('listens')"
    )
    assert (await run(kernel, code)).stdout == "listens\n"
    async with open_app(kernel, name) as app:
        streams = [await trio.open_tcp_stream(app.host, app.port) for _ in range(2)]
        for stream in streams:
            async with stream:
                await stream.send_all(b"hello " * 10_000)
                received = b""
                while len(received) < 60_000:
                    data = await stream.receive_some()
                    assert data
                    received += data
                assert received == b"HELLO " * 10_000
        with pytest.raises(NotFound):
            async with open_app(kernel, "nonesuch"):
                pass


@pytest.mark.needs("apps")
async def test_options_of_services(kernel: TrioKernel) -> None:
    """What a service does not take is refused before anything is started."""
    apps = await list_apps(kernel)
    for app in apps[:1]:
        with pytest.raises(LocalProtocolError, match="--no-such-option"):
            async with open_app(
                kernel, app.name, options=ServiceOptions({"--no-such-option": "x"})
            ):
                pass
    with pytest.raises(NotFound):
        await shutdown_service(kernel, "nonesuch")


@pytest.mark.needs("ssh", "app-streams", "session-files")
async def test_ssh(kernel: TrioKernel, commands: Commands) -> None:
    """The key is the session's, and OpenSSH logs in with it where it is installed."""
    login = await ssh_login(kernel)
    assert login.user == "work" and "PRIVATE KEY" in login.private_key
    if shutil.which("ssh") is None:
        return
    script = "pwd; cat; exit 7"
    done = await commands.run("ssh", kernel.token, script, stdin=b"x" * 100_000)
    assert (done.code, done.stdout) == (7, f"{WORK_FOLDER}\n".encode() + b"x" * 100_000), done
    await shutdown_service(kernel, "sshd")
    # The next connection starts it anew, with the same key.
    assert (await ssh_login(kernel)).private_key == login.private_key


@pytest.mark.needs("terminal")
async def test_terminal(client: Client, target: Target) -> None:
    """A shell: what is typed comes back, and what it prints."""
    runtime = "git" if target.name.startswith("1.") else target.python.runtime
    async with (
        open_kernel(client, replace(target.python, runtime=runtime)) as kernel,
        open_terminal(kernel) as terminal,
    ):
        await terminal.resize(40, 100)
        await terminal.send_all(b"echo $((6 * 7))-done\n")
        shown = b""
        with trio.fail_after(20):
            while b"42-done" not in shown:
                data = await terminal.receive_some()
                assert data, shown
                shown += data
        await terminal.send_all(b"sleep 100\n")
        await trio.sleep(0.5)
        await terminal.interrupt()
        await terminal.send_all(b"echo $((7 * 7))-done\n")
        with trio.fail_after(20):
            while b"49-done" not in shown:
                shown += await terminal.receive_some()


async def test_work_through_a_proxy(client: Client, target: Target, python: KernelSpec) -> None:
    """Requests that nobody signed go through `open_proxy`, and are signed there."""
    async with open_proxy(client) as proxy:
        config = replace(
            client.config,
            endpoint=client.config.endpoint._replace(host=proxy.host, port=proxy.port),
            access_key="AKIA" + "0" * 16,
            secret_key="0" * 40,
        )
        async with open_client(config) as through, open_kernel(through, python) as kernel:
            assert (await run(kernel, "print(6 * 7)")).stdout == "42\n"
            ran = await run(kernel, "print(input('name? '))", answers=["LABLUP"])
            assert ran.stdout.endswith("LABLUP\n")
        assert await query(client, "query { __typename }")
