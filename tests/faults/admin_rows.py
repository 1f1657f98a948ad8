"""Rows of calls about what the server lists and keeps for a user, of logins and of the proxy."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import h11
import trio

from backendai_trio import (
    AuthError,
    ConfigError,
    GatewayOptions,
    NotFound,
    RemoteProtocolError,
    open_client,
    open_gateway,
)
from backendai_trio.admin import (
    Dotfile,
    SettingChange,
    SSHKeyPair,
    TaskEvent,
    alias_image,
    allow_resource_group,
    announce,
    authorize,
    change_members,
    check_resources,
    create_row,
    dealias_image,
    delete_dotfile,
    delete_row,
    follow_task,
    forbid_resource_group,
    forget_image,
    generate_ssh_keypair,
    get_announcement,
    get_dotfile,
    get_row,
    get_ssh_public_key,
    key_pair_limits,
    list_dotfiles,
    list_resource_groups,
    preview_change,
    purge_row,
    put_dotfile,
    rescan_images,
    update_row,
    upload_ssh_keypair,
)
from backendai_trio.errors import api_error
from backendai_trio.gateway import Account
from backendai_trio.kernels import open_app_stream, shutdown_service, ssh_login
from backendai_trio.login import log_in, log_out
from backendai_trio.proxy import Proxy, open_proxy, serve_proxy
from backendai_trio.wire.announcements import ANNOUNCEMENT_PATH, decode_announcement
from backendai_trio.wire.events import CONTENT_TYPE, encode_message
from backendai_trio.wire.http import Request

from .. import plain_http
from ..admin.small_manager import SmallManager
from ..ssh_programs import install_server
from ..transport.servers import serving
from .cells import Cell, World
from .rows import row

PAIR = SSHKeyPair("ssh-ed25519 AAAA me\n", "-----BEGIN OPENSSH PRIVATE KEY-----\n...\n\n")


# --- what the gateway keeps ----------------------------------------------------------------------


@row("admin.authorize")
async def authorizing(cell: Cell) -> None:
    async with cell.armed():
        await authorize(cell.client)


@row("admin.get_announcement", alone=True)
async def reading_the_announcement(cell: Cell) -> None:
    await announce(cell.direct, cell.name)
    async with cell.armed():
        text = await get_announcement(cell.client)
    if cell.succeeded:
        assert text == cell.name


@row("admin.announce", alone=True)
async def announcing(cell: Cell) -> None:
    async with cell.armed():
        await announce(cell.client, cell.name)
    if cell.succeeded:
        assert await get_announcement(cell.direct) == cell.name


def dotfile(cell: Cell) -> Dotfile:
    return Dotfile(f".{cell.name}", f"{cell.name}\n" * 50, "644")


@asynccontextmanager
async def kept(cell: Cell) -> AsyncIterator[Dotfile]:
    """A dotfile that the server keeps; there may be a few only."""
    await put_dotfile(cell.direct, dotfile(cell))
    yield dotfile(cell)
    await removed(cell)


async def removed(cell: Cell) -> bool:
    """Remove the cell's dotfile; returns whether there was one."""
    try:
        await delete_dotfile(cell.direct, f".{cell.name}")
    except NotFound:
        return False
    return True


@row("admin.put_dotfile", alone=True)
async def keeping_a_dotfile(cell: Cell) -> None:
    async with cell.armed():
        await put_dotfile(cell.client, dotfile(cell))
    if cell.succeeded:
        assert (await get_dotfile(cell.direct, f".{cell.name}")).data == dotfile(cell).data
    await removed(cell)


@row("admin.get_dotfile", alone=True)
async def reading_a_dotfile(cell: Cell) -> None:
    async with kept(cell) as expected:
        async with cell.armed():
            found = await get_dotfile(cell.client, expected.path)
        if cell.succeeded:
            assert found.data == expected.data


