"""The SSH key pair: messages both ways."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.ssh_keypair import SSHKeyPair, public_key_of


@given(st.builds(SSHKeyPair, st.text(), st.text()))
def test_round_trip(keypair: SSHKeyPair) -> None:
    assert SSHKeyPair.decode(keypair.encode()) == keypair
    assert SSHKeyPair.decode(keypair.upload_request().body) == keypair
    assert public_key_of(keypair.encode()) == keypair.public_key


def test_messages() -> None:
    keypair = SSHKeyPair("ssh-rsa AAA", "-----BEGIN")
    request = keypair.upload_request()
    assert (request.method, request.target) == ("POST", "/auth/ssh-keypair")
    assert json.loads(request.body) == {"pubkey": "ssh-rsa AAA", "privkey": "-----BEGIN"}
    assert public_key_of(b'{"ssh_public_key": null}') == ""
    assert "BEGIN" not in repr(keypair)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"ssh_public_key": 1}'])
def test_malformed_replies_are_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        SSHKeyPair.decode(body)
    if body != b"{}":
        with pytest.raises(RemoteProtocolError):
            public_key_of(body)
