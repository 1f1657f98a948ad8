"""Virtual folders through the library, in every era, against the real gateway."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
import trio

from backendai_trio import (
    ApiError,
    AuthError,
    BackendError,
    Client,
    DownloadError,
    Finished,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    QuotaExceeded,
    Stdout,
    TrioKernel,
    TrioVFolder,
    UploadError,
    attach_kernel,
    create_vfolder,
    list_vfolders,
    open_client,
    open_gateway,
    open_kernel,
    query,
)
from backendai_trio.files import Progress, Upload, UploadStream, plan_uploads
from backendai_trio.files.progress import ProgressReporter
from backendai_trio.gateway import Gateway
from backendai_trio.gateway.refusals import Refused
from backendai_trio.gateway.storage import vfolder_files
from backendai_trio.gateway.storage.index import Folder
from backendai_trio.gateway.storage.tus import TusUploads
from backendai_trio.kernels import FileInfo
from backendai_trio.vfolders import accept_invitation, decline_invitation, list_invitations
from backendai_trio.vfolders.download import download_files
from backendai_trio.vfolders.upload import upload_files
from backendai_trio.wire.http import Request
from backendai_trio.wire.storage_proxy import PatchHead, TusState
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

from ..proxies import Proxy

OLD_TRANSITION = choose_era(Hello("v4.20181215"))
FIRST, SECOND = "AKIAFIRSTFIRSTFIRST1", "AKIASECONDSECONDSEC2"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of a gateway."""
    return tmp_path / "data"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A folder with a user's files."""
    folder = tmp_path / "local"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "a.txt").write_text("eins\n")
    (folder / "none").write_bytes(b"")
    (folder / "sub" / "zwei ü.bin").write_bytes(random.Random(0).randbytes(3_000_000))
    return folder


@asynccontextmanager
async def opened(*eras: Era, **options: object) -> AsyncIterator[tuple[Gateway, Client]]:
    wanted = GatewayOptions(eras=eras or (SEED, SESSION_6), **options)  # type: ignore[arg-type]
    async with open_gateway(wanted) as gateway, open_client(gateway.config) as client:
        yield gateway, client


def tree(folder: Path) -> dict[str, str]:
    """What is in a folder: names, and what the files hold in short."""
    return {
        path.relative_to(folder).as_posix(): "/"
        if path.is_dir()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
    }


def files_in(data: Path) -> Path:
    """Where the only folder's files are."""
    (found,) = (data / "vfolders").glob("*/files")
    return found


async def printed(kernel: TrioKernel, code: str) -> str:
    text = ""
    async with kernel.execute(code) as run:
        async for event in run:
            if isinstance(event, Stdout):
                text += event.text
            elif isinstance(event, Finished):
                assert not event.exit_code, text
    return text


# -- folders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", [SEED, TRANSITION, SESSION_5, SESSION_6], ids=lambda e: e.name)
@pytest.mark.usefixtures("gateway_parent")
async def test_create_list_info_delete(era: Era) -> None:
    async with opened(era) as (_, client):
        assert client.era.folder_transfer == era.folder_transfer
        assert await list_vfolders(client) == []
        folder = await create_vfolder(client, "data")
        (row,) = await list_vfolders(client)
        info = await folder.info()
        assert (row.name, row.folder_id) == ("data", info.folder_id)
        assert info.num_files == 0 and info.is_owner
        with pytest.raises(InvalidRequest, match="name is taken"):
            await create_vfolder(client, "data")
        await folder.delete()
        assert await list_vfolders(client) == []
        with pytest.raises(NotFound, match="data"):
            await folder.info()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\r\nb", 'a"b', "a\0b", "x" * 300, ".", "_"])
@pytest.mark.usefixtures("gateway_parent")
async def test_names_of_folders(client: Client, name: str) -> None:
    with pytest.raises(LocalProtocolError):
        await create_vfolder(client, name)
    # And from a client that does not look.
    body = json.dumps({"name": name}).encode()
    with pytest.raises(InvalidRequest):
        await client.call(Request("POST", "/folders", (), body, "application/json"))
    assert await list_vfolders(client) == []


async def test_too_many_folders() -> None:
    async with opened(max_vfolders=2) as (_, client):
        await create_vfolder(client, "a")
        await create_vfolder(client, "b")
        with pytest.raises(QuotaExceeded, match="2; delete one first"):
            await create_vfolder(client, "c")


async def test_rename(client: Client) -> None:
    folder = await create_vfolder(client, "old")
    await create_vfolder(client, "taken")
    with pytest.raises(InvalidRequest, match="taken"):
        await folder.rename("taken")
    with pytest.raises(InvalidRequest, match="cannot name"):
        await folder.rename("../x")
    await folder.rename("new")
    assert [item.name for item in await list_vfolders(client)] == ["new", "taken"]
    assert folder.name == "new"


