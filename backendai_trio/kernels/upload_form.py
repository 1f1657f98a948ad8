"""The form that uploads a few small files to a kernel."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import trio

from ..files.sources import Upload
from ..transport.client import Client
from ..transport.retry import REPEATED, with_retries
from ..wire.http import Request
from ..wire.multipart import encode_part_head, multipart_type, part_end

__all__ = ["FormFile", "send_form"]


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form."""

    name: str
    """Remote name."""
    content: Upload | bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.size

    def read(self) -> bytes:
        """All of its content. Blocks."""
        if isinstance(self.content, bytes):
            return self.content
        return self.content.read_at(0, self.content.size)


async def send_form(
    client: Client, token: str, files: Sequence[FormFile], *, waits: bool = True
) -> None:
    """Upload files in one request, which is repeated while its failure may pass.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        files: as many and as large as the server takes.
        waits: whether to wait, for `Limits.rate_limited_seconds`, while the server takes no more
            requests of the key pair.

    Raises:
        UploadError: a file cannot be read.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``POST /session/{name}/upload`` (docs/protocol.md, section 5.1).
    """
    boundary = f"backendai-{secrets.token_hex(16)}"
    request = Request(
        "POST", client.era.session_path(token, "upload"), content_type=multipart_type(boundary)
    )
    length = sum(
        len(encode_part_head(file.name, boundary)) + file.size + len(part_end(boundary, last=last))
        for file, last in _with_last(files)
    )

    async def send() -> None:
        async with aclosing(_form_body(files, boundary)) as body:
            await client.call(request, content=body, content_length=length, head_seconds=None)

    repeated = partial(with_retries, send, policy=REPEATED.within(client.limits.retry_seconds))
    await (client.sender.wait_out(repeated) if waits else repeated())


async def _form_body(files: Sequence[FormFile], boundary: str) -> AsyncGenerator[bytes, None]:
    for file, last in _with_last(files):
        data = await trio.to_thread.run_sync(file.read)
        yield encode_part_head(file.name, boundary) + data + part_end(boundary, last=last)


def _with_last(files: Sequence[FormFile]) -> Iterator[tuple[FormFile, bool]]:
    for index, file in enumerate(files, 1):
        yield file, index == len(files)
