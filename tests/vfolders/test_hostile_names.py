"""Names, links and devices by which a client or a server might reach other files."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    ApiError,
    BackendError,
    Client,
    DownloadError,
    InvalidRequest,
    UploadError,
    create_vfolder,
)
from backendai_trio.files import Upload, plan_uploads
from backendai_trio.files.progress import ProgressReporter
from backendai_trio.kernels import FileInfo
from backendai_trio.vfolders.download import download_files
from backendai_trio.wire.http import Request
from backendai_trio.wire.storage_proxy import PatchHead
from backendai_trio.wire.versions import SEED, SESSION_6, Era
from backendai_trio.wire.vfolder_files import FileRequest

from .folders import files_in, opened, tree
from .tus import begun, patch

HOSTILE = [
    "..",
    "../up",
    "a/../../up",
    "nul\0byte",
    "x" * 300,
    "cr\r\nX-Injected: 1",
    "back\\slash",
    "../../../../etc/passwd",
    "\ud800",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_paths_are_refused_by_the_gateway(data: Path, name: str) -> None:
    async with opened(data=data) as (_, client):
        await create_vfolder(client, "data")
        (files_in(data) / "mine").write_text("mine")
        before = tree(data / "vfolders")
        for method, tail, body in (
            ("POST", "request-upload", {"path": name, "size": 0}),
            ("POST", "create_upload_session", {"path": name, "size": 3}),
            ("POST", "request-download", {"path": name}),
            ("POST", "mkdir", {"path": name, "parents": True}),
            ("POST", "move-file", {"src": "mine", "dst": name}),
            ("POST", "move-file", {"src": name, "dst": "mine"}),
            ("POST", "rename-file", {"target_path": "mine", "new_name": name}),
            ("DELETE", "delete-files", {"files": ["mine", name], "recursive": True}),
            ("GET", "files", {"path": name}),
        ):
            request = Request(
                method,
                client.era.folder_path("data", tail),
                (),
                json.dumps(body).encode(),
                "application/json",
            )
            with pytest.raises(ApiError) as caught:
                await client.call(request)
            assert caught.value.status in (400, 404), (tail, caught.value)
        after = tree(data / "vfolders")
        index = {name for name in after if name.startswith("index")}
        assert {k: v for k, v in after.items() if k not in index} == {
            k: v for k, v in before.items() if k not in index
        }
        assert not (data / "up").exists() and not (data / "vfolders" / "up").exists()


@pytest.mark.parametrize("folder", ["..", "../..", "a/../../..", "nul\0", "link"])
async def test_hostile_folder_of_a_piece(data: Path, tmp_path: Path, folder: str) -> None:
    """``dst_dir``, which comes with each piece."""
    async with opened(data=data) as (_, client):
        await create_vfolder(client, "data")
        (files_in(data) / "link").symlink_to(tmp_path)
        _, piece, address = await begun(client, "file", 3)
        piece = replace(piece, query=(*piece.query, ("dst_dir", folder)))
        with pytest.raises(ApiError) as caught:
            await patch(client, piece, address, b"abc", PatchHead(0))
        assert caught.value.status == 400
        assert not (tmp_path / "file").exists() and not (data / "file").exists()


@pytest.mark.parametrize("name", ['qu"ote', "semi;colon", "per%0d%0acent", "ü\u202e", " ", "-rf"])
@pytest.mark.parametrize("era", [SEED, SESSION_6], ids=lambda e: e.name)
async def test_odd_names_arrive_as_they_are(
    data: Path, tmp_path: Path, name: str, era: Era
) -> None:
    (tmp_path / name).write_text("odd")
    async with opened(era, data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([tmp_path / name], base=tmp_path))
        assert (files_in(data) / name).read_text() == "odd"
        if era is SESSION_6:
            await folder.download([name], tmp_path / "back")
            assert (tmp_path / "back" / name).read_text() == "odd"


async def test_links_and_devices_in_a_folder(data: Path, tmp_path: Path) -> None:
    """What a kernel may leave there: nothing of it leads the gateway out, or hangs it."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    outside = tmp_path / "outside"
    outside.mkdir()
    async with opened(data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        files = files_in(data)
        (files / "link").symlink_to(secret)
        (files / "dirlink").symlink_to(outside)
        (files / "null").symlink_to("/dev/zero")
        os.mkfifo(files / "pipe")
        os.link(secret, files / "hard")
        for name in ("link", "null", "pipe"):
            path = client.era.folder_path("data", "request-download")
            body = FileRequest(name).encode(client.era)
            with pytest.raises(InvalidRequest):
                await client.call(Request("POST", path, (), body, "application/json"))
            with pytest.raises(DownloadError, match="not a regular file"):
                await folder.download([name], tmp_path / "back")
        with pytest.raises(InvalidRequest):
            await folder.list_files("dirlink")
        with pytest.raises(InvalidRequest):
            await folder.mkdir("dirlink/x")
        # Writing to their names replaces the links, and leaves what they led to alone.
        mine = tmp_path / "mine"
        mine.mkdir()
        for name in ("link", "hard", "null", "pipe"):
            (mine / name).write_text("new")
        await folder.upload(plan_uploads([mine], base=mine, recursive=True))
        assert secret.read_text() == "secret"
        assert {name: (files / name).read_text() for name in ("link", "hard", "null", "pipe")} == (
            dict.fromkeys(("link", "hard", "null", "pipe"), "new")
        )
        with pytest.raises(UploadError):
            await folder.upload(plan_uploads([mine / "link"], base=mine), to="dirlink")
        assert list(outside.iterdir()) == []
        await folder.remove(["dirlink"], recursive=True)
        assert outside.exists() and not (files / "dirlink").exists()


@pytest.mark.parametrize(
    "name", ["..", "../x", "/etc/x", "a/b", "", ".", "a\0b", "x" * 300, "c\rd"]
)
async def test_hostile_lists_from_a_server(client: Client, tmp_path: Path, name: str) -> None:
    await create_vfolder(client, "data")

    async def lies(_path: str) -> list[FileInfo]:
        await trio.lowlevel.checkpoint()
        return [FileInfo(name, "-rw-r--r--", 3, 0.0)]

    with pytest.raises(DownloadError):
        await download_files(
            client,
            "data",
            lies,
            ["."],
            tmp_path / "into",
            overwrite=True,
            preserve=False,
            reporter=ProgressReporter(None),
        )
    assert tree(tmp_path / "into") == {} if (tmp_path / "into").exists() else True


async def test_a_local_link_out_is_not_followed(client: Client, data: Path, tmp_path: Path) -> None:
    """A link in the local folder must not lead a download elsewhere."""
    folder = await create_vfolder(client, "data")
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "sub" / "f").write_text("new")
    await folder.upload(plan_uploads([tmp_path / "src"], base=tmp_path / "src", recursive=True))
    into, outside = tmp_path / "into", tmp_path / "outside"
    into.mkdir()
    outside.mkdir()
    (into / "sub").symlink_to(outside)
    with pytest.raises(BackendError):
        await folder.download(["."], into, overwrite=True)
    assert list(outside.iterdir()) == []


def test_hostile_local_names(tmp_path: Path) -> None:
    for name in ("cr\rlf\n", "back\\slash"):
        (tmp_path / name).write_text("x")
        with pytest.raises(UploadError):
            plan_uploads([tmp_path / name], base=tmp_path)
        (tmp_path / name).unlink()


async def test_names_of_uploads_are_looked_at_again(client: Client, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    folder = await create_vfolder(client, "data")
    for name in ("../f", "/f", "a\r\nb"):
        with pytest.raises(UploadError):
            await folder.upload([Upload(tmp_path / "f", name, 1)])
    for to in ("..", "a/../../b"):
        with pytest.raises(UploadError):
            await folder.upload([Upload(tmp_path / "f", "f", 1)], to=to)
    assert await folder.list_files() == []
