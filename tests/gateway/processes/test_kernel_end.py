"""The end of a kernel: nothing survives it, however it ends."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from backendai_trio.errors import GatewayError
from backendai_trio.gateway.limits import GatewayLimits
from backendai_trio.gateway.processes.host.process_tree import below
from backendai_trio.gateway.processes.host.serving import ORPHANED
from backendai_trio.gateway.processes.isolation import Isolation
from backendai_trio.gateway.processes.process_host import HOST_MAIN, open_host
from backendai_trio.gateway.processes.program_streams import PIPED

from .programs import (
    TALK,
    alive,
    environment,
    exists,
    linux_only,
    outer,
    parent,
    python,
    run,
    wait_until,
)

pytestmark = linux_only

#: Leaves the session and the process group and ignores what it can; says its process id. The
#: program itself ends when that is done, and it knows by the end of a pipe.
DAEMON = """
import os, signal, time
told, tells = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        os.environ.clear()
        print(os.getpid(), flush=True)
        os.closerange(0, 3)
        os.close(tells)
        while True: time.sleep(1000)
    os._exit(0)
os.close(tells)
os.wait()
os.read(told, 1)
"""


async def test_nothing_survives_a_kernel(
    root: Path, conversation: TALK, isolation: Isolation
) -> None:
    with trio.fail_after(30):
        async with open_host(root, isolation) as host:
            talk = conversation()
            assert await run(host, python(DAEMON), talk) == 0
            pid = outer(host.pid, int(talk.text("stdout")))
            assert alive(pid)
            nested = host.work / "a" / "b"
            nested.mkdir(parents=True)
            (nested / "file").write_bytes(b"x" * 1000)
            (nested / "link").symlink_to("/etc")
            nested.chmod(0o500)
            (host.home / "fifo").touch(0o000)
            started = trio.current_time()
        assert trio.current_time() - started < 2
    assert not alive(pid)
    assert not exists(root)
    assert host.usage["scratch_bytes"] >= 1000
    assert host.usage["max_rss_bytes"] > 1_000_000
    assert host.usage.keys() >= {"cpu_ms", "read_bytes", "write_bytes"}
    assert exists(Path("/etc/passwd"))


async def test_the_death_of_the_host(root: Path, conversation: TALK, isolation: Isolation) -> None:
    daemons = []
    with trio.fail_after(30):
        async with open_host(root, isolation) as host:
            talk = conversation()
            async with host.open_process(
                ["sh", "-c", "setsid sleep 1000 & echo $!; exec cat"],
                env=environment(host),
                cwd=host.work,
                stdio=PIPED,
            ) as process:
                host_pid = parent(process.pid)

                async def ask(is_password: bool) -> bytes | None:
                    daemons.append(outer(host.pid, int(talk.text("stdout"))))
                    assert alive(daemons[0])
                    os.kill(host_pid, 9)
                    await trio.sleep_forever()

                with pytest.raises(GatewayError, match="has died"):
                    await process.run(talk.sink, ask)
            with pytest.raises(GatewayError):
                await run(host, ["true"], talk)
    assert not alive(daemons[0])
    assert not alive(process.pid)
    assert not exists(root)


async def test_signals_when_the_host_has_just_died(root: Path, isolation: Isolation) -> None:
    """Before the gateway has been told of its death: its programs have ended with it."""
    with trio.fail_after(30):
        async with (
            open_host(root, isolation) as host,
            host.open_process(
                ["cat"], env=environment(host), cwd=host.work, stdio=PIPED
            ) as process,
        ):
            connection = select.poll()
            connection.register(host._connection, select.POLLHUP)
            os.kill(parent(process.pid), signal.SIGKILL)
            connection.poll()  # meanwhile the event loop, which would be told, does not run
            assert not host.ended.is_set()
            process.interrupt()
            process.kill()
            await process.wait_signalled()
            with pytest.raises(GatewayError, match="has died"):
                await process.wait()


async def test_a_host_that_hangs(root: Path, conversation: TALK, isolation: Isolation) -> None:
    limits = GatewayLimits(host_stop_seconds=0.1)
    with trio.fail_after(30):
        async with open_host(root, isolation, limits=limits) as host:
            talk = conversation()
            assert await run(host, python(DAEMON), talk) == 0
            pid = outer(host.pid, int(talk.text("stdout")))
            os.kill(parent(pid), signal.SIGSTOP)
            assert alive(pid)
    assert not alive(pid)
    assert not exists(root)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """The next descriptors of this process are beyond those that `select.select` takes."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 4096), limits[1]))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        null = stack.enter_context(open(os.devnull))
        while stack.enter_context(open(os.dup(null.fileno()))).fileno() < 1024:
            pass
        yield


