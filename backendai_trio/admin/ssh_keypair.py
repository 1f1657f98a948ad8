"""The SSH key pair that the server keeps for the own key pair, and gives to new sessions."""

from __future__ import annotations

from ..transport.client import Client
from ..wire.http import Request
from ..wire.ssh_keypair import SSH_KEYPAIR_PATH, SSH_UPLOAD_SINCE, SSHKeyPair, public_key_of
from .releases import check_release

__all__ = ["generate_ssh_keypair", "get_ssh_public_key", "upload_ssh_keypair"]

_SINCE = "v4.20190615"


async def get_ssh_public_key(client: Client) -> str:
    """Get the public key of SSH that lets one into the ``sshd`` of sessions.

    Args:
        client: of the server.

    Returns:
        A line as in ``authorized_keys``; empty if there is none.

    Raises:
        LocalProtocolError: the server is older than 19.09.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /auth/ssh-keypair`` (docs/protocol.md, section 9.3).
    """
    await _check(client)
    return public_key_of((await client.call(Request("GET", SSH_KEYPAIR_PATH))).body)


async def generate_ssh_keypair(client: Client) -> SSHKeyPair:
    """Have the server make a new SSH key pair, in place of the one that it has.

    Sessions that exist keep the old one. The private key is told only now.

    Args:
        client: of the server.

    Returns:
        The key pair.

    Raises:
        LocalProtocolError: the server is older than 19.09.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Cancellation:
        The old key pair may be replaced or not.

    Endpoint: ``PATCH /auth/ssh-keypair`` (docs/protocol.md, section 9.3).
    """
    await _check(client)
    return SSHKeyPair.decode((await client.call(Request("PATCH", SSH_KEYPAIR_PATH))).body)


async def upload_ssh_keypair(client: Client, keypair: SSHKeyPair) -> None:
    """Give the server an SSH key pair, in place of the one that it has.

    It needs the private key, since programs in sessions use it between their containers.

    Args:
        client: of the server.
        keypair: both keys.

    Raises:
        LocalProtocolError: the server is older than 23.03.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``POST /auth/ssh-keypair`` (docs/protocol.md, section 9.3).
    """
    await check_release(client, SSH_UPLOAD_SINCE, "upload of SSH key pairs", "23.03")
    await client.call(keypair.upload_request())


async def _check(client: Client) -> None:
    await check_release(client, _SINCE, "SSH key pairs", "19.09")
