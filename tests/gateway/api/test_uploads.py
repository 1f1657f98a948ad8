"""Uploads to a kernel: forms as they stand on the wire, hostile names, and disks that fail."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from backendai_trio import GatewayOptions, open_gateway
from backendai_trio.gateway import Gateway
from backendai_trio.gateway.refusals import refusal_of
from backendai_trio.wire.signing import Signed, sign
from backendai_trio.wire.versions import SEED, SESSION_6, Era

from ...local_kernels import files_below, work_folder
from .raw_client import BOUNDARY, Raw, create, form, upload, upload_form


@pytest.fixture
async def work(gateway: Gateway, gateway_parent: Path, session: Raw) -> Path:
    """The work folder of a kernel called lab1."""
    assert (await session("POST", "/session", {"name": "lab1", "image": "python"})).status == 201
    return work_folder(gateway_parent)


async def test_upload(session: Raw, work: Path) -> None:
    files = [("main.py", b"print(1)\r\n"), ("deep/er/ünï.txt", b""), ("binary", bytes(range(256)))]
    answer = await upload(session, "/session/lab1", *files)
    assert (answer.status, answer.body) == (204, b"")
    assert files_below(work) == ["binary", "deep/er/ünï.txt", "main.py"]
    for name, data in files:
        assert (work / name).read_bytes() == data
    # Again: it replaces.
    assert (await upload(session, "/session/lab1", ("main.py", b"2"))).status == 204
    assert (work / "main.py").read_bytes() == b"2"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a/new", "file/new"], "'file': "),
        (["a/new", "file/b/new"], "'file': "),
        (["a/new", "folder"], "'folder': a folder is in the way"),
        (["a", "a/new"], "'a' is in the form as a file and as a folder"),
        (["b/a/c/new", "new", "b/a"], "'a' is in the form as a file and as a folder"),
    ],
)
async def test_conflicts_are_found_before_anything_is_stored(
    session: Raw, work: Path, names: list[str], text: str
) -> None:
    (work / "file").write_text("old")
    (work / "folder").mkdir()
    (work / "folder" / "file").write_text("old")
    answer = await upload(session, "/session/lab1", *((name, b"new") for name in names))
    assert answer.status == 500
    assert text in answer.json()["msg"]
    assert files_below(work) == ["file", "folder/file"]
    assert sorted(os.listdir(work)) == ["file", "folder"]


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "a\\..\\evil",
        "a\x01b",
        "",
        ".",
        "a/",
        "..",
    ],
)
async def test_hostile_names_are_refused(
    session: Raw, work: Path, gateway_parent: Path, name: str
) -> None:
    before = files_below(gateway_parent)
    answer = await upload(session, "/session/lab1", ("fine", b"x"), (name, b"evil"))
    assert answer.status in (400, 500)
    assert answer.kind
    # Not the good file of that form either.
    assert files_below(gateway_parent) == before
    assert files_below(work) == []


async def test_names_that_are_no_utf8_are_refused(session: Raw, work: Path) -> None:
    answer = await upload(session, "/session/lab1", ("\udcff", b"x"))
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert files_below(work) == []


async def test_symbolic_links_of_the_kernel_lead_nowhere(
    session: Raw, work: Path, tmp_path: Path
) -> None:
    (work / "out").symlink_to(tmp_path)
    (work / "link").symlink_to(tmp_path / "target")
    answer = await upload(session, "/session/lab1", ("out/evil", b"x"))
    assert (answer.status, answer.kind) == (500, "kernel-execution-failed")
    assert not (tmp_path / "evil").exists()
    # A link in the file's own place is replaced, not followed.
    assert (await upload(session, "/session/lab1", ("link", b"x"))).status == 204
    assert not (tmp_path / "target").exists()
    assert not (work / "link").is_symlink()


async def test_half_a_form_leaves_nothing(session: Raw, work: Path, gateway_parent: Path) -> None:
    before = files_below(gateway_parent)
    whole = form(("one", b"1"), ("two", b"2"))
    answers = [
        await upload_form(session, "/session/lab1", whole[: len(whole) // 2]),
        await upload_form(session, "/session/lab1", form(("one", b"1"), end=False)),
        await upload_form(session, "/session/lab1", b"no form at all"),
        await upload_form(session, "/session/lab1", b""),
    ]
    for answer in answers:
        assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert files_below(gateway_parent) == before


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No process can write longer files: an error of the disk that needs no full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_disk_that_fails_during_an_upload(
    session: Raw, work: Path, gateway_parent: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets the cause, nothing is stored, and the gateway goes on."""
    before = files_below(gateway_parent)
    with files_of_at_most(100_000):
        answer = await upload(session, "/session/lab1", ("small", b"x"), ("large", bytes(500_000)))
    assert (answer.status, answer.kind) == (500, "internal-server-error")
    assert "'large': File too large" in answer.body.decode()
    assert files_below(gateway_parent) == before
    assert (await upload(session, "/session/lab1", ("fine", b"x"))).status == 204
    assert not [record for record in caplog.records if record.exc_info]


