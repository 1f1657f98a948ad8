"""Logging in to kernels with SSH: the service, the user and the key."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from ..errors import ApiError, BackendError, ConnectionFailed, DownloadError, NotFound
from ..wire import ssh
from .app_list import find_app
from .app_stream import open_app_stream
from .kernel import TrioKernel

__all__ = ["SshLogin", "private_key_of", "ssh_login"]

_IDENTIFICATION_SECONDS = 30.0
_IDENTIFICATION_BYTES = 255


@dataclass(frozen=True, slots=True)
class SshLogin:
    """How to log in to a kernel. Made by `ssh_login`."""

    user: str
    """Whom to log in as."""
    private_key: str = field(repr=False)
    """The key, in the text form that OpenSSH reads; empty if none was asked for."""


async def ssh_login(kernel: TrioKernel, *, fetch_key: bool = True) -> SshLogin:
    """Start a kernel's SSH server, and find out how to log in to it.

    Connect with `open_app_stream` or `open_app` and the service ``sshd``. The server's own key is
    not told: that it is the right server follows from the connection to the manager.

    Args:
        kernel: the kernel.
        fetch_key: whether to fetch the kernel's own private key; not needed where one of the user's
            own keys is accepted.

    Returns:
        The user, and the key.

    Raises:
        NotFound: the kernel is gone, offers no ``sshd``, or has no key.
        RemoteProtocolError: the key is malformed, or too large.
        ConnectionFailed: the server could not be reached, or what it calls ``sshd`` does not speak
            SSH.
        DownloadError: the kernel has a key, and the server does not send it.
        ApiError: the server refused or failed, e.g. to start the service.

    Endpoint: ``GET /stream/session/{name}/apps``, a WebSocket
    ``/stream/session/{name}/tcpproxy?app=sshd``, then a download (docs/protocol.md, section 6.6).
    """
    try:
        user = (await find_app(kernel, ssh.APP)).user
    except NotFound as exc:
        if exc.kind == "app-not-found":
            await _check_identification(kernel)  # noqa: ASYNC120 (the server says why)
        raise
    await _check_identification(kernel)
    key = await private_key_of(kernel) if fetch_key else ""
    return SshLogin(user or ssh.USER, key)


async def _check_identification(kernel: TrioKernel) -> None:
    """Connect once: that starts the service."""
    said = b""
    with trio.move_on_after(_IDENTIFICATION_SECONDS):
        async with open_app_stream(kernel, ssh.APP) as stream:
            try:
                while b"\n" not in said and len(said) < _IDENTIFICATION_BYTES:
                    if not (data := await stream.receive_some()):
                        break
                    said += data
            except trio.BrokenResourceError as exc:
                if isinstance(exc.__cause__, BackendError):
                    raise exc.__cause__ from None
    if not ssh.is_identification(said):
        raise ConnectionFailed(
            f"the service {ssh.APP} of kernel {kernel.token} does not speak SSH (it began with "
            f"{said[:40]!r}); try again, or restart the kernel"
        )


async def private_key_of(kernel: TrioKernel) -> str:
    """The kernel's own private key.

    Args:
        kernel: the kernel.

    Returns:
        The key, in the text form that OpenSSH reads.

    Raises:
        NotFound: the kernel is gone, or has no key.
        RemoteProtocolError: the key is malformed, or too large.
        DownloadError: the kernel has a key, and the server does not send it.
        ApiError, ConnectionFailed: the server does not say whether there is a key.

    Endpoint: a download (docs/protocol.md, sections 5.3 and 6.6).
    """
    content = b""
    try:
        async with kernel.open_download(ssh.KEY_FILE) as stream:
            ssh.check_key_size(stream.size)
            async for data in stream:
                content += data
    except (ApiError, DownloadError) as exc:
        # Managers answer to a file that is not there as to what they fail to do.
        listing = await kernel.list_files()  # noqa: ASYNC120 (its own failure tells more)
        if listing.problem or any(file.name == ssh.KEY_FILE for file in listing.files):
            raise
        raise NotFound(
            404,
            kind="object-not-found",
            title=f"kernel {kernel.token} has no file {ssh.KEY_FILE} in its work folder, where its "
            "private key should be; use a key of your own that it accepts (-i)",
        ) from exc
    return ssh.decode_private_key(content)
