"""Ways through a proxy: for requests, and for WebSockets."""

from __future__ import annotations

import socket
import ssl
import traceback
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from backendai_trio import (
    ConfigError,
    ConnectionFailed,
    KernelSpec,
    Stdout,
    open_client,
    open_kernel,
    open_terminal,
    read_config,
)
from backendai_trio.errors import InsecureConnectionWarning
from backendai_trio.gateway import Gateway
from backendai_trio.transport.connect import open_stream, socket_of
from backendai_trio.transport.proxies import proxy_of
from backendai_trio.transport.websocket_connect import open_websocket

from .servers import (
    HELLO,
    INFO,
    KEYS,
    ForwardingProxy,
    SocksProxy,
    closed_port,
    configure,
    read_head,
    serving,
)

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


@pytest.mark.parametrize("exempt", ["::1", "[::1]", "localhost,127.0.0.1,::1"])
def test_no_proxy_names_ipv6_addresses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exempt: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKEND_ENDPOINT", "http://[::1]:8081")
    monkeypatch.setenv("BACKEND_ACCESS_KEY", KEYS.access_key)
    monkeypatch.setenv("BACKEND_SECRET_KEY", KEYS.secret_key)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    config = read_config()
    assert config is not None
    assert (config.proxy, config.proxy_variable) == ("http://127.0.0.1:9", "http_proxy")
    monkeypatch.setenv("NO_PROXY", exempt)
    config = read_config()
    assert config is not None
    assert (config.proxy, config.proxy_variable) == (None, "")


