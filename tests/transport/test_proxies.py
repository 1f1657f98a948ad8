"""Ways through a proxy: for requests, and for WebSockets."""

from __future__ import annotations

import socket
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme

from backendai_trio import (
    BackendError,
    ConfigError,
    ConnectionFailed,
    KernelSpec,
    Stdout,
    open_client,
    open_kernel,
    open_terminal,
    read_config,
)
from backendai_trio.gateway import Gateway
from backendai_trio.transport.proxied import _Tunnel, open_tunnel, proxy_of, takes_tunnels
from backendai_trio.transport.websocket_connect import open_websocket

from .servers import HELLO, INFO, KEYS, ForwardingProxy, closed_port, configure, read_head, serving

PYTHON = KernelSpec(runtime="python")


async def test_proxy_is_used(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(gateway, monkeypatch)
    async with open_client() as client:
        assert (await client.call(INFO)).status == 200
        async with (
            open_kernel(client, KernelSpec(runtime="python")) as kernel,
            kernel.execute("print(1)") as execution,
        ):
            assert len([event async for event in execution]) == 2
    url = gateway.url.encode()
    assert proxy.heads[0].startswith(b"GET " + url + b"/ HTTP/1.1\r\n")
    # What is signed is the path that the server will see, not the proxy's.
    assert any(head.startswith(b"GET " + url + b"/auth ") for head in proxy.heads)
    assert any(head.startswith(b"POST " + url + b"/session ") for head in proxy.heads)


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "localhost,127.0.0.1"])
async def test_no_proxy(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch, exempt: str
) -> None:
    configure(gateway, monkeypatch)
    monkeypatch.setenv("NO_PROXY", exempt)
    async with open_client() as client:
        assert (await client.call(INFO)).status == 200
    assert proxy.heads == []


async def test_no_proxy_with_a_port(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(gateway, monkeypatch)
    monkeypatch.setenv("NO_PROXY", gateway.config.endpoint.host_header)
    async with open_client() as client:
        assert (await client.call(INFO)).status == 200
    assert proxy.heads == []


async def test_proxy_with_a_password(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(gateway, monkeypatch)
    proxy.password = "pass-word"
    config = read_config()
    assert config is not None
    assert config.proxy is not None
    address = config.proxy.removeprefix("http://")
    config = replace(config, proxy=f"http://user:pass-word@{address}")
    assert "pass-word" not in repr(config)
    async with open_client(config) as client:
        assert (await client.call(INFO)).status == 200
    # Without it, the refusal says who refused, and the password of no one.
    wrong = replace(config, proxy=f"http://user:wrong-word@{address}")
    with pytest.raises(BackendError) as caught:
        async with open_client(wrong):
            pass
    assert "wrong-word" not in "".join(traceback.format_exception(caught.value))


async def test_tunnel_for_tls(
    secure: Gateway,
    authority: trustme.CA,
    proxy: ForwardingProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    configure(secure, monkeypatch)
    monkeypatch.setenv("BACKEND_CA_FILE", str(ca_file))
    async with open_client() as client:
        assert (await client.call(INFO)).status == 200
    assert proxy.heads[0].startswith(b"CONNECT ")
    # The proxy sees where to, and nothing else.
    assert not any(b"uthorization: BackendAI" in head for head in proxy.heads)


async def test_proxy_that_is_gone(gateway: Gateway) -> None:
    config = replace(gateway.config, proxy=f"http://user:pass-word@127.0.0.1:{await closed_port()}")
    with pytest.raises(ConnectionFailed) as caught:
        async with open_client(config):
            pass
    assert "pass-word" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("proxy_url", ["http://[::1", "://x", "ftp://127.0.0.1:1"])
async def test_proxy_that_is_no_url(proxy_url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with open_client(replace(KEYS, proxy=proxy_url)):
            pass
    assert caught.value.variable == "HTTP_PROXY"


# --- WebSockets ----------------------------------------------------------------------------------


def tunnels(proxy: ForwardingProxy) -> int:
    return sum(head.startswith(b"CONNECT ") for head in proxy.heads)


async def test_streams_go_through_the_proxy(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(gateway, monkeypatch)
    async with open_client() as client, open_kernel(client, PYTHON) as kernel:
        async with kernel.execute("print(input() * 200_000)") as run:
            await run.send_stdin(b"x\n")
            texts = [event.text async for event in run if isinstance(event, Stdout)]
        assert "".join(texts) == "x" * 200_000 + "\n"
        assert tunnels(proxy) == 1
        async with open_terminal(kernel) as terminal:
            await terminal.send_all(b"echo $((40 + 2))-answer\n")
            got = b""
            while b"42-answer" not in got:
                got += await terminal.receive_some()
        assert tunnels(proxy) == 2


async def test_streams_over_tls_go_through_the_proxy(
    secure: Gateway,
    authority: trustme.CA,
    proxy: ForwardingProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    configure(secure, monkeypatch)
    monkeypatch.setenv("BACKEND_CA_FILE", str(tmp_path / "ca.pem"))
    async with (
        open_client() as client,
        open_kernel(client, PYTHON) as kernel,
        kernel.execute("print(1)") as run,
    ):
        before = tunnels(proxy)
        assert [event.text async for event in run if isinstance(event, Stdout)] == ["1\n"]
        assert before >= 2  # one for requests, and one for the stream
    assert all(head.startswith(b"CONNECT ") for head in proxy.heads)


async def test_proxy_that_refuses_to_connect(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(gateway, monkeypatch)
    async with open_client() as client, open_kernel(client, PYTHON) as kernel:
        proxy.refuses_connect = True
        with pytest.raises(ConnectionFailed, match=r"proxy on the way .* refused: HTTP status 403"):
            async with open_terminal(kernel):
                pass


async def test_tunnels_have_options(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TCP notices a proxy that is gone, too."""
    configure(gateway, monkeypatch)
    config = read_config()
    wanted = proxy_of(config)
    assert wanted is not None
    tunnel = await open_tunnel(config, wanted, [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])
    assert isinstance(tunnel, _Tunnel)
    connected = tunnel._network.get_extra_info("socket")
    assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    await tunnel.aclose()
    assert tunnels(proxy) == 1


async def test_proxy_that_is_silent_or_no_proxy(gateway: Gateway) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await read_head(stream)

    async def talk(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"220 mail.example ESMTP\r\n")

    for handler in (hang_up, talk):
        async with serving(handler) as other:
            config = replace(gateway.config, proxy=other.endpoint.url)
            proxy = proxy_of(config)
            assert proxy is not None
            with pytest.raises(ConnectionFailed, match="cannot go through the proxy"):
                await open_tunnel(config, proxy)


async def test_socks_takes_no_websockets(gateway: Gateway) -> None:
    config = replace(gateway.config, proxy="socks5://127.0.0.1:1")
    assert not takes_tunnels(config)
    proxy = proxy_of(config)
    assert proxy is not None
    with pytest.raises(ConnectionFailed, match="SOCKS proxy; name an HTTP proxy in HTTP_PROXY"):
        await open_tunnel(config, proxy)


async def test_server_that_closes_during_the_handshake() -> None:
    """It is noticed at once, not when the time for connecting is over."""

    async def handle(stream: trio.SocketStream) -> None:
        while b"Upgrade" not in (head := await read_head(stream)) and head:
            await stream.send_all(HELLO)

    async with serving(handle) as config, open_client(config) as client:
        with pytest.raises(ConnectionFailed, match="closed the connection during GET /nowhere"):
            async with open_websocket(client, "/nowhere"):
                pass
