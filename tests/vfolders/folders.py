"""Gateways of one era with their files, and how the tests look at these."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backendai_trio import (
    Client,
    Finished,
    GatewayOptions,
    Stdout,
    TrioKernel,
    open_client,
    open_gateway,
)
from backendai_trio.gateway import Gateway
from backendai_trio.wire.versions import SEED, SESSION_6, Era


@asynccontextmanager
async def opened(*eras: Era, **options: object) -> AsyncIterator[tuple[Gateway, Client]]:
    wanted = GatewayOptions(eras=eras or (SEED, SESSION_6), **options)  # type: ignore[arg-type]
    async with open_gateway(wanted) as gateway, open_client(gateway.config) as client:
        yield gateway, client


def tree(folder: Path) -> dict[str, str]:
    """What is in a folder: names, and what the files hold in short."""
    return {
        path.relative_to(folder).as_posix(): "/"
        if path.is_dir()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
    }


def files_in(data: Path) -> Path:
    """Where the only folder's files are."""
    (found,) = (data / "vfolders").glob("*/files")
    return found


async def printed(kernel: TrioKernel, code: str) -> str:
    text = ""
    async with kernel.execute(code) as run:
        async for event in run:
            if isinstance(event, Stdout):
                text += event.text
            elif isinstance(event, Finished):
                assert not event.exit_code, text
    return text
