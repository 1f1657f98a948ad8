"""Files in virtual folders: uploads, downloads, and what else is done with them, in every era."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
import trio

from backendai_trio import (
    Client,
    DownloadError,
    InvalidRequest,
    LocalProtocolError,
    NotFound,
    UploadError,
    create_vfolder,
)
from backendai_trio.files import Progress, UploadStream, plan_uploads
from backendai_trio.wire.http import Request
from backendai_trio.wire.versions import (
    SEED,
    SESSION_5,
    SESSION_6,
    TRANSITION,
    Era,
    Hello,
    choose_era,
)
from backendai_trio.wire.vfolder_files import FileRequest, Ticket

from .folders import files_in, opened, tree

OLD_TRANSITION = choose_era(Hello("v4.20181215"))


@pytest.mark.parametrize(
    "era", [OLD_TRANSITION, TRANSITION, SESSION_5, SESSION_6], ids=lambda e: e.version
)
async def test_there_and_back(era: Era, data: Path, local: Path, tmp_path: Path) -> None:
    async with opened(era, data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([local], base=local, recursive=True))
        assert tree(files_in(data)) == tree(local)
        assert [file.name for file in await folder.list_files("sub")] == ["empty", "zwei ü.bin"]
        written = await folder.download(["."], tmp_path / "back")
        assert tree(tmp_path / "back") == tree(local) and len(written) == 3
        await folder.download(["sub/zwei ü.bin", "a.txt"], tmp_path / "some")
        assert sorted(tree(tmp_path / "some")) == ["a.txt", "zwei ü.bin"]
        await folder.remove(["a.txt"])
        with pytest.raises(InvalidRequest, match="recursively"):
            await folder.remove(["none", "sub"])
        assert (files_in(data) / "none").exists()
        await folder.remove(["none", "sub"], recursive=True)
        assert tree(files_in(data)) == {}


async def test_uploads_of_the_seed_era(data: Path, local: Path) -> None:
    async with opened(SEED, data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        with pytest.raises(UploadError, match="empty folder"):
            await folder.upload(plan_uploads([local], base=local, recursive=True))
        (local / "sub" / "empty").rmdir()
        await folder.upload(plan_uploads([local], base=local, recursive=True))
        assert tree(files_in(data)) == tree(local)
        for call in (folder.list_files(), folder.mkdir("x"), folder.download(["."], local)):
            with pytest.raises(LocalProtocolError, match="mount"):
                await call


@pytest.mark.parametrize("era", [TRANSITION, SESSION_5], ids=lambda e: e.name)
async def test_mkdir_before_20_09(era: Era, data: Path) -> None:
    """The path is all that can be said; parents are always made."""
    async with opened(era, data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.mkdir("x/y", parents=False)
        with pytest.raises(InvalidRequest, match="exists"):
            await folder.mkdir("x/y")
        await folder.mkdir("x/y", exist_ok=True)
        assert tree(files_in(data)) == {"x": "/", "x/y": "/"}


async def test_what_older_servers_cannot_is_told(data: Path) -> None:
    async with opened(SESSION_5, data=data) as (_, client):
        with pytest.raises(LocalProtocolError, match="quota cannot be set"):
            await create_vfolder(client, "data", max_bytes=10)
        folder = await create_vfolder(client, "data")
        client.hello = replace(client.hello, features=frozenset())
        with pytest.raises(LocalProtocolError, match=r"from 22\.03 on"):
            await folder.move("a", "b")


async def test_mkdir_and_mv(client: Client, local: Path) -> None:
    folder = await create_vfolder(client, "data")
    await folder.mkdir("x/y")
    with pytest.raises(InvalidRequest, match="exists"):
        await folder.mkdir("x/y")
    await folder.mkdir("x/y", exist_ok=True)
    with pytest.raises(InvalidRequest, match="parent"):
        await folder.mkdir("p/q", parents=False)
    await folder.upload(plan_uploads([local / "a.txt"], base=local))
    await folder.move("a.txt", "x/y")
    await folder.move("x/y/a.txt", "b.txt")
    with pytest.raises(InvalidRequest, match="into itself"):
        await folder.move("x", "x/y/z")
    with pytest.raises(NotFound):
        await folder.move("gone", "b.txt")
    assert [file.name for file in await folder.list_files()] == ["b.txt", "x"]


@pytest.mark.parametrize("era", [SESSION_5, SESSION_6], ids=lambda e: e.name)
async def test_tokens_of_uploads_are_not_logged(
    era: Era, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "backendai_trio.http")
    (tmp_path / "a.txt").write_text("a")
    async with opened(era, data=data) as (_, client):
        await (await create_vfolder(client, "data")).upload([tmp_path / "a.txt"], base=tmp_path)
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("PATCH")]
    assert told
    for line in told:
        path = line.split()[1]
        assert path.endswith("/upload/***") if era == SESSION_5 else path.endswith("/upload")


async def test_uploads_replace_and_say_how_far_they_are(
    client: Client, local: Path, tmp_path: Path
) -> None:
    folder = await create_vfolder(client, "data")
    await folder.upload(plan_uploads([local / "a.txt"], base=local), to="deep/er")
    (local / "a.txt").write_text("more than before\n")
    send, receive = trio.open_memory_channel[Progress](0)
    news: list[Progress] = []
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            async with receive:
                news.extend([item async for item in receive])

        nursery.start_soon(listen)
        async with send:
            uploads = plan_uploads([local / "a.txt"], base=local)
            await folder.upload(uploads, to="deep/er", progress=send)
    assert news[-1] == Progress("a.txt", 17, 17, complete=True)
    await folder.download(["deep/er/a.txt"], tmp_path / "back")
    assert (tmp_path / "back" / "a.txt").read_text() == "more than before\n"


async def test_downloads_do_not_replace_unless_told(
    client: Client, local: Path, tmp_path: Path
) -> None:
    folder = await create_vfolder(client, "data")
    await folder.upload(plan_uploads([local], base=local, recursive=True))
    back = tmp_path / "back"
    back.mkdir()
    (back / "none").write_text("mine")
    with pytest.raises(DownloadError, match="exists"):
        await folder.download(["."], back)
    assert tree(back) == {"none": hashlib.sha256(b"mine").hexdigest()}
    await folder.download(["."], back, overwrite=True)
    assert tree(back) == tree(local)


async def test_a_file_that_fails_is_named_and_the_others_are_whole(
    data: Path, tmp_path: Path
) -> None:
    names = [f"{number}.bin" for number in range(20)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 1000)
    uploads = plan_uploads([tmp_path / name for name in names], base=tmp_path)
    (tmp_path / "7.bin").unlink()
    async with opened(data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        with pytest.raises(UploadError, match=r"7\.bin"):
            await folder.upload(uploads)
        for name, digest in tree(files_in(data)).items():
            assert digest == hashlib.sha256(name.encode() * 1000).hexdigest()


async def test_a_folder_as_zip(client: Client, local: Path) -> None:
    """Not what our client asks for, but others do."""
    folder = await create_vfolder(client, "data")
    await folder.upload(plan_uploads([local], base=local, recursive=True))
    path = client.era.folder_path("data", "request-download")
    body = FileRequest("sub", archive=True).encode(client.era)
    reply = await client.call(Request("POST", path, (), body, "application/json"))
    ticket = Ticket.decode(reply.body)
    address, path = ticket.place
    async with client.request(
        Request("GET", path, (("token", ticket.token),)), to=address
    ) as stream:
        archive = ZipFile(io.BytesIO((await stream.read_all()).body))
    assert archive.testzip() is None
    assert archive.namelist() == ["zwei ü.bin", "empty/"] or set(archive.namelist()) == {
        "zwei ü.bin",
        "empty/",
    }
    assert archive.read("zwei ü.bin") == (local / "sub" / "zwei ü.bin").read_bytes()


async def test_upload_of_paths(client: Client, local: Path) -> None:
    """Paths and what is planned, mixed; nothing is sent if one of them cannot be."""
    folder = await create_vfolder(client, "data")
    for wrong, error in ((local / "nowhere", UploadError), (stream(), LocalProtocolError)):
        with pytest.raises(error):
            await folder.upload([local / "a.txt", wrong], base=local)  # type: ignore[list-item]
        assert await folder.list_files() == []
    planned = plan_uploads([local / "none"], base=local)
    await folder.upload([local / "a.txt", *planned, str(local / "sub")], to="in", base=local)
    assert [file.name for file in await folder.list_files("in")] == ["a.txt", "none", "sub"]
    with pytest.raises(LocalProtocolError, match="is not a list"):
        await folder.upload(str(local / "a.txt"))


def stream() -> UploadStream:
    async def content() -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield b"made as it is sent"

    return UploadStream(content(), "stream")
