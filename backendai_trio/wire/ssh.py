"""SSH in kernels: the names that managers have for it, and the forms of what is received.

Source: docs/protocol.md, section 6.6.
"""

from __future__ import annotations

from ..errors import RemoteProtocolError

__all__ = ["APP", "KEY_FILE", "USER", "check_key_size", "decode_private_key", "is_identification"]

APP = "sshd"
"""The service that speaks SSH."""
USER = "work"
"""Whom to log in as, where the list of services does not say."""
KEY_FILE = "id_container"
"""File in the work folder with a private key that the service accepts."""
_MAX_KEY_BYTES = 64 * 1024
_BEGIN, _END = "-----BEGIN ", "PRIVATE KEY-----"


def is_identification(line: bytes) -> bool:
    """Whether this is what an SSH server says first (RFC 4253, section 4.2).

    Args:
        line: the beginning of its output.
    """
    return line.startswith(b"SSH-")


def check_key_size(size: int) -> None:
    """Refuse what is too large for a private key, before it is received.

    Args:
        size: of the file, in bytes.

    Raises:
        RemoteProtocolError: it is too large.
    """
    if size > _MAX_KEY_BYTES:
        raise RemoteProtocolError(
            f"{KEY_FILE} in the kernel has {size} bytes, and a private key {_MAX_KEY_BYTES} at most"
        )


def decode_private_key(content: bytes) -> str:
    """Check a private key, and end it with a newline, without which OpenSSH reads none.

    Args:
        content: the file's content.

    Raises:
        RemoteProtocolError: it is no private key in text form.
    """
    check_key_size(len(content))
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    first = text.partition("\n")[0].strip()
    if not (first.startswith(_BEGIN) and first.endswith(_END)):
        raise RemoteProtocolError(f"{KEY_FILE} in the kernel is not a private key in text form")
    return text + "\n"
