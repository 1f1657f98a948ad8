"""Servers that work, and refuse what they are asked."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backendai_trio import (
    GatewayOptions,
    KernelSpec,
    create_vfolder,
    open_client,
    open_gateway,
    open_kernel,
)

from ...proxies import open_proxy_without_upgrades
from .registry import (
    Variables,
    situation,
    variables_of,
)


@situation
@asynccontextmanager
async def a_gateway(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway() as gateway:
        yield variables_of(gateway.config)


@situation
@asynccontextmanager
async def a_kernel(work: Path) -> AsyncIterator[Variables]:
    """It is called lab1 and has a file and a folder; the virtual folder is called data. The
    pairs of files called key and odd are no key pairs."""
    (work / "here").mkdir()
    (work / "main.py").write_text("print(1)")
    (work / "a.txt").write_text("mine\n")
    for name, content in (("key", b"x"), ("odd", b"\xff")):
        (work / name).write_bytes(content)
        (work / f"{name}.pub").write_bytes(content)
    os.mkfifo(work / "pipe")
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        await create_vfolder(client, "data")
        async with open_kernel(client, KernelSpec(runtime="python"), token="lab1") as kernel:
            async with kernel.execute(
                "import os; os.mkdir('out'); open('a.txt', 'w').write('theirs')"
            ) as run:
                async for _ in run:
                    pass
            yield variables_of(gateway.config)


@situation
@asynccontextmanager
async def an_old_manager(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway(GatewayOptions(release="1.1")) as gateway:
        yield variables_of(gateway.config)


@situation
@asynccontextmanager
async def a_manager_of_today(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway(GatewayOptions(release="26.9")) as gateway:
        yield variables_of(gateway.config)


@situation
@asynccontextmanager
async def a_malformed_mount_in_the_settings(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway() as gateway:
        yield {**variables_of(gateway.config), "BACKEND_VFOLDER_MOUNTS": "data:x:y:z"}


@situation
@asynccontextmanager
async def a_wrong_secret_key(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway() as gateway:
        yield {**variables_of(gateway.config), "BACKEND_SECRET_KEY": "x" * 40}


@situation
@asynccontextmanager
async def an_unknown_access_key(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway() as gateway:
        yield {**variables_of(gateway.config), "BACKEND_ACCESS_KEY": "AKIA" + "Z" * 16}


@situation
@asynccontextmanager
async def no_upgrades(work: Path) -> AsyncIterator[Variables]:
    """A reverse proxy that does not pass WebSockets on, before a gateway with the kernel lab1."""
    async with (
        open_gateway() as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, KernelSpec(runtime="python"), token="lab1"),
        open_proxy_without_upgrades(gateway.config.endpoint.port) as port,
    ):
        yield {**variables_of(gateway.config), "BACKEND_ENDPOINT": f"http://127.0.0.1:{port}"}