@row("admin.list_dotfiles", alone=True)
async def listing_dotfiles(cell: Cell) -> None:
    async with kept(cell) as expected:
        async with cell.armed():
            found = await list_dotfiles(cell.client)
        if cell.succeeded:
            assert [entry.path for entry in found] == [expected.path]


@row("admin.delete_dotfile", alone=True)
async def deleting_a_dotfile(cell: Cell) -> None:
    async with kept(cell) as expected:
        async with cell.armed():
            await delete_dotfile(cell.client, expected.path)
        if cell.succeeded:
            assert not await removed(cell)


@row("admin.generate_ssh_keypair", alone=True)
async def making_a_key_pair(cell: Cell) -> None:
    async with cell.armed():
        pair = await generate_ssh_keypair(cell.client)
    if cell.succeeded:
        assert await get_ssh_public_key(cell.direct) == pair.public_key != ""


@row("admin.upload_ssh_keypair", alone=True)
async def giving_a_key_pair(cell: Cell) -> None:
    pair = replace(PAIR, public_key=f"ssh-ed25519 AAAA {cell.name}\n")
    async with cell.armed():
        await upload_ssh_keypair(cell.client, pair)
    if cell.succeeded:
        assert await get_ssh_public_key(cell.direct) == pair.public_key


@row("admin.get_ssh_public_key", alone=True)
async def reading_a_public_key(cell: Cell) -> None:
    pair = replace(PAIR, public_key=f"ssh-ed25519 AAAA {cell.name}\n")
    await upload_ssh_keypair(cell.direct, pair)
    async with cell.armed():
        found = await get_ssh_public_key(cell.client)
    if cell.succeeded:
        assert found == pair.public_key


@row("admin.check_resources")
async def free_resources(cell: Cell) -> None:
    expected = await check_resources(cell.direct)
    async with cell.armed():
        found = await check_resources(cell.client)
    if cell.succeeded:
        assert found == expected


@row("admin.key_pair_limits")
async def limits_of_a_key_pair(cell: Cell) -> None:
    expected = await key_pair_limits(cell.direct)
    async with cell.armed():
        found = await key_pair_limits(cell.client)
    if cell.succeeded:
        assert found == expected


@row("admin.list_resource_groups")
async def resource_groups(cell: Cell) -> None:
    async with cell.armed():
        found = await list_resource_groups(cell.client)
    if cell.succeeded:
        assert found == ["default"]


# --- what administrators of a manager make -------------------------------------------------------


@asynccontextmanager
async def manager_world(folder: Path) -> AsyncIterator[World]:
    """A small manager that keeps what administrators make."""
    manager = SmallManager()
    async with serving(manager.serve) as config:
        yield World(config, more={"manager": manager})


managers_row = partial(row, world=manager_world)


def manager_of(cell: Cell) -> SmallManager:
    manager = cell.world.more["manager"]
    assert isinstance(manager, SmallManager)
    return manager


def domain(cell: Cell) -> dict[str, object] | None:
    """The cell's domain, as the manager has it."""
    return manager_of(cell).rows["domains"].get(cell.name)


def sent(cell: Cell, action: str) -> int:
    """How many mutations of this kind have come for the cell's domain."""
    return sum(
        mutation.action == action and mutation.key == cell.name
        for mutation in manager_of(cell).sent
    )


@managers_row("admin.create_row")
async def creating_a_row(cell: Cell) -> None:
    async with cell.armed():
        await create_row(cell.client, "domains", cell.name, {"description": "A"})
    if cell.succeeded:
        assert (domain(cell) or {})["description"] == "A"
    assert sent(cell, "create") <= 1


@managers_row("admin.get_row")
async def reading_a_row(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name, {"description": "A"})
    async with cell.armed():
        found = await get_row(cell.client, "domains", cell.name)
    if cell.succeeded:
        assert found["description"] == "A"


@managers_row("admin.update_row")
async def updating_a_row(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name, {"description": "A"})
    async with cell.armed():
        await update_row(cell.client, "domains", cell.name, {"description": "B"})
    if cell.succeeded:
        assert (domain(cell) or {})["description"] == "B"


