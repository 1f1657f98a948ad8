"""Files from kernels, and what else is done with them, in each way."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    DownloadError,
    ExecutionError,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    ServerError,
    TrioKernel,
    UploadError,
    open_kernel,
)
from backendai_trio.files import Progress
from backendai_trio.wire.http import Request
from backendai_trio.wire.kernel_spec import WORK_FOLDER

from ..local_kernels import work_folder
from .file_ways import files_in, pieces
from .file_ways import gateway as gateway
from .file_ways import kernel as kernel
from .file_ways import tree as tree
from .file_ways import way as way


@pytest.mark.parametrize("way", ["archives", "seed-archives"], indirect=True)
async def test_download_of_a_tree(kernel: TrioKernel, tree: Path, tmp_path: Path) -> None:
    await kernel.upload([tree], base=tree.parent)
    into = tmp_path / "new" / "place"
    assert await kernel.download(["tree"], into) == [into / "tree"]
    assert files_in(into / "tree") == files_in(tree)
    assert (into / "tree" / "an empty" / "folder").is_dir()
    assert [path.name for path in into.iterdir()] == ["tree"]
    (into / "tree" / "-n").write_text("changed here")
    before = files_in(into)
    with pytest.raises(DownloadError, match="exists already"):
        await kernel.download(["tree"], into)
    assert files_in(into) == before
    await kernel.download(["tree"], into, overwrite=True)
    assert files_in(into / "tree") == files_in(tree)


async def test_download_of_files(kernel: TrioKernel, tmp_path: Path) -> None:
    paths = []
    for number in range(7):  # managers take 5 at a time
        paths.append(tmp_path / f"{number}.txt")
        paths[-1].write_text(f"content {number}")
    await kernel.upload(paths, base=tmp_path)
    into = tmp_path / "into"
    await kernel.download([path.name for path in paths], into)
    assert files_in(into) == {path.name: path.read_bytes() for path in paths}
    await kernel.download_as("3.txt", tmp_path / "named")
    assert (tmp_path / "named").read_text() == "content 3"
    async with kernel.open_download("3.txt") as stream:
        assert stream.size == 9
        assert b"".join([piece async for piece in stream]) == b"content 3"
    with pytest.raises((InvalidRequest, DownloadError), match="missing"):
        await kernel.download(["missing"], into)
    assert not list(into.glob(".*"))


@pytest.mark.parametrize("way", ["archives"], indirect=True)
async def test_a_piece_of_a_download_that_was_given_up_is_missed(kernel: TrioKernel) -> None:
    """What was cancelled must not look like the end."""
    await kernel.upload_stream("large", pieces(20, 100_000))
    async with kernel.open_download("large") as stream:
        await anext(stream)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(stream)
        with pytest.raises(LocalProtocolError, match="is lost"):
            await anext(stream)


@pytest.mark.parametrize("way", ["manager"], indirect=True)
async def test_what_managers_do_not_send(kernel: TrioKernel, tmp_path: Path) -> None:
    await kernel.upload_stream("large", pieces(20, 100_000))
    with pytest.raises(DownloadError, match="virtual folder"):
        await kernel.download(["large"], tmp_path / "into")


@pytest.mark.parametrize("way", ["manager"], indirect=True)
async def test_kernel_that_cannot_join(
    client: Client, kernel: TrioKernel, gateway_parent: Path, tree: Path
) -> None:
    work = work_folder(gateway_parent)
    (work / "d1").write_text("a file where a folder must go")
    with pytest.raises(UploadError, match="virtual folder"):
        await kernel.upload([tree], base=tree)
    assert list(files_in(work)) == ["d1"]


@pytest.mark.parametrize("way", ["manager", "seed-manager"], indirect=True)
@pytest.mark.parametrize("missing", ["tar", "sha256sum"])
async def test_kernel_without_a_program_that_unpacks(
    client: Client, gateway_parent: Path, tree: Path, missing: str
) -> None:
    """Its shell finds only the programs of one folder."""
    spec = KernelSpec(runtime="python", environ={"PATH": "./bin"})
    async with open_kernel(client, spec) as kernel:
        work = work_folder(gateway_parent)
        link_programs(work / "bin", missing)
        before = files_in(work)
        with pytest.raises(UploadError, match=missing):
            await kernel.upload([tree], base=tree)
        assert files_in(work) == before


def link_programs(folder: Path, missing: str) -> None:
    """Make a folder of the programs that an upload in parts needs, but for one."""
    folder.mkdir()
    for name in {"sh", "cat", "mkdir", "rm", "sleep", "tar", "sha256sum"} - {missing}:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)


def executable_in(work: Path, folder: str) -> dict[str, bool]:
    """The files below a folder of the only kernel, and whether they may be executed."""
    (root,) = (path for path in work.rglob(folder) if path.is_dir())
    return {
        path.relative_to(root).as_posix(): bool(path.stat().st_mode & 0o111)
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("way", ["manager"], indirect=True)
@pytest.mark.parametrize(
    ("modes", "at_once"),
    [({"a": 0o644, "sub/b": 0o644}, True), ({"a": 0o644, "sub/run": 0o755}, False)],
    ids=["plain", "executable"],
)
async def test_small_folder_in_one_form(
    kernel: TrioKernel,
    tmp_path: Path,
    gateway_parent: Path,
    caplog: pytest.LogCaptureFixture,
    modes: dict[str, int],
    at_once: bool,
) -> None:
    """It needs no program of the kernel's, unless there are permissions to keep."""
    for name, mode in modes.items():
        path = tmp_path / "up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
    caplog.set_level(logging.DEBUG, "backendai_trio.http")
    await kernel.upload([tmp_path / "up"], base=tmp_path)
    requests = [record.getMessage().split()[:2] for record in caplog.records]
    uploads = [path for _, path in requests if path.endswith("/upload")]
    assert (len(uploads) == 1 and len(requests) == 1) is at_once
    found = executable_in(work_folder(gateway_parent), "up")
    assert found == {name: bool(mode & 0o111) for name, mode in modes.items()}


