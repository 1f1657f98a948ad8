"""Transfers of virtual folders that break off, and go on where they stopped."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    ApiError,
    QuotaExceeded,
    TrioVFolder,
    UploadError,
    create_vfolder,
    open_client,
)
from backendai_trio.files import Progress, plan_uploads
from backendai_trio.files.progress import ProgressReporter
from backendai_trio.gateway import Gateway
from backendai_trio.gateway.refusals import Refused
from backendai_trio.gateway.storage import vfolder_files
from backendai_trio.gateway.storage.index import Folder
from backendai_trio.gateway.storage.tus import TusUploads
from backendai_trio.testing import Reply, open_faulty_network
from backendai_trio.transport.limits import Limits
from backendai_trio.vfolders.upload import upload_files
from backendai_trio.wire.http import PROBLEM
from backendai_trio.wire.storage_proxy import PatchHead, TusState
from backendai_trio.wire.versions import SEED, SESSION_5, SESSION_6, Era

from ..proxies import through_proxy
from .folders import files_in, opened, tree
from .tus import begun, patch

RATE_LIMIT = Reply(429, b'{"type": "rate-limit-exceeded"}', PROBLEM)


@pytest.mark.parametrize("checked", [True, False], ids=["checksums", "no checksums"])
@pytest.mark.parametrize("seed", range(4))
async def test_transfers_go_on_where_they_stopped(
    gateway: Gateway,
    seed: int,
    checked: bool,
    tmp_path: Path,
) -> None:
    size = 8_000_000
    content = random.Random(seed).randbytes(size)
    (tmp_path / "big").write_bytes(content)
    async with through_proxy(gateway, seed) as (proxy, client):
        if not checked:
            client.hello = replace(client.hello, features=frozenset())
        folder = await create_vfolder(client, "data")
        before = proxy.passed
        proxy.plan(4, size)
        await upload_files(
            client,
            "data",
            plan_uploads([tmp_path / "big"], base=tmp_path),
            to="",
            reporter=ProgressReporter(None),
            patch_size=1_000_000,
        )
        assert not proxy.cuts
        # Had each break meant a new beginning, it would have been far more.
        assert proxy.passed - before < size + 5 * 1_100_000
        before = proxy.passed
        proxy.plan(4, size)
        await folder.download(["big"], tmp_path / "back")
        assert not proxy.cuts
        assert proxy.passed - before < size + 3_000_000
    assert (tmp_path / "back" / "big").read_bytes() == content


async def test_a_file_that_changes_between_two_parts_is_fetched_anew(
    data: Path, tmp_path: Path
) -> None:
    old, new = b"old" * 2_000_000, b"new!" * 2_000_000
    async with opened(data=data) as (gateway, direct):
        await create_vfolder(direct, "data")
        stored = files_in(data) / "file"
        stored.write_bytes(old)
        async with through_proxy(gateway, 1) as (proxy, client):
            send, receive = trio.open_memory_channel[Progress](0)

            async def listen() -> None:
                async with receive:
                    await receive.receive()
                    stored.with_name("next").write_bytes(new)
                    stored.with_name("next").replace(stored)
                    proxy.cut()
                    async for _ in receive:
                        pass

            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                async with send:
                    await TrioVFolder(client, "data").download(["file"], tmp_path, progress=send)
    assert (tmp_path / "file").read_bytes() == new


async def test_tus_as_it_stands(data: Path) -> None:
    async with opened(data=data) as (_, client):
        await create_vfolder(client, "data")
        head, piece, address = await begun(client, "file", 6)
        assert await patch(client, piece, address, b"abc", PatchHead(0)) == 3
        with pytest.raises(ApiError) as caught:
            await patch(client, piece, address, b"abc", PatchHead(2))
        assert caught.value.status == 409
        with pytest.raises(ApiError) as caught:
            await patch(client, piece, address, b"defg", PatchHead(3))
        assert caught.value.status == 413
        wrong = PatchHead(3, hashlib.sha256(b"other").digest())
        with pytest.raises(ApiError) as caught:
            await patch(client, piece, address, b"def", wrong)
        assert caught.value.status == 460
        assert not (files_in(data) / "file").exists()
        async with client.request(head, to=address) as reply:  # type: ignore[arg-type]
            assert TusState.decode(reply.headers) == TusState(3, 6)
        right = PatchHead(3, hashlib.sha256(b"def").digest())
        assert await patch(client, piece, address, b"def", right) == 6
        assert (files_in(data) / "file").read_bytes() == b"abcdef"
        async with client.request(head, to=address) as reply:  # type: ignore[arg-type]
            assert TusState.decode(reply.headers) == TusState(6, 6)


@pytest.mark.parametrize("moved", [False, True])
async def test_a_file_that_got_no_name_gets_it(
    moved: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it has come, says HEAD, and yet it is not there: a storage proxy failed to move it, or
    moved it and could not say so."""
    place, failures = vfolder_files.place_upload, [OSError("no"), OSError("not yet")][moved:]

    def fail_at_first(root: Path, path: str, source: Path) -> None:
        if moved or not failures:
            place(root, path, source)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(vfolder_files, "place_upload", fail_at_first)
    (tmp_path / "file").write_bytes(b"abcdef")
    async with opened(data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload([tmp_path / "file"], base=tmp_path)
    assert not failures
    assert (files_in(data) / "file").read_bytes() == b"abcdef"


@pytest.mark.parametrize(
    "era", [SESSION_5, SESSION_6], ids=["500-of-a-manager", "400-of-a-storage-proxy"]
)
async def test_uploads_that_begin_while_others_end(
    era: Era, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers fail to begin an upload in a folder of open ones that was just removed."""
    begin, failures = TusUploads.begin, [True, False, True, True, False]

    async def race(self: TusUploads, folder: Folder, path: str, size: int) -> str:
        if failures and failures.pop():
            if era == SESSION_5:
                raise Refused(500, "internal-server-error", "Internal server error")
            raise Refused(400, "vfolder-operation-failed", "No such file or directory")
        return await begin(self, folder, path, size)

    monkeypatch.setattr(TusUploads, "begin", race)
    for number in range(8):
        (tmp_path / f"{number}").write_bytes(b"%d" % number)
    paths = [tmp_path / f"{number}" for number in range(8)]
    async with opened(era, data=data) as (_, client):
        await (await create_vfolder(client, "data")).upload(paths, base=tmp_path)
        assert not failures
        assert len(tree(files_in(data))) == 8
        failures += [True] * 1000
        with pytest.raises(UploadError, match="0"), trio.fail_after(20):
            await TrioVFolder(client, "data").upload(paths[:1], base=tmp_path)
        assert 990 < len(failures) < 999  # it was tried again, a few times


@pytest.mark.parametrize(
    ("era", "request_line"),
    [(SEED, "^POST .*/upload"), (SESSION_5, "^PATCH "), (SESSION_6, "^POST .*/request-upload")],
    ids=["form", "part", "token"],
)
async def test_upload_outlasts_a_rate_limit(
    era: Era, request_line: str, data: Path, tmp_path: Path
) -> None:
    content = b"abc" * 1000
    (tmp_path / "file").write_bytes(content)
    async with (
        opened(era, data=data) as (gateway, _),
        open_faulty_network(gateway.config) as network,
        open_client(network.config, limits=Limits(rate_limited_seconds=12.0)) as client,
    ):
        folder = await create_vfolder(client, "data")
        network.inject(RATE_LIMIT, times=2, matching=request_line)
        await folder.upload([tmp_path / "file"], base=tmp_path)
        assert len(network.hits) == 2
    assert (files_in(data) / "file").read_bytes() == content


@pytest.mark.parametrize(
    ("era", "request_line"),
    [
        (SEED, "^POST .*/upload"),
        (SESSION_5, "^POST .*/create_upload_session"),
        (SESSION_5, "^PATCH "),
        (SESSION_6, "^POST .*/request-upload"),
        (SESSION_5, "^POST .*/request_download"),
        (SESSION_6, "^POST .*/request-download"),
    ],
)
async def test_rate_limit_is_waited_out_once(
    era: Era, request_line: str, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the pauses of a rate limit, and not again with those of a transfer."""
    (tmp_path / "file").write_bytes(b"abc")
    async with (
        opened(era, data=data) as (gateway, _),
        open_faulty_network(gateway.config) as network,
        open_client(network.config, limits=Limits(rate_limited_seconds=0.5)) as client,
    ):
        folder = await create_vfolder(client, "data")
        if "download" in request_line:
            await folder.upload([tmp_path / "file"], base=tmp_path)
        network.inject(RATE_LIMIT, times=None, matching=request_line)
        with pytest.raises(QuotaExceeded):
            if "download" in request_line:
                await folder.download(["file"], tmp_path / "back")
            else:
                await folder.upload([tmp_path / "file"], base=tmp_path)
    waits = [line for line in caplog.messages if "takes no more requests" in line]
    assert len(waits) == 1
