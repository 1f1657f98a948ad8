"""Logging in with a password: what goes through a login, and what ends it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    AuthError,
    Client,
    Config,
    ConfigError,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    QuotaExceeded,
    RemoteProtocolError,
    Stdout,
    list_kernels,
    open_client,
    open_gateway,
    open_kernel,
    read_config,
)
from backendai_trio.config import Login
from backendai_trio.errors import OtpNeeded
from backendai_trio.gateway import Account, Gateway
from backendai_trio.login import log_in, log_out
from backendai_trio.wire.http import Request
from backendai_trio.wire.logins import LOGIN_EXISTS, LoginRequest

NAME, PASSWORD = "me@example.com", "pass wörd"
ACCOUNT = Account(NAME, PASSWORD)


def without_login(gateway: Gateway) -> Config:
    """What a user of a web server has set, before the login."""
    config = replace(gateway.config, endpoint_type="session", access_key="", secret_key="")
    assert config.user == "nobody"
    return config


@pytest.fixture
async def gateway(gateway_parent: Path) -> AsyncIterator[Gateway]:
    async with open_gateway(GatewayOptions(account=ACCOUNT)) as opened:
        yield opened


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    """A client that is not logged in."""
    async with open_client(without_login(gateway)) as opened:
        yield opened


async def logged_in(client: Client) -> Config:
    login = await log_in(client, NAME, PASSWORD)
    return replace(client.config, login=login)


async def test_all_goes_through_a_login(
    gateway: Gateway, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = await logged_in(client)
    assert config.login is not None
    assert (config.user, config.login.access_key) == (NAME, gateway.config.access_key)
    async with open_client(config) as mine:
        async with open_kernel(mine, KernelSpec(runtime="python")) as kernel:
            async with kernel.execute("print(input())") as run:  # over a WebSocket
                await run.send_stdin(b"typed\n")
                printed = [event.text async for event in run if isinstance(event, Stdout)]
            assert printed == ["typed\n"]
            await kernel.upload([Path(__file__)])
            assert [row.token for row in await list_kernels(mine)] == [kernel.token]
        # It is the same user as with the key pair.
        async with open_client(gateway.config) as signed:
            assert await list_kernels(signed) == []
        await log_out(mine)
        with pytest.raises(AuthError) as refusal:
            await list_kernels(mine)
        assert "backend.ai login" in refusal.value.advice
        await log_out(mine)  # once more is fine
    (cookie,) = config.login.cookies.values()
    for secret in (PASSWORD, cookie):
        assert secret not in caplog.text + repr(config) + repr(ACCOUNT) + str(refusal.value)


async def test_nobody_is_logged_in(client: Client) -> None:
    with pytest.raises(ConfigError, match=r"run 'backend\.ai login'"):
        await list_kernels(client)
    forged = replace(client.config, login=Login(NAME, "", {"BACKENDAI_TRIO_SESSION": "x"}))
    async with open_client(forged) as other:
        with pytest.raises(AuthError):
            await list_kernels(other)


@pytest.mark.parametrize(("name", "password"), [(NAME, "wrong"), ("you", PASSWORD)])
async def test_wrong_password(client: Client, name: str, password: str) -> None:
    with pytest.raises(AuthError, match="Wrong user name or password") as refusal:
        await log_in(client, name, password)
    assert not isinstance(refusal.value, OtpNeeded)


async def test_too_many_attempts(client: Client) -> None:
    for _ in range(10):
        with pytest.raises(AuthError):
            await log_in(client, NAME, "wrong")
    with pytest.raises(QuotaExceeded):
        await log_in(client, NAME, PASSWORD)


async def test_one_time_password(gateway_parent: Path) -> None:
    account = replace(ACCOUNT, otp="123456")
    async with (
        open_gateway(GatewayOptions(account=account)) as gateway,
        open_client(without_login(gateway)) as client,
    ):
        with pytest.raises(OtpNeeded):
            await log_in(client, NAME, PASSWORD)
        with pytest.raises(AuthError) as refusal:
            await log_in(client, NAME, "wrong", otp="123456")
        assert not isinstance(refusal.value, OtpNeeded)
        with pytest.raises(AuthError, match="TOTP"):
            await log_in(client, NAME, PASSWORD, otp="000000")
        assert (await log_in(client, NAME, PASSWORD, otp="123456")).cookies


async def test_a_login_that_has_expired(gateway_parent: Path) -> None:
    account = replace(ACCOUNT, login_seconds=0.0)
    async with (
        open_gateway(GatewayOptions(account=account)) as gateway,
        open_client(without_login(gateway)) as client,
        open_client(await logged_in(client)) as mine,
    ):
        with pytest.raises(AuthError) as refusal:
            await list_kernels(mine)
        assert "expired" in refusal.value.advice


async def test_a_server_without_logins(gateway_parent: Path) -> None:
    async with open_gateway() as gateway:
        with pytest.raises(ConfigError, match=r"does not answer as a Backend\.AI server"):
            async with open_client(without_login(gateway)):
                pass
        async with open_client(gateway.config) as client:
            with pytest.raises(RemoteProtocolError, match="has no logins"):
                await log_in(client, NAME, PASSWORD)


async def test_the_cookie_is_for_its_paths_alone(gateway: Gateway, client: Client) -> None:
    """A cookie does not replace the signature where the manager's own API is."""
    request = Request("POST", "/admin/graphql")
    async with open_client(await logged_in(client)) as mine:
        headers = mine.signed_headers(request)
        assert "Cookie" in headers
        async with mine.request(
            request, to=gateway.config.endpoint, headers=headers, check_status=False
        ) as reply:
            assert reply.status == 401