@pytest.mark.parametrize("way", ["manager"], indirect=True)
async def test_smaller_parts_where_a_manager_refuses_large_ones(
    client: Client, kernel: TrioKernel, gateway_parent: Path, tree: Path
) -> None:
    """As managers up to 1.3.10 do with files that have not arrived at their first read."""
    era = replace(client.era, upload_max_bytes=3_000_000, upload_safe_bytes=300_000)
    client.era = era  # the gateway takes less than 1 MiB
    await kernel.upload([tree], base=tree)
    assert files_in(work_folder(gateway_parent)) == files_in(tree)


@pytest.mark.parametrize("way", ["archives", "manager"], indirect=True)
async def test_links_can_be_kept(kernel: TrioKernel, gateway_parent: Path, tree: Path) -> None:
    (tree / "same").symlink_to("d1")
    await kernel.upload([tree], base=tree, links="keep")
    work = work_folder(gateway_parent)
    assert (work / "same").readlink() == Path("d1")
    assert (work / "link").readlink() == Path("run.sh")


@pytest.mark.parametrize("way", ["manager"], indirect=True)
@pytest.mark.parametrize("runtime", ["python", "bash"])
async def test_commands_on_managers_that_lose_the_end_of_batch_runs(
    client: Client, gateway_parent: Path, runtime: str, tree: Path
) -> None:
    client.hello = replace(client.hello, manager="25.12.0")
    async with open_kernel(client, KernelSpec(runtime=runtime)) as kernel:
        await kernel.upload([tree], base=tree)
        assert files_in(work_folder(gateway_parent)) == files_in(tree)
        await kernel.mkdir("a 'b'/c")
        assert (work_folder(gateway_parent) / "a 'b'" / "c").is_dir()
        with pytest.raises(ExecutionError, match="missing"):
            await kernel.remove(["missing"])


