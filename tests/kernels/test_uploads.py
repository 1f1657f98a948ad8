"""Files to kernels, in each way."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    KernelSpec,
    QuotaExceeded,
    TrioKernel,
    UploadError,
    open_client,
    open_kernel,
)
from backendai_trio.files import Progress, Upload, UploadStream, plan_uploads
from backendai_trio.gateway import Gateway
from backendai_trio.testing import Reply, open_faulty_network
from backendai_trio.transport.limits import Limits
from backendai_trio.wire.http import PROBLEM

from ..local_kernels import work_folder
from .file_ways import WAYS, files_in, pieces
from .file_ways import gateway as gateway
from .file_ways import kernel as kernel
from .file_ways import tree as tree
from .file_ways import way as way

RATE_LIMIT = Reply(429, b'{"type": "rate-limit-exceeded"}', PROBLEM)


@pytest.mark.parametrize("way", WAYS, indirect=True)
async def test_upload_of_a_tree(kernel: TrioKernel, gateway_parent: Path, tree: Path) -> None:
    await kernel.upload([tree], base=tree.parent, to="deep/er")
    work = work_folder(gateway_parent)
    assert files_in(work / "deep/er/tree") == files_in(tree)
    assert (work / "deep/er/tree/an empty/folder").is_dir()
    assert os.access(work / "deep/er/tree/run.sh", os.X_OK)
    assert [path.name for path in work.iterdir()] == ["deep"]  # and nothing beside it
    # Again, with other content: it replaces.
    (tree / "large").write_bytes(b"small now")
    await kernel.upload([tree], base=tree.parent, to="deep/er")
    assert (work / "deep/er/tree/large").read_bytes() == b"small now"


async def test_cancelled_upload_leaves_nothing(
    client: Client, kernel: TrioKernel, gateway_parent: Path, tree: Path
) -> None:
    work = work_folder(gateway_parent)
    (work / "precious").write_text("mine")
    uploads = plan_uploads([tree], base=tree.parent, recursive=True)
    half = sum(item.size for item in uploads) // 2
    for _ in range(2):
        send, receive = trio.open_memory_channel[Progress](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(kernel.upload, uploads, progress=send))
            done: dict[str, int] = {}
            async for news in receive:
                done[news.name] = news.done
                if sum(done.values()) > half:
                    nursery.cancel_scope.cancel()
                    break
        assert files_in(work) == {"precious": b"mine"}
        assert [path.name for path in work.iterdir()] == ["precious"]
    with trio.fail_after(5):
        staged = True
        while staged:  # the gateway notices that the connection has gone
            await trio.sleep(0.01)
            staged = any(work.parent.glob("*/.backendai-*.part"))


async def test_failing_file_is_named_and_takes_all_with_it(
    kernel: TrioKernel, gateway_parent: Path, tree: Path
) -> None:
    uploads = plan_uploads([tree], base=tree.parent, recursive=True)
    victim = tree / "d3" / "e0" / "3.txt"
    victim.write_bytes(b"longer than when it was planned, by far")
    with pytest.raises(UploadError, match="changed its size") as caught:
        await kernel.upload(uploads)
    assert caught.value.path == str(victim)
    assert files_in(work_folder(gateway_parent)) == {}


async def test_streams(kernel: TrioKernel, gateway_parent: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("file")
    many = UploadStream(pieces(70, 100_000), "many", 7_000_000)
    nothing = UploadStream(pieces(0, 0), "sub/nothing")
    await kernel.upload([tmp_path / "file", many, nothing])
    await kernel.upload_stream("unknown", pieces(3, 5))
    found = files_in(work_folder(gateway_parent))
    assert sorted(found) == ["file", "many", "sub/nothing", "unknown"]
    assert found["many"] == b"".join(bytes([number % 251]) * 100_000 for number in range(70))
    assert (found["sub/nothing"], found["unknown"]) == (b"", b"\0" * 5 + b"\1" * 5 + b"\2" * 5)
    for size in (14, 16):
        with pytest.raises(UploadError, match="another size than"):
            await kernel.upload_stream("wrong", pieces(3, 5), size=size)
    assert "wrong" not in files_in(work_folder(gateway_parent))


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a\0b", "x" * 300, 'a\r\nX: "b"', "a/../../b"]
)
async def test_hostile_names_stay_at_home(
    kernel: TrioKernel, gateway_parent: Path, name: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("x")
    for item in (UploadStream(pieces(1, 1), name), Upload(tmp_path / "x", name, 1)):
        with pytest.raises(UploadError):
            await kernel.upload([item])
        assert files_in(work_folder(gateway_parent)) == {}
        assert not (work_folder(gateway_parent).parent / "evil").exists()


def test_links_and_pipes_in_folders(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    for name, target in (("out", tmp_path / "secret"), ("dangling", "missing"), ("loop", ".")):
        (folder / name).symlink_to(target)
        with pytest.raises(UploadError, match="symbolic link") as caught:
            plan_uploads([folder], base=tmp_path, recursive=True)
        assert caught.value.path == str(folder / name)
        (folder / name).unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(UploadError, match="not a regular file"):
        plan_uploads([folder], base=tmp_path, recursive=True)
    with pytest.raises(UploadError, match="it is a folder"):
        plan_uploads([folder])


async def test_upload_outlasts_a_restart(
    gateway: Gateway, gateway_parent: Path, tree: Path
) -> None:
    """It is repeated for `Limits.retry_seconds`, however often that is."""
    limits = Limits(retry_seconds=12.0)
    async with (
        open_faulty_network(gateway.config) as network,
        open_client(network.config, limits=limits) as client,
        open_kernel(client, KernelSpec(runtime="python")) as kernel,
    ):
        network.inject(Reply(503), times=5, matching="(upload|archive)")
        await kernel.upload([tree / "run.sh"], base=tree)
        assert len(network.hits) == 5
        assert files_in(work_folder(gateway_parent)) == {"run.sh": b"#!/bin/sh\necho ran\n"}


async def test_upload_outlasts_a_rate_limit(
    gateway: Gateway, gateway_parent: Path, tree: Path
) -> None:
    """And a restart meanwhile."""
    async with (
        open_faulty_network(gateway.config) as network,
        open_client(network.config, limits=Limits(rate_limited_seconds=12.0)) as client,
        open_kernel(client, KernelSpec(runtime="python")) as kernel,
    ):
        for fault in (RATE_LIMIT, Reply(503), RATE_LIMIT):
            network.inject(fault, matching="(upload|archive)")
        await kernel.upload([tree / "run.sh"], base=tree)
        assert len(network.hits) == 3
        assert files_in(work_folder(gateway_parent)) == {"run.sh": b"#!/bin/sh\necho ran\n"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_rate_limit_that_lasts(
    gateway: Gateway, gateway_parent: Path, tree: Path, way: str, streamed: bool
) -> None:
    """It is waited out for as long as the client may, unless the source can be read only once."""
    async with (
        open_faulty_network(gateway.config) as network,
        open_client(network.config, limits=Limits(rate_limited_seconds=0.5)) as client,
        open_kernel(client, KernelSpec(runtime="python")) as kernel,
    ):
        network.inject(RATE_LIMIT, times=None, matching="(upload|archive)")
        with pytest.raises(QuotaExceeded) as caught:
            if streamed:
                await kernel.upload_stream("x", pieces(3, 5))
            else:
                await kernel.upload([tree / "run.sh"], base=tree)
        assert "ask for a higher rate limit" in (caught.value.advice or "")
        if streamed and way == "archives":
            assert len(network.hits) == 1
        else:
            assert len(network.hits) > 1
        assert files_in(work_folder(gateway_parent)) == {}
