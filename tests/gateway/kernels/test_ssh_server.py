"""The SSH server of a kernel: its start, its end, and how its programs are run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    GatewayOptions,
    KernelSpec,
    NotFound,
    attach_kernel,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway.kernels.session import Session
from backendai_trio.gateway.processes.isolation import Isolation
from backendai_trio.gateway.refusals import Refused
from backendai_trio.kernels import ssh_login

from ...ssh_programs import install_server

PYTHON = KernelSpec(runtime="python")


@pytest.fixture
async def session(
    gateway_parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Session]:
    """A kernel whose SSH server tells its process id."""
    install_server(tmp_path / "bin")
    program = tmp_path / "bin" / "sshd"
    source = program.read_text().replace('b"SSH-2.0-Test\\r\\n"', 'b"%d\\n" % os.getpid()')
    program.write_text(source)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    async with (
        open_gateway(GatewayOptions(isolation="process-group")) as gateway,
        open_client(gateway.config) as client,
    ):
        await attach_kernel(client, PYTHON, token="lab1")
        found = gateway._sessions.find(gateway.config.access_key, "lab1")
        yield found
        found.ended.set()


async def process_at(port: int) -> int:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        return int(await stream.receive_some())


async def test_stopped_server_is_not_found_again(session: Session) -> None:
    """It takes a moment to end; who asks for a server meanwhile gets the next one."""
    first = await process_at(await session.ssh.start())
    assert await process_at(await session.ssh.start()) == first
    session.ssh.stop()
    assert session.ssh.port == 0
    second = await process_at(await session.ssh.start())
    assert second != first
    assert not await trio.Path(f"/proc/{first}").exists()
    assert session.ssh.port == session.ssh.occupied_port != 0


async def test_kernel_that_ends_while_its_server_is_awaited(session: Session) -> None:
    async def start() -> None:
        with pytest.raises(Refused) as caught:
            await session.ssh.start()
        assert caught.value.problem.status == 404

    async with trio.open_nursery() as nursery, session.ssh._lock:  # another request is first
        nursery.start_soon(start)
        while not session.ssh._lock.statistics().tasks_waiting:  # noqa: ASYNC110
            await trio.lowlevel.checkpoint()
        session.ended.set()
        await session.gone.wait()


async def test_files_of_logins_are_as_those_of_other_runs(session: Session) -> None:
    """OpenSSH narrows the umask by itself; only the keys are for the user alone."""
    await session.ssh.start()
    folder = session.host.home / ".ssh"
    command = ["sh", "-c", 'umask 077; exec sh "$0" "$1"', folder / "login", session.host.work]
    done = await trio.run_process(
        command,
        env={**os.environ, "SSH_ORIGINAL_COMMAND": "umask"},
        capture_stdout=True,
    )
    usual = os.umask(0o22)
    os.umask(usual)
    assert int(done.stdout, 8) == usual
    for name in ("host_key", "id", "environment", "login"):
        assert (folder / name).stat().st_mode & 0o77 == 0, name


@pytest.mark.skipif(os.geteuid() != 0, reason="others than root have a server there")
async def test_root_is_told_how_to_have_a_server(bubblewrap: Isolation) -> None:
    async with (
        open_gateway(GatewayOptions(isolation="bubblewrap")) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, PYTHON) as kernel,
    ):
        with pytest.raises(NotFound, match="serve --isolation process-group'"):
            await ssh_login(kernel)
