"""Virtual folders' messages, tus and ranges: what one side writes, the other reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.download_parts import PartsDecoder
from backendai_trio.wire.files import FileInfo, Listing
from backendai_trio.wire.versions import ERAS, SEED, SESSION_5, SESSION_6, TRANSITION, Era
from backendai_trio.wire.vfolder_files import (
    FileRequest,
    MakeDirectory,
    MoveFile,
    RemoveFiles,
    Ticket,
)
from backendai_trio.wire.vfolder_sharing import Invitation, Invite
from backendai_trio.wire.vfolders import CreateVFolder, VFolderInfo, check_folder_name

from .strategies import some_text, text, thorough

names = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,40}[a-zA-Z0-9])?", fullmatch=True)
permissions = st.sampled_from(["ro", "rw", "wd"])
eras = st.sampled_from(ERAS)
later = st.sampled_from([SESSION_5, SESSION_6])
sizes = st.integers(0, 1 << 50)

creations = st.builds(
    CreateVFolder,
    name=names,
    host=st.none() | some_text,
    group=st.none() | some_text,
    usage_mode=st.sampled_from(["general", "model", "data"]),
    permission=permissions,
    cloneable=st.booleans(),
    max_bytes=sizes,
)
infos = st.builds(
    VFolderInfo,
    folder_id=text,
    name=some_text,
    host=text,
    created_at=text,
    permission=permissions,
    is_owner=st.booleans(),
    usage_mode=some_text,
    cloneable=st.booleans(),
    owner=text,
    num_files=sizes,
    used_bytes=sizes,
    max_bytes=sizes,
)
modes = st.builds(
    lambda letter, bits: (
        letter + "".join(c if on else "-" for c, on in zip("rwxrwxrwx", bits, strict=True))
    ),
    st.sampled_from("-dl"),
    st.tuples(*[st.booleans()] * 9),
)
files = st.builds(FileInfo, some_text, modes, sizes, st.integers(0, 4_000_000_000).map(float))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)
KEYS = (
    "name", "host", "group", "quota", "usage_mode", "permission", "path", "files", "size", "token",
    "url", "perm", "emails", "user_ids", "id", "items", "src", "dst", "target_path", "new_name",
    "recursive", "archive", "mode", "mtime", "modified", "type", "max_size", "unmanaged_path",
)  # fmt: skip
objects = st.dictionaries(st.sampled_from(KEYS), json_values, max_size=8)

DECODERS: list[Callable[[bytes], object]] = [
    CreateVFolder.decode,
    FileRequest.decode,
    Invite.decode,
    lambda body: MakeDirectory.decode(body, SESSION_6),
    MoveFile.decode,
    RemoveFiles.decode,
    Ticket.decode,
    Listing.decode,
    lambda body: VFolderInfo.decode(json.loads(body)),
    lambda body: Invitation.decode(json.loads(body)),
]


@thorough
@given(creations)
def test_create(wanted: CreateVFolder) -> None:
    assert CreateVFolder.decode(wanted.encode(SESSION_6)) == wanted


@thorough
@given(creations)
def test_create_has_no_keys_that_an_era_does_not_know(wanted: CreateVFolder) -> None:
    """Managers refuse them (19.09.5, 20.03.19)."""
    known = {"name", "host", "group"}
    assert set(json.loads(wanted.encode(TRANSITION))) == known
    known |= {"usage_mode", "permission", "unmanaged_path"}
    assert set(json.loads(wanted.encode(SESSION_5))) == known


@thorough
@given(creations)
def test_create_of_the_seed_era_has_the_name_alone(wanted: CreateVFolder) -> None:
    assert json.loads(wanted.encode(SEED)) == {"name": wanted.name}
    assert CreateVFolder.decode(wanted.encode(SEED)).name == wanted.name


@thorough
@given(infos, later)
def test_info(info: VFolderInfo, era: Era) -> None:
    assert VFolderInfo.decode(json.loads(json.dumps(info.encode(era)))) == info


@thorough
@given(infos)
def test_info_of_the_seed_era(info: VFolderInfo) -> None:
    found = VFolderInfo.decode(info.encode(SEED))
    assert (found.name, found.folder_id) == (info.name, info.folder_id)
    assert (found.num_files, found.created_at) == (info.num_files, info.created_at)


@thorough
@given(st.lists(files, max_size=5))
def test_listing_in_both_forms(found: list[FileInfo]) -> None:
    listing = Listing(tuple(found), "")
    assert Listing.decode(listing.encode_items()).files == tuple(found)
    # What clients of 20.09 to 25.x read: JSON within JSON.
    assert Listing.decode(listing.encode()).files == tuple(found)
    body = json.loads(listing.encode_items())
    assert [row["filename"] for row in json.loads(body["files"])] == [f.name for f in found]


@thorough
@given(some_text, st.booleans(), st.booleans())
def test_mkdir(path: str, parents: bool, exist_ok: bool) -> None:
    wanted = MakeDirectory(path, parents, exist_ok)
    assert MakeDirectory.decode(wanted.encode(SESSION_6), SESSION_6) == wanted
    # Before 20.09 it is the path alone, and any other key is refused.
    assert MakeDirectory.decode(wanted.encode(SESSION_5), SESSION_5) == MakeDirectory(path, True)
    with pytest.raises(RemoteProtocolError, match="exist_ok, parents"):
        MakeDirectory.decode(wanted.encode(SESSION_6), TRANSITION)


@thorough
@given(st.lists(text, max_size=4), st.booleans())
def test_remove(paths: list[str], recursive: bool) -> None:
    wanted = RemoveFiles(tuple(paths), recursive)
    assert RemoveFiles.decode(wanted.encode()) == wanted


@thorough
@given(text, text)
def test_move(source: str, target: str) -> None:
    assert MoveFile.decode(MoveFile(source, target).encode()) == MoveFile(source, target)


def test_rename_is_a_move_within_its_folder() -> None:
    body = json.dumps({"target_path": "a/b.txt", "new_name": "c.txt"}).encode()
    assert MoveFile.decode(body) == MoveFile("a/b.txt", "a/c.txt")
    with pytest.raises(RemoteProtocolError, match="slash"):
        MoveFile.decode(json.dumps({"target_path": "a", "new_name": "../b"}).encode())


@thorough
@given(text, sizes, eras)
def test_upload_request(path: str, size: int, era: Era) -> None:
    wanted = FileRequest(path, size)
    assert FileRequest.decode(wanted.encode(era)) == wanted


@thorough
@given(text, st.booleans())
def test_download_request(path: str, archive: bool) -> None:
    wanted = FileRequest(path, archive=archive)
    assert FileRequest.decode(wanted.encode(SESSION_6)) == wanted
    assert FileRequest.decode(wanted.encode(SESSION_5)).path == path


@thorough
@given(text, text)
def test_ticket(token: str, url: str) -> None:
    assert Ticket.decode(Ticket(token, url).encode()) == Ticket(token, url)


def test_place_of_a_ticket() -> None:
    address, path = Ticket("t", "https://Proxy.example:6021/storage/upload").place
    assert (address.url, path) == ("https://proxy.example:6021", "/storage/upload")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x/y",
        "http://",
        "http://u:p@h/",
        "http://h/x\r\nHost: y",
        "http://h/?a=b",
        "//h/x",
    ],
)
def test_place_refused(url: str) -> None:
    with pytest.raises(RemoteProtocolError):
        _ = Ticket("t", url).place


@thorough
@given(st.lists(text, max_size=3), permissions, st.booleans())
def test_invite(users: list[str], permission: Any, at_once: bool) -> None:
    wanted = Invite(tuple(users), permission)
    assert Invite.decode(wanted.encode(at_once=at_once)) == wanted


@thorough
@given(
    st.builds(
        Invitation,
        invitation_id=text,
        folder_id=text,
        folder_name=text,
        inviter=text,
        invitee=text,
        permission=permissions,
        created_at=text,
    )
)
def test_invitation(item: Invitation) -> None:
    assert Invitation.decode(json.loads(json.dumps(item.encode()))) == item


@thorough
@given(st.sampled_from(DECODERS), st.binary(max_size=60) | objects.map(lambda o: _dumps(o)))
def test_decoders_raise_nothing_of_their_own(
    decode: Callable[[bytes], object], body: bytes
) -> None:
    try:
        decode(body)
    except RemoteProtocolError:
        pass
    except ValueError:
        # From `json.loads` above, for the two that take what was parsed.
        assert decode in DECODERS[-2:]


def _dumps(value: object) -> bytes:
    return json.dumps(value).encode()


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "data", "My-Data_2.0", "0", "a" * 64, "a..b"])
def test_good_names(name: str) -> None:
    assert check_folder_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "a b", "a\0", "a\r\nb", 'a"b', "a" * 65, "-a", "a.", "é",
     "data\n", "invitations"],
)  # fmt: skip
def test_bad_names(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        check_folder_name(name)
    with pytest.raises(RemoteProtocolError):
        CreateVFolder.decode(json.dumps({"name": name}).encode())


@pytest.mark.parametrize("mode", ["644", 0o100644, "100644", 33188])
def test_modes_of_storage_proxies(mode: object) -> None:
    """A text of octal digits, and from 25.6 on a number, without the older form beside it."""
    body = json.dumps(
        {
            "items": [
                {"name": "f", "type": "FILE", "size": 3, "mode": mode, "modified": "1970-01-01"},
                {"name": "d", "type": "DIRECTORY", "size": 9, "mode": 0o40755, "modified": ""},
                {"name": "x", "type": "FILE", "size": 0},
            ]
        }
    )
    files = Listing.decode(body.encode()).files
    assert [file.mode for file in files] == ["-rw-r--r--", "drwxr-xr-x", "-rw-r--r--"]
    assert [file.is_folder for file in files] == [False, True, False]


@pytest.mark.parametrize(
    ("files", "errors", "problem"),
    [
        ("", "", "the server gave no listing"),
        ("", "no such folder", "no such folder"),
        ("[]", "", ""),
        (
            "[]",
            "Traceback:\n  File x\nFileNotFoundError: 'nosuch'\n",
            "FileNotFoundError: 'nosuch'",
        ),
    ],
)
def test_listing_of_a_folder_that_is_not_there(files: str, errors: str, problem: str) -> None:
    """Agents give an empty list with the error (measured: 23.09.10)."""
    body = json.dumps({"files": files, "errors": errors, "abspath": "nosuch"}).encode()
    assert Listing.decode(body) == Listing((), "nosuch", problem)


@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 200))
def test_parts_of_a_multipart_body(parts: list[bytes], step: int) -> None:
    body = b"".join(
        b"--xyz-42\r\nContent-Type: application/octet-stream\r\n\r\n" + part + b"\r\n"
        for part in parts
    )
    body += b"--xyz-42--\r\n"
    decoder = PartsDecoder("multipart/mixed; boundary=xyz-42")
    found = [bytearray() for _ in parts]
    for start in range(0, len(body), step):
        for number, data in decoder.feed(body[start : start + step]):
            found[number] += data
    assert decoder.finish() == len(parts)
    assert [bytes(part) for part in found] == parts
    half = PartsDecoder("multipart/mixed; boundary=xyz-42")
    half.feed(body[:-5])
    with pytest.raises(RemoteProtocolError, match="cut short"):
        half.finish()


@pytest.mark.parametrize(
    ("status", "is_usable", "keeps_name"),
    [
        ("", True, False),
        ("ready", True, False),
        ("mounted", True, False),
        ("deleting", False, True),  # 23.09
        ("delete-pending", False, True),
        ("delete-ongoing", False, True),
        ("delete-error", False, True),
        ("delete-complete", False, False),
        ("deleted-complete", False, False),  # 23.03
    ],
)
def test_status_of_a_folder(status: str, is_usable: bool, keeps_name: bool) -> None:
    info = VFolderInfo(name="data", folder_id="1", status=status)
    assert (info.is_usable, info.keeps_name) == (is_usable, keeps_name)


@pytest.mark.parametrize("line", ["X: " + "y" * 1000, "X: y"])
def test_head_of_a_part_that_does_not_end(line: str) -> None:
    decoder = PartsDecoder("multipart/mixed; boundary=xyz-42")
    list(decoder.feed(b"--xyz-42\r\n"))
    with pytest.raises(RemoteProtocolError):
        for _ in range(20_000):
            list(decoder.feed(f"{line}\r\n".encode()))
