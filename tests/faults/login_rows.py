"""Rows of calls about logins, of the signing proxy, and of SSH."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import h11
import trio

from backendai_trio import (
    AuthError,
    ConfigError,
    GatewayOptions,
    RemoteProtocolError,
    open_client,
    open_gateway,
)
from backendai_trio.admin import authorize
from backendai_trio.errors import api_error
from backendai_trio.gateway import Account
from backendai_trio.kernels import open_app_stream, shutdown_service, ssh_login
from backendai_trio.login import log_in, log_out
from backendai_trio.proxy import Proxy, open_proxy, serve_proxy
from backendai_trio.wire.announcements import ANNOUNCEMENT_PATH, decode_announcement
from backendai_trio.wire.http import Request

from .. import plain_http
from ..ssh_programs import install_server
from .cells import Cell, World
from .rows import row

NAME, PASSWORD = "me@example.com", "a password"


@asynccontextmanager
async def login_world(folder: Path) -> AsyncIterator[World]:
    """A gateway where one logs in."""
    async with open_gateway(GatewayOptions(account=Account(NAME, PASSWORD))) as gateway:
        config = replace(gateway.config, endpoint_type="session", access_key="", secret_key="")
        yield World(config, gateway.tokens)


@row("login.log_in", world=login_world)
async def logging_in(cell: Cell) -> None:
    async with cell.armed():
        login = await log_in(cell.client, NAME, PASSWORD)
    if cell.succeeded:
        async with open_client(replace(cell.direct.config, login=login)) as client:
            await authorize(client)


@row("login.log_out", world=login_world)
async def logging_out(cell: Cell) -> None:
    login = await log_in(cell.direct, NAME, PASSWORD)
    async with open_client(replace(cell.client.config, login=login)) as client:
        client.clock = cell.client.clock
        async with cell.armed():
            await log_out(client)
    async with open_client(replace(cell.direct.config, login=login)) as client:
        if cell.succeeded:
            try:
                await authorize(client)
            except (AuthError, ConfigError):
                pass
            else:
                raise AssertionError("the login is valid still")


# --- the signing proxy ---------------------------------------------------------------------------

PROXY = "a proxy leaves limits to its user"


@row("proxy.open_proxy", unlimited=PROXY)
async def signing_proxy(cell: Cell) -> None:
    async with open_proxy(cell.client) as proxy:
        await ask_through(cell, proxy)


@row("proxy.serve_proxy", unlimited=PROXY)
async def serving_a_proxy(cell: Cell) -> None:
    async with trio.open_nursery() as nursery:
        await ask_through(cell, await nursery.start(serve_proxy, cell.client))
        nursery.cancel_scope.cancel()


async def ask_through(cell: Cell, proxy: Proxy) -> None:
    """Ask through the signing proxy, whose user sees the fault as an HTTP status or as a broken
    body, and judges what it means."""
    expected = (await cell.direct.call(Request("GET", ANNOUNCEMENT_PATH))).body
    async with cell.armed():
        try:
            response = await plain_http.request("GET", f"{proxy.url}{ANNOUNCEMENT_PATH}")
        except h11.RemoteProtocolError as exc:
            raise RemoteProtocolError(str(exc)) from exc
        if response.status != 200:
            raise api_error(response.status, title=response.content.decode())
        decode_announcement(response.content)
    if cell.succeeded:
        assert response.content == expected


# --- SSH -----------------------------------------------------------------------------------------


@asynccontextmanager
async def ssh_world(folder: Path) -> AsyncIterator[World]:
    """A gateway whose kernels have an SSH server."""
    install_server(folder / "bin")
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{folder / 'bin'}:{path}"
    try:
        async with open_gateway(GatewayOptions(isolation="process-group")) as gateway:
            yield World(gateway.config, gateway.tokens)
    finally:
        os.environ["PATH"] = path


@row("kernels.ssh_login", world=ssh_world, kernel=True)
async def logging_in_over_ssh(cell: Cell) -> None:
    async with cell.armed():
        login = await ssh_login(cell.kernel)
    if cell.succeeded:
        assert login.private_key == (await ssh_login(cell.direct_kernel)).private_key != ""


@row("kernels.shutdown_service", world=ssh_world, kernel=True)
async def ending_a_service(cell: Cell) -> None:
    async with open_app_stream(cell.direct_kernel, "sshd") as stream:
        assert await stream.receive_some()
        async with cell.armed():
            await shutdown_service(cell.kernel, "sshd")
        if cell.succeeded:
            try:
                assert await stream.receive_some() == b""
            except trio.BrokenResourceError:
                pass  # it was reset
