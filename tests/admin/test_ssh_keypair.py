"""The SSH key pair, on gateways of each release that keep one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    InvalidRequest,
    LocalProtocolError,
    ServerError,
)
from backendai_trio.admin import (
    SSHKeyPair,
    generate_ssh_keypair,
    get_ssh_public_key,
    upload_ssh_keypair,
)
from backendai_trio.gateway import RELEASES

from .releases import EARLY, client_of

UPLOADS = ("", "23.09", "24.03", "25.12", "26.9")
OWN = SSHKeyPair("ssh-ed25519 AAAA me", "-----BEGIN OPENSSH PRIVATE KEY-----\n...\n\n")


@pytest.mark.parametrize("release", ["", *(name for name in RELEASES if name not in EARLY)])
async def test_key_pair_that_is_given_to_the_server(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        assert await get_ssh_public_key(client) == ""
        if release in UPLOADS:
            await upload_ssh_keypair(client, OWN)
            assert await get_ssh_public_key(client) == "ssh-ed25519 AAAA me\n"
        else:
            with pytest.raises(LocalProtocolError, match=r"managers have that from 23\.03 on"):
                await upload_ssh_keypair(client, OWN)
            with pytest.raises(InvalidRequest):
                await client.call(OWN.upload_request())
            assert await get_ssh_public_key(client) == ""


async def test_key_pair_that_the_server_makes(
    client: Client, installed: Callable[..., str], tmp_path: Path
) -> None:
    keygen = installed("ssh-keygen")
    keypair = await generate_ssh_keypair(client)
    assert await get_ssh_public_key(client) == keypair.public_key
    (tmp_path / "key").write_text(keypair.private_key)
    (tmp_path / "key").chmod(0o600)
    shown = await trio.run_process([keygen, "-y", "-f", tmp_path / "key"], capture_stdout=True)
    assert shown.stdout.decode().split()[:2] == keypair.public_key.split()[:2]
    assert (await generate_ssh_keypair(client)).public_key != keypair.public_key


async def test_machine_without_ssh_keygen(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match="no ssh-keygen"):
        await generate_ssh_keypair(client)


@pytest.mark.parametrize("release", EARLY)
async def test_before_there_was_one(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        for call in (get_ssh_public_key, generate_ssh_keypair):
            with pytest.raises(LocalProtocolError, match=r"managers have that from 19\.09 on"):
                await call(client)


async def test_a_gateway_with_a_database_keeps_it(tmp_path: Path, gateway_parent: Path) -> None:
    async with client_of(data=tmp_path / "data") as client:
        await upload_ssh_keypair(client, OWN)
    async with client_of(data=tmp_path / "data") as client:
        assert await get_ssh_public_key(client) == "ssh-ed25519 AAAA me\n"