async def test_downloads_onto_links_and_pipes(
    kernel: TrioKernel, gateway_parent: Path, tmp_path: Path
) -> None:
    (work_folder(gateway_parent) / "file").write_text("new")
    behind, link, pipe = (tmp_path / name for name in ("behind", "link", "pipe"))
    behind.write_text("old")
    behind.chmod(0o640)
    link.symlink_to("behind")
    os.mkfifo(pipe)
    with pytest.raises(DownloadError, match="exists already"):
        await kernel.download_as("file", link)
    await kernel.download_as("file", link, overwrite=True)
    assert link.is_symlink() and behind.read_text() == "new"
    assert behind.stat().st_mode & 0o777 == 0o640
    with pytest.raises(DownloadError, match="a pipe"):
        await kernel.download_as("file", pipe, overwrite=True)
    assert pipe.is_fifo()


async def test_links_of_the_kernel_lead_nowhere(
    kernel: TrioKernel, gateway_parent: Path, tmp_path: Path
) -> None:
    work = work_folder(gateway_parent)
    (tmp_path / "secret").write_text("secret")
    (work / "out").symlink_to(tmp_path)
    (work / "file").symlink_to(tmp_path / "secret")
    for path in ("out/secret", "file", "../tmp", "/etc/passwd"):
        with pytest.raises((ServerError, DownloadError)):
            await kernel.download([path], tmp_path / "into")
    assert not files_in(tmp_path / "into")
    with pytest.raises(ServerError, match="leads out"):
        await kernel.list_files("out")


async def test_list_digests_remove_and_mkdir(kernel: TrioKernel, tree: Path) -> None:
    await kernel.upload([tree], base=tree.parent)
    listing = await kernel.list_files("tree")
    assert listing.path.removeprefix(WORK_FOLDER) == "/tree"
    assert {file.name for file in listing.files} == set(os.listdir(tree))
    by_name = {file.name: file for file in listing.files}
    assert by_name["large"].size == 10 * 1024 * 1024
    assert by_name["d1"].is_folder and not by_name["large"].is_folder
    assert (await kernel.list_files("missing")).problem
    digests = {item.name: (item.size, item.sha256) for item in await kernel.list_digests("tree")}
    assert digests == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files_in(tree).items()
    }
    assert await kernel.list_digests("missing") == []
    await kernel.mkdir("one/two")
    await kernel.mkdir("one/two")
    await kernel.remove(["tree/large", "one"], recursive=True)
    assert [file.name for file in (await kernel.list_files()).files] == ["tree"]
    assert "large" not in {file.name for file in (await kernel.list_files("tree")).files}


@pytest.mark.parametrize("way", ["archives"], indirect=True)
async def test_progress_ends_with_every_file_complete(kernel: TrioKernel, tree: Path) -> None:
    send, receive = trio.open_memory_channel[Progress](0)
    complete: dict[str, int] = {}

    async def upload() -> None:
        async with send:
            await kernel.upload([tree], base=tree, progress=send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(upload)
        async for news in receive:
            if news.complete:
                complete[news.name] = news.done
    assert complete == {name: len(data) for name, data in files_in(tree).items()}


@pytest.mark.parametrize("way", ["archives"], indirect=True)
async def test_altered_archive_changes_nothing(
    client: Client, kernel: TrioKernel, gateway_parent: Path
) -> None:
    from backendai_trio.wire.archives import END, TAR, Entry, encode_entry, encode_seal

    content = b"x" * 512
    body = encode_entry(Entry("file", "file", 512)) + content + END
    good = encode_seal(hashlib.sha256(body).hexdigest())
    path = client.era.session_path(kernel.token, "archive")
    for sent in (body, body[:700], body + encode_seal("0" * 64), b"", b"x" * 1024):
        with pytest.raises(InvalidRequest):
            await client.call(Request("PUT", path, body=sent, content_type=TAR))
    assert files_in(work_folder(gateway_parent)) == {}
    await client.call(Request("PUT", path, body=body + good, content_type=TAR))
    assert files_in(work_folder(gateway_parent)) == {"file": content}