@pytest.mark.parametrize(
    ("status", "kind", "title", "raises", "said"),
    [
        (200, "auth-failed", "No such user", AuthError, "No such user"),
        (401, "auth-failed", "No such user", AuthError, "No such user"),
        (403, "forbidden", "Not from here", AuthError, "Not from here"),
        (409, LOGIN_EXISTS, "Another is active.", InvalidRequest, "active; .*login --force"),
        (429, "login-blocked", "Login is blocked", QuotaExceeded, "Login is blocked"),
    ],
)
async def test_refusals_of_each_status(
    status: int, kind: str, title: str, raises: type[Exception], said: str
) -> None:
    """Web servers from 26.4 on pass on the status of the manager, with ordinary JSON."""
    data = {"type": f"https://api.backend.ai/probs/{kind}", "title": title, "details": ""}
    body = json.dumps({"authenticated": False, "data": data}).encode()
    async with answering(status, body) as config, open_client(config) as client:
        with pytest.raises(raises, match=said):
            await log_in(client, NAME, PASSWORD)


async def test_a_page_is_no_refusal() -> None:
    page = b"<html>forbidden</html>"
    async with answering(403, page, "text/html") as config, open_client(config) as client:
        with pytest.raises(AuthError) as caught:
            await log_in(client, NAME, PASSWORD)
    assert "Login" not in str(caught.value)


@pytest.mark.parametrize("force", [False, True])
def test_force_is_asked_for(force: bool) -> None:
    request = LoginRequest(NAME, PASSWORD, None, force)
    assert LoginRequest.decode(request.encode()) == request
    assert ("force" in json.loads(request.encode())) == force


@asynccontextmanager
async def answering(
    status: int, body: bytes, content_type: str = "application/json"
) -> AsyncIterator[Config]:
    """A web server that answers each login so; the settings of its users."""

    async def answer(stream: trio.SocketStream) -> None:
        received = b""
        while b"/server/login" not in received or b"\r\n\r\n" not in received:
            if not (data := await stream.receive_some()):
                return
            received += data
            if received.startswith(b"GET") and b"\r\n\r\n" in received:  # the version probe
                hello = b'{"version": "v9.20250722", "manager": "26.9.6"}'
                await stream.send_all(_reply(200, hello, "application/json"))
                received = b""
        await stream.send_all(_reply(status, body, content_type))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        config = read_config(
            endpoint=f"http://127.0.0.1:{port}", access_key="AKIA" + "0" * 16, secret_key="s" * 40
        )
        assert config is not None
        yield replace(config, endpoint_type="session", access_key="", secret_key="")
        nursery.cancel_scope.cancel()


def _reply(status: int, body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 {status} Odd\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body
