"""What every face promises; each test runs unchanged on all of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from backendai_trio import (
    DownloadError,
    Finished,
    InputRequest,
    InvalidRequest,
    LocalProtocolError,
    Media,
    NotFound,
    Stdout,
    UploadError,
)

Face = Any  # see conftest.py
Body = Callable[..., Coroutine[Any, Any, None]]


def on_each_face(body: Body) -> Callable[[Face], None]:
    def test(face: Face) -> None:
        face.run(body)

    test.__name__ = body.__name__
    return test


def said(result: Any, kind: str = "stdout") -> str:
    return "".join(text for stream, text in result["console"] if stream == kind)


@on_each_face
async def test_create_and_destroy(face: Face) -> None:
    kernel = await face.get_or_create("python")
    assert kernel.created
    assert face.gateway.tokens() == [kernel.token]
    assert kernel.kernel_id
    assert (await kernel.destroy()) is not None
    assert face.gateway.tokens() == []
    await kernel.destroy()  # may be repeated


@on_each_face
async def test_reuse_by_token(face: Face) -> None:
    first = await face.get_or_create("python", client_token="lab-1")
    await first.execute("x = 42")
    second = await face.get_or_create("python", "lab-1")
    assert not second.created
    assert said(await second.execute("print(x)")) == "42\n"
    found = await face.find("lab-1")
    assert said(await found.execute("print(x + 1)")) == "43\n"
    await found.destroy()


@on_each_face
async def test_execute(face: Face) -> None:
    kernel = await face.get_or_create("python", envs={"COLOUR": "blue"})
    result = await kernel.execute("import os, sys; print(os.environ['COLOUR'])", mode="query")
    assert result["console"] == [("stdout", "blue\n")]
    assert (result["status"], result["exitCode"]) == ("finished", 0)
    result = await kernel.execute("print('no', file=sys.stderr); sys.exit(3)")
    assert (said(result, "stderr"), result["exitCode"]) == ("no\n", 3)
    await kernel.destroy()


@on_each_face
async def test_long_output_is_one_result(face: Face) -> None:
    """The server tells it in pieces; `execute` goes on until the run has ended."""
    kernel = await face.get_or_create("python")
    code = "import time\nfor i in range(5):\n  print(i, flush=True)\n  time.sleep(0.6)"
    result = await kernel.execute(code)
    assert result["console"] == [("stdout", "0\n1\n2\n3\n4\n")]
    await kernel.destroy()


@on_each_face
async def test_order_of_arguments(face: Face) -> None:
    kernel = await face.get_or_create("python")
    assert said(await kernel.execute("print(1)")) == "1\n"
    assert (await kernel.execute("print(2)", run_id="run-2"))["runId"] == "run-2"
    # That of 1.1.1:
    result = await kernel.execute(run_id="run-3", code="print(3)", mode="query")
    assert (result["runId"], said(result)) == ("run-3", "3\n")
    result = await kernel.execute("run-4", code="print(4)")
    assert (result["runId"], said(result)) == ("run-4", "4\n")
    await kernel.destroy()


@on_each_face
async def test_input(face: Face) -> None:
    kernel = await face.get_or_create("python")
    result = await kernel.execute("name = input('your name? ')\nprint('hello,', name)")
    assert (result["status"], said(result)) == ("waiting-input", "your name? ")
    assert result["options"] == {"is_password": False}
    result = await kernel.execute("LABLUP", run_id=result["runId"], mode="input")
    assert (result["status"], said(result)) == ("finished", "hello, LABLUP\n")
    await kernel.destroy()


@on_each_face
async def test_batch_of_uploaded_files(face: Face) -> None:
    kernel = await face.get_or_create("python")
    folder = Path(__file__).parent
    await kernel.upload([folder / "contract.txt"], base=folder)
    opts = {"build": "cp contract.txt copy.txt", "exec": "cat copy.txt"}
    result = await kernel.execute("", mode="batch", opts=opts)
    assert said(result) == (folder / "contract.txt").read_text()
    assert result["exitCode"] == 0
    with pytest.raises(UploadError, match=r"nowhere\.txt"):
        await kernel.upload([folder / "nowhere.txt"])
    await kernel.destroy()


@on_each_face
async def test_files(face: Face) -> None:
    kernel = await face.get_or_create("python")
    with TemporaryDirectory() as name:
        local = Path(name)
        (local / "tree" / "sub").mkdir(parents=True)
        (local / "tree" / "sub" / "a.txt").write_text("one")
        await kernel.upload([local / "tree"], base=local, to="in")
        assert said(await kernel.execute("print(open('in/tree/sub/a.txt').read())")) == "one\n"
        await kernel.mkdir("in/made")
        assert {file.name for file in (await kernel.list_files("in")).files} == {"made", "tree"}
        out = local / "out"
        assert await kernel.download(["in/tree"], out) == [out / "tree"]
        assert (out / "tree" / "sub" / "a.txt").read_text() == "one"
        await kernel.execute("open('in/tree/sub/a.txt', 'w').write('two')")
        with pytest.raises(DownloadError, match=r"a\.txt.*nothing was changed"):
            await kernel.download(["in/tree"], out)
        assert (out / "tree" / "sub" / "a.txt").read_text() == "one"
        await kernel.download(["in/tree"], out, overwrite=True)
        assert (out / "tree" / "sub" / "a.txt").read_text() == "two"
        with pytest.raises(InvalidRequest, match="nowhere"):
            await kernel.download(["nowhere"], out)
        assert [path.name for path in out.iterdir()] == ["tree"]
    with pytest.raises(LocalProtocolError, match=r"\['./in'\]"):
        await kernel.remove("./in", recursive=True)
    await kernel.remove(["in/made", "in/tree"], recursive=True)
    assert (await kernel.list_files("in")).files == ()
    assert (await kernel.list_files("in/tree")).problem
    await kernel.destroy()


@on_each_face
async def test_virtual_folder(face: Face) -> None:
    folder = await face.folders.create("data")
    assert folder.name == "data"
    assert [info.name for info in await face.folders.list()] == ["data"]
    with pytest.raises(InvalidRequest, match="data"):
        await face.folders.create("data")
    with TemporaryDirectory() as name:
        local = Path(name)
        (local / "tree").mkdir()
        (local / "tree" / "a.txt").write_text("one")
        (local / "b.txt").write_text("two")
        await folder.upload([local / "tree", local / "b.txt"], base=local, to="in")
        await folder.mkdir("in/made")
        found = await (await face.folders.find("data")).list_files("in")
        assert [file.name for file in found] == ["b.txt", "made", "tree"]
        kernel = await face.get_or_create("python", mounts=["data"])
        code = "import shutil; shutil.copy('data/in/tree/a.txt', 'data/from-kernel.txt')"
        await kernel.execute(code)
        await kernel.destroy()
        out = local / "out"
        written = await folder.download(["in", "from-kernel.txt"], out)
        names = ["from-kernel.txt", "in/b.txt", "in/tree/a.txt"]
        assert sorted(path.relative_to(out).as_posix() for path in written) == names
        assert (out / "from-kernel.txt").read_text() == "one"
        with pytest.raises(DownloadError, match="nothing was changed"):
            await folder.download(["from-kernel.txt"], out)
        await folder.download(["from-kernel.txt"], out, overwrite=True)
        with pytest.raises(UploadError, match="nowhere"):
            await folder.upload([local / "b.txt", local / "nowhere"])
    await folder.move("in/b.txt", "moved.txt")
    with pytest.raises(LocalProtocolError, match=r"\['moved.txt'\]"):
        await folder.remove("moved.txt")
    await folder.remove(["moved.txt", "in"], recursive=True)
    assert [file.name for file in await folder.list_files()] == ["from-kernel.txt"]
    await folder.rename("renamed")
    assert folder.name == "renamed"
    info = await folder.info()
    assert (info.name, info.is_owner, info.num_files) == ("renamed", True, 1)
    await folder.delete()
    with pytest.raises(NotFound):
        await face.folders.find("renamed")
    assert await face.folders.list() == []


@on_each_face
async def test_shared_folder(face: Face) -> None:
    folder = await face.folders.create("data", max_bytes=100)
    them = face.other_user.access_key
    assert await folder.invite([them], permission="ro") == [them]
    (invitation,) = await face.other_folders.list_invitations()
    await face.other_folders.decline_invitation(invitation.invitation_id)
    await folder.invite([them])
    (invitation,) = await face.other_folders.list_invitations()
    await face.other_folders.accept_invitation(invitation.invitation_id)
    theirs = await face.other_folders.find("data")
    assert not (await theirs.info()).is_owner
    await theirs.mkdir("from-them")
    assert [file.name for file in await folder.list_files()] == ["from-them"]
    await theirs.leave()
    assert await face.other_folders.list() == []
    assert await folder.share([them]) == [them]
    assert [info.name for info in await face.other_folders.list()] == ["data"]
    assert await folder.unshare([them]) == [them]
    assert await face.other_folders.list() == []
    await folder.delete()


@on_each_face
async def test_stream_and_interrupt(face: Face) -> None:
    kernel = await face.get_or_create("python")
    async with kernel.stream_execute("print('up', flush=True)\nwhile True: pass") as run:
        events = []
        async for event in run:
            if event == Stdout("up\n"):
                await run.interrupt()
            events.append(event)
        assert events[-1] == run.outcome == Finished(130)
    await kernel.interrupt()  # nothing runs: nothing happens
    async with kernel.stream_execute("print(input())") as run:
        events = []
        async for event in run:
            if isinstance(event, InputRequest):
                await run.send_input("typed")
            events.append(event)
        assert Stdout("typed\n") in events
    await kernel.destroy()


@on_each_face
async def test_media_have_a_type_and_bytes(face: Face) -> None:
    kernel = await face.get_or_create("python")
    code = "import backendai_display as d\nprint(1)\nd.show('image/png', b'\\x89PNG\\0')\nprint(2)"
    async with kernel.stream_execute(code) as run:
        events = [event async for event in run]
    picture = events[1]
    assert isinstance(picture, Media)
    assert [*events[:1], *events[2:]] == [Stdout("1\n"), Stdout("2\n"), Finished(0)]
    assert (picture.mime_type, picture.content()) == ("image/png", b"\x89PNG\0")
    result = await kernel.execute(code)
    before, (kind, payload), after = result["console"]
    assert (before, kind, after) == (("stdout", "1\n"), "media", ("stdout", "2\n"))
    assert Media(*payload).content() == b"\x89PNG\0"
    await kernel.destroy()


@on_each_face
async def test_run_ends_with_its_block(face: Face) -> None:
    kernel = await face.get_or_create("python")
    async with kernel.stream_execute("print('up', flush=True)\nwhile True: pass") as run:
        async for event in run:
            if event == Stdout("up\n"):
                break
    assert run.outcome == Finished(130)
    assert said(await kernel.execute("print('free')")) == "free\n"
    await kernel.destroy()


@on_each_face
async def test_restart(face: Face) -> None:
    kernel = await face.get_or_create("python")
    await kernel.execute("x = 1; open('kept', 'w').close()")
    await kernel.restart()
    result = await kernel.execute("import os; print('x' in globals(), os.path.exists('kept'))")
    assert said(result) == "False True\n"
    await kernel.destroy()


@on_each_face
async def test_rename(face: Face) -> None:
    kernel = await face.get_or_create("python", client_token="first-name")
    await kernel.rename("second-name")
    assert kernel.token == "second-name"
    assert face.gateway.tokens() == ["second-name"]
    with pytest.raises(NotFound):
        await face.find("first-name")
    await kernel.destroy()


@on_each_face
async def test_more_of_files(face: Face) -> None:
    kernel = await face.get_or_create("python")
    folder = Path(__file__).parent
    await kernel.upload([folder / "contract.txt"], base=folder, to="in")
    (digest,) = await kernel.list_digests("in")
    assert (digest.name, digest.size) == ("contract.txt", (folder / "contract.txt").stat().st_size)
    with TemporaryDirectory() as name:
        target = Path(name) / "other.txt"
        await kernel.download_as("in/contract.txt", target)
        assert target.read_text() == (folder / "contract.txt").read_text()
    await kernel.destroy()


@on_each_face
async def test_complete(face: Face) -> None:
    kernel = await face.get_or_create("python")
    assert "print" in await kernel.complete("pri", {"row": 0, "col": 3, "line": "pri"})
    await kernel.destroy()


@on_each_face
async def test_state_of_a_kernel(face: Face) -> None:
    kernel = await face.get_or_create("python")
    await kernel.execute("print('in the log')")
    assert (await kernel.info()).runtime == "python"
    assert (await kernel.get_info())["lang"] == "python"
    assert "in the log" in await kernel.logs()
    await kernel.destroy()


@on_each_face
async def test_admin(face: Face) -> None:
    kernel = await face.get_or_create("python")
    assert [row.token for row in await face.list_kernels()] == [kernel.token]
    question = "query($n: Int!) { compute_session_list(limit: $n, offset: 0) { total_count } }"
    answer = await face.query(question, {"n": 1})
    assert answer["compute_session_list"]["total_count"] >= 1
    running = await face.list_rows("sessions", {"status": "RUNNING"})
    assert [row["name"] for row in running] == [kernel.token]
    with pytest.raises(LocalProtocolError, match="no-such-kind"):
        await face.list_rows("no-such-kind")
    await kernel.destroy()


@on_each_face
async def test_terminal(face: Face) -> None:
    kernel = await face.get_or_create("python")
    output = b""
    async with kernel.stream_pty() as pty:
        await pty.resize(30, 100)
        await pty.send_all(b"stty size; exit\n")
        async for data in pty:
            output += data
        assert pty.exit_code == 0
    assert b"30 100" in output
    await kernel.destroy()


@on_each_face
async def test_errors(face: Face) -> None:
    with pytest.raises(NotFound, match="no-such-runtime"):
        await face.get_or_create("no-such-runtime")
    with pytest.raises(NotFound):
        await face.find("no-such-kernel")
    kernel = await face.get_or_create("python")
    with pytest.raises(LocalProtocolError, match="complete"):
        await kernel.execute("pri", mode="complete")
    with pytest.raises(LocalProtocolError, match="runId"):
        await kernel.execute("an answer", mode="input")
    with pytest.raises(LocalProtocolError, match="nothing may come before"):
        await kernel.execute("print(1)", code="print(2)", run_id="3")
    with pytest.raises(LocalProtocolError, match="64 characters"):
        await kernel.execute("print(1)", run_id="x" * 65)
    await kernel.destroy()
    with pytest.raises(NotFound):
        await kernel.execute("print(1)")
