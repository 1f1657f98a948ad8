"""Options, clones and hosts of virtual folders, archives of their files, and background tasks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.background_tasks import TaskEvent, task_events_request
from backendai_trio.wire.events import Message
from backendai_trio.wire.versions import SESSION_6, Hello
from backendai_trio.wire.vfolder_files import ArchiveRequest, MoveFile, RenameFile
from backendai_trio.wire.vfolder_requests import (
    ChangeOptions,
    Cloned,
    CloneVFolder,
    StorageHosts,
    decode_types,
    encode_types,
)
from backendai_trio.wire.vfolders import VFolderInfo

permissions = st.sampled_from(["ro", "rw", "wd"])
numbers = st.floats(0, 1e9)


@given(st.none() | permissions, st.none() | st.booleans())
def test_options(permission: str | None, cloneable: bool | None) -> None:
    change = ChangeOptions(permission, cloneable)  # type: ignore[arg-type]
    assert ChangeOptions.decode(change.encode()) == change


@given(permissions, st.booleans(), st.sampled_from(["general", "data", "model"]), st.text())
def test_clone(permission: str, cloneable: bool, mode: str, host: str) -> None:
    request = CloneVFolder(
        name="data-2",
        host=host,
        usage_mode=mode,
        permission=permission,  # type: ignore[arg-type]
        cloneable=cloneable,
    )
    assert CloneVFolder.decode(request.encode()) == request


def test_wrong_clones() -> None:
    with pytest.raises(LocalProtocolError, match="cannot name"):
        CloneVFolder(name="a/b", host="h").encode()
    with pytest.raises(LocalProtocolError, match="usage mode"):
        CloneVFolder(name="a", host="h", usage_mode="x").encode()
    for body in (b"{}", b'{"target_name":"/"}', b'{"target_name":"a","usage_mode":"x"}'):
        with pytest.raises(RemoteProtocolError):
            CloneVFolder.decode(body)


@given(st.text(), st.text(), st.text())
def test_reply_to_clone(folder_id: str, name: str, task: str) -> None:
    assert Cloned.decode(Cloned(folder_id, name, task).encode()) == Cloned(folder_id, name, task)


@given(st.text(), st.lists(st.text()).map(tuple), st.dictionaries(st.text(), numbers))
def test_hosts(default: str, allowed: tuple[str, ...], usage: dict[str, float]) -> None:
    hosts = StorageHosts(default, allowed, usage)
    assert StorageHosts.decode(hosts.encode()) == hosts


def test_hosts_as_managers_tell_them() -> None:
    body = {
        "default": None,
        "allowed": ["local:volume1", "nas:a"],
        "volume_info": {
            "local:volume1": {"backend": "vfs", "capabilities": [], "usage": {"percentage": 42.5}},
            "nas:a": {"backend": "vfs", "capabilities": [], "usage": {}},
        },
    }
    found = StorageHosts.decode(json.dumps(body).encode())
    assert found == StorageHosts("", ("local:volume1", "nas:a"), {"local:volume1": 42.5})
    assert StorageHosts.decode(b'{"default":"a","allowed":["a"]}') == StorageHosts("a", ("a",))


@given(st.lists(st.text()).map(tuple))
def test_types(types: tuple[str, ...]) -> None:
    assert decode_types(encode_types(types)) == types


@given(st.text().filter(lambda t: "/" not in t and t not in ("", ".", "..")), st.text(min_size=1))
def test_rename_file(name: str, path: str) -> None:
    assert RenameFile.decode(RenameFile(path, name).encode()) == RenameFile(path, name)


def test_rename_file_keeps_the_folder() -> None:
    body = RenameFile("a/b.txt", "c.txt").encode()
    assert MoveFile.decode(body) == MoveFile("a/b.txt", "a/c.txt")
    for wrong in ("", ".", "..", "a/b"):
        with pytest.raises(LocalProtocolError, match="not the name of a file"):
            RenameFile("a", wrong).encode()


@given(st.lists(st.text(), min_size=1).map(tuple), st.text())
def test_archive(files: tuple[str, ...], name: str) -> None:
    assert ArchiveRequest.decode(ArchiveRequest(files, name).encode()) == ArchiveRequest(
        files, name
    )


def test_archive_on_the_first_releases() -> None:
    assert json.loads(ArchiveRequest(("a",), "a.zip").encode((26, 3, 1))) == {
        "files": ["a"],
        "path": ".",
    }
    assert "filename" in json.loads(ArchiveRequest(("a",), "a.zip").encode((26, 4)))
    with pytest.raises(RemoteProtocolError):
        ArchiveRequest.decode(b'{"files":[]}')
    assert not Hello("v9.20250722", "25.19.1").archives_folders
    assert Hello("v9.20250722", "26.3.0").archives_folders


events = st.builds(
    TaskEvent,
    st.sampled_from(["updated", "done", "failed", "cancelled"]),
    st.text(),
    st.text(),
    numbers,
    numbers,
)


@given(events)
def test_task_events(event: TaskEvent) -> None:
    assert TaskEvent.decode(event.encode()) == event


@pytest.mark.parametrize(
    ("name", "data", "event"),
    [
        ("task_updated", '{"task_id":"t","current_progress":"1","total_progress":"3"}',
         TaskEvent("updated", "t", "", 1, 3)),
        ("bgtask_done", '{"task_id":"t","message":null,"status":"done","errors":[]}',
         TaskEvent("done", "t")),
        ("bgtask_failed", '{"message":"no space"}', TaskEvent("failed", "", "no space")),
        ("bgtask_cancelled", "", TaskEvent("cancelled")),
    ],
)  # fmt: skip
def test_task_events_of_managers(name: str, data: str, event: TaskEvent) -> None:
    assert TaskEvent.decode(Message(name, data)) == event
    assert event.succeeded is (event.kind == "done")
    assert event.failed is (event.kind in ("failed", "cancelled"))


def test_messages_that_are_no_task_events() -> None:
    assert TaskEvent.decode(Message("server_close", "{}")) is None
    for data in ("[", "[]", '{"current_progress":"x"}', '{"current_progress":[]}'):
        with pytest.raises(RemoteProtocolError):
            TaskEvent.decode(Message("bgtask_updated", data))
    request = task_events_request(SESSION_6, "a b")
    assert request.target == "/events/background-task?taskId=a+b"


def test_owner_and_quota_scope() -> None:
    info = VFolderInfo(
        folder_id="f", name="data", ownership="group", project="p", quota_scope="project:p"
    )
    assert VFolderInfo.decode(info.encode(SESSION_6)) == info
    old = VFolderInfo.decode({"id": "f", "name": "data", "type": "group", "group": "p"})
    assert (old.ownership, old.project, old.quota_scope) == ("group", "p", "")
