"""Files in a kernel: list, compare, remove.

Managers can only list files, so everything else is a shell command in the kernel there.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import LocalProtocolError, RemoteProtocolError
from ..transport.client import Client
from ..wire.files import (
    ARCHIVES,
    FileDigest,
    Listing,
    PathsRequest,
    decode_digests,
)
from ..wire.http import JSON, Request
from ..wire.json_fields import encode_json
from ..wire.multipart import received_name
from .shell import run_shell, shell_word

__all__ = ["list_digests", "list_files", "make_folder", "remove_files"]


async def list_files(client: Client, token: str, path: str) -> Listing:
    """List a folder of a kernel; see `TrioKernel.list_files`."""
    if client.era.prefix and not client.has(ARCHIVES):
        raise LocalProtocolError("this server cannot list files (managers can from 1.4 on)")
    endpoint = client.era.session_path(token, "files")
    reply = await client.call(PathsRequest((path,)).request("GET", endpoint, "path"))
    return Listing.decode(reply.body)


async def list_digests(client: Client, token: str, path: str) -> list[FileDigest]:
    """All regular files below a folder, with their digests; see `TrioKernel.list_digests`."""
    if client.has(ARCHIVES):
        endpoint = client.era.session_path(token, "files", "digests")
        request = PathsRequest((path,)).request("POST", endpoint, "path")
        return decode_digests((await client.call(request, head_seconds=None)).body)
    folder = shell_word(path)
    output = await run_shell(
        client,
        token,
        f"[ ! -d {folder} ] || (cd {folder} && find . -type f -exec wc -c {{}} \\; "
        "-exec sha256sum {} \\;)",
    )
    return _parse_digests(output)


async def make_folder(client: Client, token: str, path: str) -> None:
    """Make a folder; see `TrioKernel.mkdir`."""
    if client.has(ARCHIVES):
        endpoint = client.era.session_path(token, "files", "mkdir")
        await client.call(PathsRequest((path,)).request("POST", endpoint, "path"))
    else:
        await run_shell(client, token, f"mkdir -p {shell_word(path)}")


async def remove_files(
    client: Client, token: str, paths: Sequence[str], *, recursive: bool
) -> None:
    """Remove files; see `TrioKernel.remove`."""
    if client.has(ARCHIVES):
        endpoint = client.era.session_path(token, "files", "remove")
        body = encode_json({"files": list(paths), "recursive": recursive})
        await client.call(Request("POST", endpoint, (), body, JSON))
        return
    words = " ".join(map(shell_word, paths))
    all_exist = " && ".join(f"ls -d {shell_word(path)} >/dev/null" for path in paths)
    await run_shell(client, token, f"{all_exist} && rm {'-rf' if recursive else '-f'} {words}")


def _parse_digests(output: str) -> list[FileDigest]:
    """Read pairs of lines of `wc -c` and `sha256sum`. A file whose name sha256sum escapes, since it
    has a line end or a backslash in it, is left out."""
    lines = output.splitlines()
    digests = []
    for first, second in zip(lines[::2], lines[1::2], strict=False):
        size, _, _ = first.strip().partition(" ")
        digest, _, name = second.partition("  ./")
        if not size.isdigit() or len(digest.lstrip("\\")) != 64:
            raise RemoteProtocolError(f"list of digests: malformed line {second[:80]!r}")
        if not digest.startswith("\\"):
            name = received_name(name, "list of digests")
            digests.append(FileDigest(name, int(size), digest))
    return digests