async def test_connection_that_breaks_during_an_upload(
    session: Raw, work: Path, gateway_parent: Path
) -> None:
    before = files_below(gateway_parent)
    body = form(("one", bytes(500_000)), ("two", bytes(500_000)))
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    endpoint, date = session.gateway.config.endpoint, datetime.now(UTC).isoformat()
    path = "/session/lab1/upload"
    authorization = sign(
        Signed("POST", path, date, endpoint.host_header, content_type, session.version),
        access_key=session.gateway.config.access_key,
        secret_key=session.gateway.config.secret_key,
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {endpoint.host_header}\r\nDate: {date}\r\n"
        f"X-BackendAI-Version: {session.version}\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with await trio.open_tcp_stream("127.0.0.1", endpoint.port) as stream:
        await stream.send_all(head.encode() + body[:700_000])
    # The gateway is well, and in the end nothing is left of it.
    while files_below(gateway_parent) != before:  # noqa: ASYNC110 (nobody tells)
        await trio.sleep(0.01)
    assert (await upload(session, "/session/lab1", ("fine", b"x"))).status == 204
    assert files_below(work) == ["fine"]


@pytest.mark.parametrize(("era", "most"), [(SEED, 19), (SESSION_6, 20)], ids=["seed", "session-6"])
async def test_limits_of_an_upload(gateway_parent: Path, era: Era, most: int) -> None:
    async with open_gateway(GatewayOptions(manager_limits=True)) as gateway:
        await check_limits(gateway_parent, gateway, era, most)


async def check_limits(gateway_parent: Path, gateway: Gateway, era: Era, most: int) -> None:
    raw = Raw(gateway, era.version)
    kernel = era.session_path("mysession01")
    await create(Raw(gateway, SEED.version))
    work = work_folder(gateway_parent)
    for count in (most + 1, 40):
        files = [(f"f{number}", b"x") for number in range(count)]
        answer = await upload(raw, kernel, *files)
        assert (answer.status, answer.kind) == (400, "invalid-api-params")
        assert "Too many files" in answer.body.decode()
        assert files_below(work) == []
    assert (await upload(raw, kernel, *files[:most])).status == 204
    assert len(files_below(work)) == most
    answer = await upload(raw, kernel, ("large", bytes(1_048_576)))
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert "Too large file" in answer.body.decode()
    assert (await upload(raw, kernel, ("largest", bytes(1_048_575)))).status == 204
    assert (work / "largest").stat().st_size == 1_048_575
    assert not (work / "large").exists()


async def test_parts_without_a_file_name_are_refused(session: Raw, work: Path) -> None:
    body = form(("x", b"1")).replace(b'; filename="x"', b"")
    answer = await upload_form(session, "/session/lab1", body)
    assert (answer.status, answer.kind) == (400, "invalid-api-params")


@pytest.mark.parametrize(
    ("number", "status", "text"),
    [
        (errno.ENOSPC, 507, "'name': No space left on device; remove files"),
        (errno.EDQUOT, 507, "'name': Disk quota exceeded; remove files"),
        (errno.EIO, 500, "'name': Input/output error"),
    ],
)
def test_answer_to_an_error_of_the_disk(number: int, status: int, text: str) -> None:
    problem = refusal_of(OSError(number, os.strerror(number), "/secret/path"), "name").problem
    assert problem.status == status
    assert problem.detail.startswith(text)
    assert "secret" not in problem.detail


@pytest.mark.parametrize("size", [4000, 20_000, 1_000_000])
async def test_header_of_a_part_that_is_too_long(session: Raw, work: Path, size: int) -> None:
    """It is kept in memory until it ends."""
    body = form(("a", b"x")).replace(b"Content-Type:", b"X: " + b"y" * size + b"\r\nContent-Type:")
    answer = await upload_form(session, "/session/lab1", body)
    assert answer.status == (204 if size == 4000 else 400)
    assert files_below(work) == (["a"] if size == 4000 else [])
    assert (await upload(session, "/session/lab1", ("b", b"x"))).status == 204
