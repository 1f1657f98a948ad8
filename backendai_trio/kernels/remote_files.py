"""Files in a kernel: listed, compared, removed.

Managers can list alone, so the rest runs as a command in the kernel there.
"""

from __future__ import annotations

import shlex
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
from .shell import run_command

__all__ = ["list_digests", "list_files", "make_folder", "remove_files"]


async def list_files(client: Client, token: str, path: str) -> Listing:
    """What is in a folder; see `TrioKernel.list_files`."""
    if client.era.prefix and not client.has(ARCHIVES):
        raise LocalProtocolError("this server cannot list files (that came with 1.4)")
    where = client.era.session_path(token, "files")
    reply = await client.call(PathsRequest((path,)).request("GET", where, "path"))
    return Listing.decode(reply.body)


async def list_digests(client: Client, token: str, path: str) -> list[FileDigest]:
    """All files below a folder with their digests; see `TrioKernel.list_digests`."""
    if client.has(ARCHIVES):
        where = client.era.session_path(token, "files", "digests")
        request = PathsRequest((path,)).request("POST", where, "path")
        return decode_digests((await client.call(request, answer_seconds=None)).body)
    there = _word(path)
    said = await run_command(
        client,
        token,
        f"[ ! -d {there} ] || (cd {there} && find . -type f -exec wc -c {{}} \\; "
        "-exec sha256sum {} \\;)",
    )
    return _digests_in(said)


async def make_folder(client: Client, token: str, path: str) -> None:
    """Make a folder; see `TrioKernel.mkdir`."""
    if client.has(ARCHIVES):
        where = client.era.session_path(token, "files", "mkdir")
        await client.call(PathsRequest((path,)).request("POST", where, "path"))
    else:
        await run_command(client, token, f"mkdir -p {_word(path)}")


async def remove_files(
    client: Client, token: str, paths: Sequence[str], *, recursive: bool
) -> None:
    """Remove files; see `TrioKernel.remove`."""
    if client.has(ARCHIVES):
        where = client.era.session_path(token, "files", "remove")
        body = encode_json({"files": list(paths), "recursive": recursive})
        await client.call(Request("POST", where, (), body, JSON))
        return
    words = " ".join(map(_word, paths))
    there = " && ".join(f"ls -d {_word(path)} >/dev/null" for path in paths)
    await run_command(client, token, f"{there} && rm {'-rf' if recursive else '-f'} {words}")


def _word(path: str) -> str:
    """A path as a word of the shell that is no option."""
    if "\0" in path:
        raise LocalProtocolError(f"{path!r} has a NUL character in it")
    return shlex.quote(path if path.startswith("/") else f"./{path}")


def _digests_in(said: str) -> list[FileDigest]:
    """Pairs of lines, of `wc -c` and of `sha256sum`; names with odd characters are left out."""
    lines = said.splitlines()
    found = []
    for first, second in zip(lines[::2], lines[1::2], strict=False):
        size, _, _ = first.strip().partition(" ")
        digest, _, name = second.partition("  ./")
        if not size.isdigit() or len(digest.lstrip("\\")) != 64:
            raise RemoteProtocolError(f"list of digests: not understood: {second[:80]!r}")
        if not digest.startswith("\\"):
            found.append(FileDigest(received_name(name, "list of digests"), int(size), digest))
    return found