async def test_folders_in_queries(client: Client) -> None:
    folder = await create_vfolder(client, "data")
    found = await query(
        client, "{ vfolder_list(limit: 9, offset: 0) { items { name num_files } total_count } }"
    )
    assert found["vfolder_list"] == {"items": [{"name": "data", "num_files": 0}], "total_count": 1}
    assert (await query(client, "{ vfolders { name max_size } }"))["vfolders"][0]["name"] == "data"
    await folder.delete()


async def test_folders_outlive_the_gateway(data: Path, local: Path) -> None:
    async with opened(data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
    async with opened(data=data) as (_, client):
        (info,) = await list_vfolders(client)
        assert info.name == "data"
        assert [file.name for file in await TrioVFolder(client, "data").list_files()] == ["a.txt"]
    assert (data / "vfolders").stat().st_mode & 0o777 == 0o700
    assert (data / "vfolders" / "index.sqlite3").stat().st_mode & 0o777 == 0o600


async def test_without_a_data_folder_nothing_is_left(
    gateway_parent: Path, local: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    async with opened() as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
    assert tree(gateway_parent) == {} and not (tmp_path / "home").exists()


async def test_what_deleted_folders_left_is_removed(data: Path) -> None:
    async with opened(data=data) as (_, client):
        await create_vfolder(client, "data")
    left = data / "vfolders" / ("0" * 32)
    (left / "files").mkdir(parents=True)
    async with opened(data=data) as (_, client):
        await list_vfolders(client)
        assert not left.exists() and files_in(data).exists()


# -- files ----------------------------------------------------------------------------------------


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


async def test_names_on_managers_with_a_trash(data: Path) -> None:
    async with opened(SESSION_6, data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        for call in (folder.restore(), folder.purge()):
            with pytest.raises(
                LocalProtocolError, match=r"no trash \(managers have from 24\.03 on"
            ):
                await call
        client.hello = replace(client.hello, manager="24.09.6")
        for call in (folder.restore(), folder.purge()):
            with pytest.raises(NotFound, match="the trash has no virtual folder 'data'"):
                await call
        await folder.delete()  # by id
        assert await list_vfolders(client) == []
        with pytest.raises(NotFound, match="there is no virtual folder 'data'"):
            await folder.delete()


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
        Request("GET", path, (("token", ticket.token),)), at=address
    ) as stream:
        archive = ZipFile(io.BytesIO((await stream.read_all()).body))
    assert archive.testzip() is None
    assert archive.namelist() == ["zwei ü.bin", "empty/"] or set(archive.namelist()) == {
        "zwei ü.bin",
        "empty/",
    }
    assert archive.read("zwei ü.bin") == (local / "sub" / "zwei ü.bin").read_bytes()


# -- mounts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", [SEED, SESSION_6], ids=lambda e: e.name)
async def test_mounts(era: Era, data: Path, local: Path) -> None:
    spec = KernelSpec(runtime="python", mounts=("data",))
    async with opened(era, data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
        async with open_kernel(client, spec) as kernel:
            assert await printed(kernel, "print(open('data/a.txt').read(), end='')") == "eins\n"
            await printed(kernel, "open('data/result', 'w').write('from the kernel')")
            with pytest.raises(InvalidRequest, match="mounted"):
                await folder.delete()
        assert (files_in(data) / "result").read_text() == "from the kernel"
        assert (files_in(data) / "a.txt").exists()
        async with open_kernel(client, spec) as kernel:
            assert await printed(kernel, "print(open('data/result').read(), end='')") == (
                "from the kernel"
            )
        await folder.delete()


async def test_a_mount_that_does_not_exist_makes_no_kernel(
    gateway: Gateway, client: Client
) -> None:
    with pytest.raises(NotFound, match="nope"):
        async with open_kernel(client, KernelSpec(runtime="python", mounts=("nope",))):
            pass
    assert gateway.tokens() == []


async def test_a_kernel_that_runs_without_the_folder_is_not_joined(client: Client) -> None:
    await create_vfolder(client, "data")
    async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
        with pytest.raises(InvalidRequest, match="without"):
            await attach_kernel(
                client, KernelSpec(runtime="python", mounts=("data",)), token=kernel.token
            )


# -- quotas and others ----------------------------------------------------------------------------


@pytest.mark.parametrize("era", [SEED, SESSION_6], ids=lambda e: e.name)
async def test_quota_of_the_gateway(era: Era, data: Path, local: Path) -> None:
    async with opened(era, data=data, max_vfolder_bytes=1_000_000) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
        with pytest.raises(QuotaExceeded, match="quota"):
            await folder.upload(plan_uploads([local / "sub" / "zwei ü.bin"], base=local))
        assert set(tree(files_in(data))) == {"a.txt"}


async def test_quota_of_a_folder(client: Client, local: Path) -> None:
    folder = await create_vfolder(client, "data", max_bytes=10)
    (local / "ten").write_bytes(b"x" * 10)
    uploads = plan_uploads([local / "ten"], base=local)
    await folder.upload(uploads)
    await folder.upload(uploads)  # what it replaces makes room
    with pytest.raises(QuotaExceeded, match="10 bytes"):
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
    assert (await folder.info()).max_bytes == 10


async def test_an_upload_that_was_given_up_takes_no_room_from_its_repetition(
    client: Client, local: Path
) -> None:
    folder = await create_vfolder(client, "data", max_bytes=10)
    await begun(client, "ten", 10)
    with pytest.raises(QuotaExceeded):
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
    (local / "ten").write_bytes(b"x" * 10)
    await folder.upload(plan_uploads([local / "ten"], base=local))
    assert [file.size for file in await folder.list_files()] == [10]


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


async def test_sharing(data: Path, local: Path) -> None:
    async with opened(data=data, access_key=FIRST) as (gateway, _):
        first = gateway.config
    async with opened(data=data, access_key=SECOND) as (gateway, theirs):
        ours = replace(first, endpoint=gateway.config.endpoint)
        async with open_client(ours) as client:
            folder = await create_vfolder(client, "data")
            await folder.upload(plan_uploads([local / "a.txt"], base=local))
            their = TrioVFolder(theirs, "data")
            with pytest.raises(NotFound):
                await their.info()
            assert await folder.invite(["nobody", SECOND.lower()], permission="ro") == [SECOND]
            assert await folder.invite([SECOND]) == []  # asked already
            (invitation,) = await list_invitations(theirs)
            assert (invitation.folder_name, invitation.permission) == ("data", "ro")
            await accept_invitation(theirs, invitation.invitation_id)
            assert await list_invitations(theirs) == []
            assert not (await their.info()).is_owner
            assert [file.name for file in await their.list_files()] == ["a.txt"]
            for refused in (
                their.remove(["a.txt"]),
                their.mkdir("x"),
                their.upload(plan_uploads([local / "none"], base=local)),
                their.delete(),
                their.rename("mine"),
            ):
                with pytest.raises((AuthError, UploadError)):
                    await refused
            assert await folder.share([SECOND], permission="rw") == [SECOND]
            await their.mkdir("x")
            await their.leave()
            with pytest.raises(NotFound):
                await their.info()
            await folder.invite([SECOND])
            (invitation,) = await list_invitations(theirs)
            await decline_invitation(theirs, invitation.invitation_id)
            assert await list_invitations(theirs) == []
            await folder.share([SECOND])
            assert await folder.unshare([SECOND]) == [SECOND]
            assert await list_vfolders(theirs) == []
            with pytest.raises(InvalidRequest, match="owner"):
                await folder.leave()


# -- connections that break -----------------------------------------------------------------------


@asynccontextmanager
async def through_proxy(gateway: Gateway, seed: int) -> AsyncIterator[tuple[Proxy, Client]]:
    async with trio.open_nursery() as nursery:
        proxy = Proxy(nursery, gateway.config.endpoint.port, random.Random(seed))
        await proxy.listen()
        endpoint = gateway.config.endpoint._replace(port=proxy.port)
        async with open_client(replace(gateway.config, endpoint=endpoint)) as client:
            yield proxy, client
        nursery.cancel_scope.cancel()


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


async def begun(client: Client, path: str, size: int) -> tuple[Request, Request, object]:
    """An upload that was begun: HEAD and PATCH requests for it, and where they go."""
    where = client.era.folder_path("data", "request-upload")
    body = FileRequest(path, size).encode(client.era)
    reply = await client.call(Request("POST", where, (), body, "application/json"))
    ticket = Ticket.decode(reply.body)
    address, where = ticket.place
    query = (("token", ticket.token),)
    kind = "application/offset+octet-stream"
    return (
        Request("HEAD", where, query),
        Request("PATCH", where, query, content_type=kind),
        address,
    )


async def bytes_of(data: bytes) -> AsyncIterator[bytes]:
    await trio.lowlevel.checkpoint()
    yield data


async def patch(
    client: Client, request: Request, address: object, data: bytes, head: PatchHead
) -> int:
    async with client.request(
        request,
        at=address,  # type: ignore[arg-type]
        headers=head.encode(),
        content=bytes_of(data),
        content_length=len(data),
    ) as reply:
        return TusState.decode(reply.headers).offset


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
        async with client.request(head, at=address) as reply:  # type: ignore[arg-type]
            assert TusState.decode(reply.headers) == TusState(3, 6)
        right = PatchHead(3, hashlib.sha256(b"def").digest())
        assert await patch(client, piece, address, b"def", right) == 6
        assert (files_in(data) / "file").read_bytes() == b"abcdef"
        async with client.request(head, at=address) as reply:  # type: ignore[arg-type]
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


# -- hostile names --------------------------------------------------------------------------------

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
