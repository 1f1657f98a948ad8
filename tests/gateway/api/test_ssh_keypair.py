"""SSH key pairs that are not made: clients are told why, and the gateway prints nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backendai_trio import GatewayOptions, ServerError, open_client, open_gateway
from backendai_trio.admin import generate_ssh_keypair
from backendai_trio.gateway import GatewayLimits


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (
            'for file; do :; done; echo "Saving key $file failed: No space" >&2; exit 1',
            "Saving key key failed: No space",  # the folder's name is the gateway's own
        ),
        ("exit 3", r"ssh-keygen has failed \(3\)"),
        ("sleep 60", "it took more than 0.3 s"),
    ],
)
async def test_key_pair_that_is_not_made(
    gateway_parent: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    program: str,
    reason: str,
) -> None:
    (tmp_path / "ssh-keygen").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    options = GatewayOptions(limits=GatewayLimits(keygen_seconds=0.3))
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        with pytest.raises(ServerError, match=f"No SSH key pair was made.*{reason}"):
            await generate_ssh_keypair(client)
    assert capfd.readouterr() == ("", "")
