"""The SSH key pair that lets a user into services of sessions (docs/protocol.md, section 9.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from .http import Request
from .json_fields import Fields, encode_json

__all__ = ["SSH_KEYPAIR_PATH", "SSH_UPLOAD_SINCE", "SSHKeyPair", "public_key_of"]

SSH_KEYPAIR_PATH = "/auth/ssh-keypair"
SSH_UPLOAD_SINCE = "v6.20230315"
"""The version that managers announce from 23.03 on."""


@dataclass(frozen=True, slots=True)
class SSHKeyPair:
    """A key pair of SSH."""

    public_key: str
    """A line as in ``authorized_keys``."""
    private_key: str = field(repr=False)
    """Text of the key's file."""

    def upload_request(self) -> Request:
        """The request that has the server take it."""
        body = {"pubkey": self.public_key, "privkey": self.private_key}
        return Request.of_json("POST", SSH_KEYPAIR_PATH, body)

    def encode(self) -> bytes:
        """The body of a reply, or what a server keeps."""
        return encode_json({"ssh_public_key": self.public_key, "ssh_private_key": self.private_key})

    @classmethod
    def decode(cls, body: bytes) -> SSHKeyPair:
        """Read a reply, or the body of an upload.

        Args:
            body: JSON.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        fields = Fields.parse(body, "SSH key pair")
        return cls(
            fields.text("ssh_public_key", "pubkey"), fields.text("ssh_private_key", "privkey")
        )


def public_key_of(body: bytes) -> str:
    """Read a reply with the public key only; empty if there is none.

    Args:
        body: JSON.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    return Fields.parse(body, "SSH public key").text("ssh_public_key", default="")