async def test_proxy_with_a_password(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is percent-decoded, for requests and for tunnels, and the server never sees it."""
    configure(gateway, monkeypatch)
    proxy.password = "p@ss/w%rd:"
    config = read_config()
    assert config is not None
    assert config.proxy is not None
    address = config.proxy.removeprefix("http://")
    config = replace(config, proxy=f"http://us%65r:p%40ss%2Fw%25rd%3A@{address}")
    assert "p%40ss" not in repr(config)
    assert "p@ss" not in repr(proxy_of(config))
    async with open_client(config) as client:
        assert (await client.call(INFO)).status == 200
        await trio.aclose_forcefully(await open_stream(config, None))
    assert tunnels(proxy) == 1


@pytest.mark.parametrize("credentials", ["", "user:wrong-word@"])
async def test_proxy_that_wants_another_password(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch, credentials: str
) -> None:
    """The refusal names the proxy and its variable, and shows no password."""
    configure(gateway, monkeypatch)
    proxy.password = "pass-word"
    config = read_config()
    assert config is not None
    assert config.proxy is not None
    address = config.proxy.removeprefix("http://")
    monkeypatch.setenv("HTTP_PROXY", f"http://{credentials}{address}")
    config = read_config()
    assert config is not None
    for attempt in (open_client(config).__aenter__, partial(open_stream, config, None)):
        with pytest.raises(ConnectionFailed) as caught:
            await attempt()
        assert str(caught.value).startswith(f"the proxy http://{address} (HTTP_PROXY) ")
        assert "407" in str(caught.value)
        trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert "wrong-word" not in str(caught.value)
        assert "pass-word" not in "".join(trace.format())


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


@pytest.mark.parametrize("scheme", ["http", "https", "socks4", "socks5", "socks5h"])
async def test_proxy_that_is_gone(gateway: Gateway, scheme: str) -> None:
    address = f"127.0.0.1:{await closed_port()}"
    config = replace(
        gateway.config, proxy=f"{scheme}://user:pass-word@{address}", proxy_variable="all_proxy"
    )
    with pytest.raises(ConnectionFailed) as caught:
        async with open_client(config):
            pass
    assert f"cannot connect to the proxy {scheme}://{address} (all_proxy): " in str(caught.value)
    assert "refused" in str(caught.value)
    assert "NO_PROXY" in str(caught.value)
    assert "pass-word" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "proxy_url", ["http://[::1", "://x", "ftp://127.0.0.1:1", "http://a:b", "http://a:99999"]
)
async def test_proxy_that_is_no_url(proxy_url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with open_client(replace(KEYS, proxy=proxy_url)):
            pass
    assert caught.value.variable == "HTTP_PROXY"


@pytest.mark.parametrize("scheme", ["http", "https", "socks4", "socks4a", "socks5", "socks5h"])
@pytest.mark.parametrize("host", ["a..b", "a" * 64])
async def test_proxy_whose_host_name_is_malformed(scheme: str, host: str) -> None:
    with pytest.raises(ConfigError, match="not the URL of a proxy"):
        async with open_client(replace(KEYS, proxy=f"{scheme}://{host}:1")):
            pass


@pytest.mark.parametrize(
    ("proxy_url", "good"),
    [
        ("socks5://user:p%C3%A4ss@127.0.0.1:1", False),
        ("socks5h://us%C3%A9r:pass@127.0.0.1:1", False),
        (f"socks5://user:{'p' * 256}@127.0.0.1:1", False),
        (f"socks5://user:{'p' * 255}@127.0.0.1:1", True),
        ("socks4://us%C3%A9r@127.0.0.1:1", False),
        ("http://user:p\udcffss@127.0.0.1:1", False),
        ("http://user:p%C3%A4ss@127.0.0.1:1", True),
    ],
)
def test_password_that_cannot_be_sent_to_a_proxy(proxy_url: str, good: bool) -> None:
    config = replace(KEYS, proxy=proxy_url)
    if good:
        assert proxy_of(config) is not None
        return
    with pytest.raises(ConfigError, match="its user name or password cannot be sent") as caught:
        proxy_of(config)
    assert "ss@" not in str(caught.value) and "ppp" not in str(caught.value)


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
        with pytest.raises(
            ConnectionFailed, match=r"\(HTTP_PROXY\) refused to connect to .*: HTTP status 403"
        ):
            async with open_terminal(kernel):
                pass


async def test_tunnels_have_options(
    gateway: Gateway, proxy: ForwardingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TCP notices a proxy that is gone, too."""
    configure(gateway, monkeypatch)
    config = read_config()
    assert config is not None
    tunnel = await open_stream(
        config, None, socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    )
    assert socket_of(tunnel).getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    await tunnel.aclose()
    assert tunnels(proxy) == 1


@pytest.mark.parametrize("answer", [b"", b"220 mail.example ESMTP\r\n", b"\x15\x03\x01\x00\x02"])
async def test_proxy_that_is_none(gateway: Gateway, answer: bytes) -> None:
    async def other(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(answer)

    async with serving(other) as server:
        config = replace(gateway.config, proxy=server.endpoint.url)
        with pytest.raises(ConnectionFailed, match="HTTP_PROXY"):
            await open_stream(config, None)


async def test_proxy_that_is_silent() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with serving(silent) as server:
        config = replace(KEYS, proxy=server.endpoint.url, connect_seconds=0.1)
        with pytest.raises(
            ConnectionFailed, match=r"\(HTTP_PROXY\) did not lead to .* within 0\.1 s"
        ):
            await open_stream(config, None)


async def test_proxy_over_tls(
    gateway: Gateway, secure: Gateway, authority: trustme.CA, tmp_path: Path
) -> None:
    """Its certificate is checked, whatever the settings say of the server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    forwarding = ForwardingProxy()
    async with serving(partial(forwarding.secured, context=context)) as proxy:
        url = proxy.endpoint.url.replace("http:", "https:")
        for server in (gateway, secure):
            config = replace(server.config, proxy=url, ca_file=str(ca_file))
            async with (
                open_client(config) as client,
                open_kernel(client, PYTHON) as kernel,
                kernel.execute("print(1)") as run,
            ):
                assert len([event async for event in run]) == 2
            with pytest.warns(InsecureConnectionWarning) if server is secure else nullcontext():
                unchecked = replace(config, ca_file=None, verify_tls=False)
                with pytest.raises(ConnectionFailed, match=r"proxy https.*not trusted"):
                    async with open_client(unchecked):
                        pass
    assert any(head.startswith(b"GET http://") for head in forwarding.heads)
    assert any(head.startswith(b"CONNECT ") for head in forwarding.heads)


# --- SOCKS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h", "socks"])
async def test_socks(gateway: Gateway, scheme: str) -> None:
    """For requests and for WebSockets. Who looks a name up is the scheme's business."""
    socks = SocksProxy()
    async with serving(socks.handle) as server:
        url = server.endpoint.url.replace("http:", f"{scheme}:")
        endpoint = gateway.config.endpoint._replace(host="localhost")
        config = replace(gateway.config, endpoint=endpoint, proxy=url)
        async with (
            open_client(config) as client,
            open_kernel(client, PYTHON) as kernel,
            open_terminal(kernel) as terminal,
        ):
            await terminal.send_all(b"echo $((40 + 2))-answer\n")
            got = b""
            while b"42-answer" not in got:
                got += await terminal.receive_some()
    assert len(socks.asked) >= 2
    expected = (3, b"localhost") if scheme == "socks5h" else (1, bytes([127, 0, 0, 1]))
    assert set(socks.asked) == {expected}


async def test_socks_below_tls_with_a_password(
    secure: Gateway, authority: trustme.CA, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    socks = SocksProxy((b"user", b"p@ss"))
    async with serving(socks.handle) as server:
        address = server.endpoint.host_header
        config = replace(
            secure.config, proxy=f"socks5h://user:p%40ss@{address}", ca_file=str(ca_file)
        )
        async with (
            open_client(config) as client,
            open_kernel(client, PYTHON) as kernel,
            kernel.execute("print(1)") as run,
        ):
            assert len([event async for event in run]) == 2
        for credentials in ("", "user:wrong-word@"):
            wrong = replace(config, proxy=f"socks5://{credentials}{address}")
            with pytest.raises(ConnectionFailed, match=r"proxy socks5.*\(HTTPS_PROXY\)") as caught:
                async with open_client(wrong):
                    pass
            trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            assert "Authentication" in str(caught.value) or "auth" in str(caught.value).lower()
            assert "wrong-word" not in str(caught.value)
            assert not [line for line in trace.format() if "python_socks/" in line]


async def test_socks_that_refuses_or_is_none(gateway: Gateway) -> None:
    socks = SocksProxy()
    socks.refuses = True

    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"220 mail.example ESMTP\r\n")

    for handler in (socks.handle, hang_up, talk):
        async with serving(handler) as server:
            url = server.endpoint.url.replace("http:", "socks5:")
            with pytest.raises(ConnectionFailed, match="did not connect to"):
                await open_stream(replace(gateway.config, proxy=url), None)


async def test_server_that_closes_during_the_handshake() -> None:
    """It is noticed at once, not when the time for connecting is over."""

    async def handle(stream: trio.SocketStream) -> None:
        while b"Upgrade" not in (head := await read_head(stream)) and head:
            await stream.send_all(HELLO)

    async with serving(handle) as config, open_client(config) as client:
        with pytest.raises(ConnectionFailed, match=r"closed the connection.*\[GET /nowhere\]"):
            async with open_websocket(client, "/nowhere"):
                pass
