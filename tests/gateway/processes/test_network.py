"""What kernels reach: the machine's network, a localhost of their own, or nothing."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import trio

from backendai_trio import (
    GatewayError,
    GatewayOptions,
    KernelSpec,
    Stdout,
    TrioKernel,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway.settings import RequestedNetwork
from backendai_trio.kernels import list_apps, open_app_stream

from ...app_servers import SERVER

PYTHON = KernelSpec(runtime="python")
SOURCE = """
import json, socket

def connected(family, address):
    with socket.socket(family) as client:
        client.settimeout(5)
        try:
            client.connect(address)
        except OSError as exc:
            return type(exc).__name__
        return True

try:
    with socket.create_server(("127.0.0.1", 0)) as server:
        own = connected(socket.AF_INET, server.getsockname())
except OSError as exc:
    own = type(exc).__name__
status = dict(line.split(":") for line in open("/proc/self/status"))
print(json.dumps({
    "own": own,
    "machine": connected(socket.AF_INET, ("127.0.0.1", PORT)),
    "abstract": connected(socket.AF_UNIX, "\\0" + NAME),
    "interfaces": [line.split(":")[0].strip() for line in list(open("/proc/net/dev"))[2:]],
    "privileges": [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")],
}))
"""
NOTHING = {"machine": "ConnectionRefusedError", "abstract": "ConnectionRefusedError"}
EXPECTED: dict[RequestedNetwork, dict[str, Any]] = {
    "host": {"own": True, "machine": True, "abstract": True},
    "loopback": {"own": True, **NOTHING, "interfaces": ["lo"]},
    "none": {"own": "OSError", **NOTHING, "machine": "OSError", "interfaces": ["lo"]},
}


async def _output(kernel: TrioKernel, source: str) -> str:
    text = ""
    async with kernel.execute(source) as run:
        async for event in run:
            if isinstance(event, Stdout):
                text += event.text
    return text


@pytest.mark.usefixtures("bubblewrap", "gateway_parent")
@pytest.mark.parametrize("network", EXPECTED)
async def test_what_a_kernel_reaches(network: RequestedNetwork) -> None:
    name = f"backendai-tests-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(f"\0{name}")
        local.listen()
        source = SOURCE.replace("PORT", str(server.getsockname()[1])).replace("NAME", repr(name))
        async with (
            open_gateway(GatewayOptions(isolation="bubblewrap", network=network)) as gateway,
            open_client(gateway.config) as client,
            open_kernel(client, PYTHON) as kernel,
        ):
            told = json.loads(await _output(kernel, source))
    assert told == {**told, **EXPECTED[network], "privileges": [0, 0, 0, 0]}


@pytest.mark.usefixtures("bubblewrap", "gateway_parent")
async def test_apps_in_a_network_of_their_own() -> None:
    """Two kernels listen on one port, and each is reached."""
    options = GatewayOptions(isolation="bubblewrap", network="loopback")
    async with (
        open_gateway(options) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, PYTHON) as one,
        open_kernel(client, PYTHON) as other,
    ):
        port = (await _output(one, SERVER)).strip()
        source = f"""
import socket, threading
server = socket.create_server(("127.0.0.1", {port}))
threading.Thread(target=lambda: server.accept()[0].sendall(b"other"), daemon=True).start()
"""
        assert await _output(other, source) == ""
        assert [app.name for app in await list_apps(one) if app.name != "sshd"] == [port]
        async with open_app_stream(one, port) as stream:
            await stream.send_all(b"echo!x")
            assert await stream.receive_some(1) == b"x"
        async with open_app_stream(other, port) as stream:
            assert await stream.receive_some(5) == b"other"


@pytest.mark.usefixtures("bubblewrap", "gateway_parent")
async def test_no_apps_without_a_network() -> None:
    options = GatewayOptions(isolation="bubblewrap", network="none")
    source = "import socket; s = socket.create_server(('', 0)); print(s.getsockname()[1])"
    async with (
        open_gateway(options) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, PYTHON) as kernel,
    ):
        port = (await _output(kernel, source)).strip()
        with pytest.raises(trio.BrokenResourceError, match=r"has no network.*--network none"):
            async with open_app_stream(kernel, port) as stream:
                await stream.receive_some()


async def test_no_such_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options, said in (
        (GatewayOptions(network="bridge"), "no network 'bridge'; use one of host, loopback, none"),  # type: ignore[arg-type]
        (GatewayOptions(network="none", isolation="process-group"), "'none' needs the isolation"),
    ):
        with pytest.raises(GatewayError, match=said):
            async with open_gateway(options):
                pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GatewayError, match=r"no bwrap on PATH.*'loopback' needs it"):
        async with open_gateway(GatewayOptions(network="loopback")):
            pass