@pytest.mark.usefixtures("many_descriptors")
async def test_the_host_of_a_gateway_with_many_kernels(
    root: Path, conversation: TALK, isolation: Isolation
) -> None:
    """What a gateway passes to a host keeps its number."""
    with trio.fail_after(30):
        async with open_host(root, isolation) as host:
            talk = conversation()
            assert await run(host, ["echo", "alive"], talk) == 0
            assert talk.text("stdout").strip() == b"alive"
    assert not exists(root)


KILLED = """
import sys, trio
from pathlib import Path
from backendai_trio.gateway.processes.isolation import try_isolation
from backendai_trio.gateway.processes.process_host import HOST_MAIN, open_host
from backendai_trio.wire.stdio import Stdio

async def sink(kind, data):
    print(data.decode().strip(), flush=True)

async def ask(is_password):
    await trio.sleep_forever()

async def main(root, daemon, name):
    with try_isolation(name) as trial:
        isolation = trial.result()
    async with open_host(Path(root), isolation) as host:
        async with host.open_process(
            [sys.executable, "-c", daemon + "input()"], env={}, cwd=host.work, stdio=Stdio()
        ) as process:
            print(process.pid, flush=True)
            await process.run(sink, ask)

trio.run(main, *sys.argv[1:])
"""


async def test_nothing_survives_the_gateway(root: Path, isolation: Isolation) -> None:
    environ: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with trio.fail_after(30):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", KILLED, str(root), DAEMON, isolation.name],
            stdout=subprocess.PIPE,
            env=environ,
        )
        assert process.stdout is not None
        async with process.stdout:
            text = b""
            while text.count(b"\n") < 2:
                text += await process.stdout.receive_some()
            program, daemon = (int(line) for line in text.split())
            pids = [program, outer(process.pid, daemon), *below(process.pid)]
            assert all(map(alive, pids))
            started = time.monotonic()
            process.kill()
            await process.wait()
            # The folder above is the gateway's, which is nobody's now.
            await wait_until(lambda: not any(map(alive, pids)) and not exists(root.parent))
            assert time.monotonic() - started < 2


def test_a_gateway_that_dies_slowly(tmp_path: Path) -> None:
    """Its socket is closed a while before Linux calls it dead; its folder goes all the same."""
    root = tmp_path / "gateway" / "kernel"
    (root / "work").mkdir(parents=True)
    ours, hosts = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with subprocess.Popen(["sleep", "60"]) as gateway, ours:
        try:
            with hosts:
                pidfd = os.pidfd_open(gateway.pid)
                host = subprocess.Popen(
                    [sys.executable, "-I", "-S", HOST_MAIN, str(hosts.fileno()), str(pidfd), root],
                    pass_fds=(hosts.fileno(), pidfd),
                )
                os.close(pidfd)
            assert ours.recv(4096)  # "ready"
            ours.close()
            while exists(root):
                time.sleep(0.01)
            assert exists(root.parent)
        finally:
            gateway.kill()
    with host:
        assert host.wait(10) == ORPHANED
    assert not exists(root.parent)