@managers_row("admin.delete_row")
async def deleting_a_row(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name)
    async with cell.armed():
        await delete_row(cell.client, "domains", cell.name)
    if cell.succeeded:
        assert (domain(cell) or {"is_active": False})["is_active"] is False


@managers_row("admin.purge_row")
async def purging_a_row(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name)
    async with cell.armed():
        await purge_row(cell.client, "domains", cell.name)
    if cell.succeeded:
        assert domain(cell) is None


@managers_row("admin.preview_change")
async def previewing(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name, {"description": "A"})
    async with cell.armed():
        found = await preview_change(
            cell.client, "domains", "update", cell.name, {"description": "B"}
        )
    if cell.succeeded:
        assert found == [SettingChange("description", "A", "B")]
    assert sent(cell, "update") == 0


@managers_row("admin.change_members")
async def changing_members(cell: Cell) -> None:
    await create_row(cell.direct, "projects", cell.name)
    user = await create_row(cell.direct, "users", f"{cell.name}@b.c", {"password": "x"})
    async with cell.armed():
        await change_members(cell.client, cell.name, [f"{cell.name}@b.c"])
    told = [m for m in manager_of(cell).sent if user["uuid"] in m.values.get("user_uuids", [])]
    if cell.succeeded:
        assert told


def called(cell: Cell, name: str) -> int:
    """How often the manager got a call with the cell's name in its arguments."""
    return sum(
        call == name and cell.name in arguments.values()
        for call, arguments in manager_of(cell).calls
    )


@managers_row("admin.allow_resource_group")
async def allowing(cell: Cell) -> None:
    async with cell.armed():
        await allow_resource_group(cell.client, "gpu", "domain", cell.name)
    if cell.succeeded:
        assert called(cell, "associate_scaling_group_with_domain")


@managers_row("admin.forbid_resource_group")
async def forbidding(cell: Cell) -> None:
    async with cell.armed():
        await forbid_resource_group(cell.client, "gpu", "domain", cell.name)
    if cell.succeeded:
        assert called(cell, "disassociate_scaling_group_with_domain")


@managers_row("admin.alias_image")
async def naming_an_image(cell: Cell) -> None:
    async with cell.armed():
        await alias_image(cell.client, cell.name, "r/python:3")
    if cell.succeeded:
        assert called(cell, "alias_image")


@managers_row("admin.dealias_image")
async def taking_a_name(cell: Cell) -> None:
    async with cell.armed():
        await dealias_image(cell.client, cell.name)
    if cell.succeeded:
        assert called(cell, "dealias_image")


@managers_row("admin.forget_image")
async def forgetting_an_image(cell: Cell) -> None:
    async with cell.armed():
        await forget_image(cell.client, cell.name)
    if cell.succeeded:
        assert called(cell, "forget_image")


def tell_of_a_task(cell: Cell) -> TaskEvent:
    """Let the manager tell each that asks of the end of a task."""
    events = [TaskEvent("updated", "a-task", "half", 1, 2), TaskEvent("done", "a-task", "all read")]
    data = b"".join(encode_message(event.encode()) for event in events)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
    stream = head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
    manager_of(cell).tasks[:] = [stream] * 20
    return events[-1]


@managers_row(
    "admin.rescan_images", alone=True, unlimited="a manager may read a registry before it answers"
)
async def rescanning(cell: Cell) -> None:
    expected = tell_of_a_task(cell)
    async with cell.armed():
        found = await rescan_images(cell.client, registry=cell.name)
    if cell.succeeded:
        assert found == expected and called(cell, "rescan_images")


@managers_row(
    "admin.follow_task", alone=True, unlimited="a task is followed for as long as the caller waits"
)
async def following(cell: Cell) -> None:
    expected = tell_of_a_task(cell)
    async with cell.armed():
        found = await follow_task(cell.client, "a-task")
    if cell.succeeded:
        assert found == expected


# --- logins --------------------------------------------------------------------------------------

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
