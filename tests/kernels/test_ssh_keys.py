"""The private key of a kernel's SSH server, where there is none, and where it cannot be had."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from backendai_trio import (
    ApiError,
    BackendError,
    Client,
    DownloadError,
    KernelSpec,
    NotFound,
    RemoteProtocolError,
    ServerError,
    TrioKernel,
    open_kernel,
)
from backendai_trio.kernels.ssh import private_key_of
from backendai_trio.wire.files import FileInfo, Listing
from backendai_trio.wire.http import JSON, PROBLEM
from backendai_trio.wire.kernel_spec import WORK_FOLDER
from backendai_trio.wire.kernels import CreateReply

from ..transport.servers import reply
from .one_session import FAILED, GONE, ID, REFUSED, Manager, client_of

NO_FILE = reply(400, b'{"type": "invalid-api-params", "title": "The file is not found."}', PROBLEM)
TOO_LARGE = reply(413, b"{}", PROBLEM)
BAD_GATEWAY = reply(502, b"Bad Gateway", "text/plain")


def files(*names: str) -> bytes:
    found = tuple(FileInfo(name, "-rw-------", 1, 0.0) for name in names)
    return reply(200, Listing(found, WORK_FOLDER).encode(), JSON)


@dataclass
class Site(Manager):
    """A manager that answers a download, and a list of files, with these."""

    download: bytes = b""
    listed: bytes = b""

    async def answer(self, head: str) -> bytes:
        path = head.partition("?")[0]
        if path.endswith("/download"):
            return self.download
        return self.listed if path.endswith("/files") else await super().answer(head)


@pytest.mark.parametrize(
    ("download", "listed", "error", "text"),
    [
        (NO_FILE, files("other"), NotFound, "no file id_container .*-i"),
        (FAILED, files(), NotFound, "no file id_container .*-i"),
        (NO_FILE, files("id_container"), DownloadError, "The file is not found"),
        (TOO_LARGE, files("id_container"), DownloadError, "413"),
        (FAILED, FAILED, ServerError, "500"),
        (BAD_GATEWAY, BAD_GATEWAY, ServerError, "502"),
        (GONE, GONE, NotFound, "Gone"),
        (REFUSED, REFUSED, ApiError, "403"),
    ],
    ids=[
        "none", "none-failing", "unreadable", "large", "failing", "away", "gone", "forbidden",
    ],
)  # fmt: skip
async def test_key_that_cannot_be_had(
    download: bytes, listed: bytes, error: type[BackendError], text: str
) -> None:
    """That there is no key is said where there is none, and nowhere else."""
    async with client_of(Site("RUNNING", download=download, listed=listed)) as client:
        kernel = TrioKernel(client, CreateReply("abc", ID, created=False, status="RUNNING"))
        with pytest.raises(error, match=text) as caught:
            await private_key_of(kernel)
        assert type(caught.value) is error or error is ApiError
        assert ("no file" in str(caught.value)) is ("no file" in text)


async def test_a_file_of_any_size_is_not_collected(client: Client) -> None:
    async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
        await kernel.run("import os; open('id_container', 'w').truncate(10**12)")
        with pytest.raises(RemoteProtocolError, match="has 1000000000000 bytes"):
            await private_key_of(kernel)
