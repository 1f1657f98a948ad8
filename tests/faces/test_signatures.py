"""The faces have the same methods, with the same arguments, and type checkers know them all."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import backendai_trio
from backendai_trio import Execution, Kernel, Terminal, TrioKernel, TrioVFolder, VFolder, kernels
from backendai_trio import asyncio as asyncio_face
from backendai_trio.asyncio import AsyncAdmin, AsyncKernel, AsyncVFolder
from backendai_trio.faces import Admin, StreamExecute, StreamPty, batch, binding, compat, transfers

from ..programs import bare_environ

SKIPPED = {"self", "cls", "client", "config", "progress", "kernel", "folder"}
"""Which server, kernel or folder is said by a first argument in Trio, and by settings or the object
on the other faces. Progress is reported through Trio's channels, which only Trio has."""


def methods(cls: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(cls) if not name.startswith("_")}


def parameters(function: Callable[..., Any]) -> list[tuple[str, object, object]]:
    return [
        (item.name, item.kind, item.default)
        for item in inspect.signature(function).parameters.values()
        if item.name not in SKIPPED
    ]


OF_KERNELS = {
    "get_or_create": compat.get_or_create,
    "find": backendai_trio.find_kernel,
    "enqueue": backendai_trio.kernels.enqueue_kernel,
    "run_batch": batch.run_batch,
    "execute": compat.execute,
    "stream_execute": compat.stream_execute,
    "stream_pty": compat.stream_pty,
    "complete": compat.complete,
    "get_info": compat.get_info,
    "upload": transfers.upload,
    "download": transfers.download,
    "download_as": transfers.download_as,
    "list_apps": kernels.list_apps,
    "open_app": backendai_trio.open_app,
    "start_service": kernels.start_service,
    "shutdown_service": kernels.shutdown_service,
    "ssh_login": kernels.ssh_login,
}
IN_TRIO_ONLY = {
    "destroy_or_warn",  # at the end of the block of `open_kernel`
    "open_download",  # a context manager
    "release",  # from the block of `open_kernel`
    "upload_stream",  # of an async iterator in Trio
}
OF_FOLDERS = {
    "create": backendai_trio.create_vfolder,
    "find": backendai_trio.find_vfolder,
    "get": backendai_trio.find_vfolder,
    "list": backendai_trio.list_vfolders,
    "list_hosts": backendai_trio.vfolders.list_hosts,
    "list_folder_types": backendai_trio.vfolders.list_folder_types,
    "download_archive": transfers.download_archive,
    "list_invitations": backendai_trio.vfolders.list_invitations,
    "accept_invitation": backendai_trio.vfolders.accept_invitation,
    "decline_invitation": backendai_trio.vfolders.decline_invitation,
    "upload": transfers.upload_to_folder,
    "download": transfers.download_from_folder,
}


@pytest.mark.parametrize(
    ("engine", "functions", "in_asyncio", "blocking"),
    [
        (TrioKernel, OF_KERNELS, AsyncKernel, Kernel),
        (TrioVFolder, OF_FOLDERS, AsyncVFolder, VFolder),
    ],
)
def test_methods_are_those_of_trio(
    engine: type, functions: dict[str, Callable[..., Any]], in_asyncio: type, blocking: type
) -> None:
    of_objects = {
        name: function
        for name, function in inspect.getmembers(engine, inspect.isfunction)
        if not name.startswith("_") and name not in IN_TRIO_ONLY
    }
    in_trio = of_objects | functions
    for face in (in_asyncio, blocking):
        properties = {
            name for name, _ in inspect.getmembers(face, lambda x: isinstance(x, property))
        }
        assert methods(face) - properties == in_trio.keys()
        for name, function in in_trio.items():
            assert parameters(getattr(face, name)) == parameters(function), name
    for name, function in in_trio.items():
        waits = inspect.iscoroutinefunction(function)
        assert inspect.iscoroutinefunction(getattr(in_asyncio, name)) == waits, name
        assert not inspect.iscoroutinefunction(getattr(blocking, name)), name


@pytest.mark.parametrize(
    ("function", "plain"),
    [
        (TrioKernel.upload, transfers.upload),
        (TrioKernel.download, transfers.download),
        (TrioKernel.download_as, transfers.download_as),
        (TrioVFolder.upload, transfers.upload_to_folder),
        (TrioVFolder.download, transfers.download_from_folder),
        (TrioVFolder.download_archive, transfers.download_archive),
    ],
)
def test_transfers_lack_progress_only(
    function: Callable[..., Any], plain: Callable[..., Any]
) -> None:
    # Files of kernels may be streams in Trio, and are called items there.
    assert [item[1:] for item in parameters(plain)] == [item[1:] for item in parameters(function)]


def test_docstrings_are_those_of_trio() -> None:
    assert Kernel.destroy.__doc__ == inspect.getdoc(TrioKernel.destroy)
    assert AsyncKernel.destroy.__doc__ == Kernel.destroy.__doc__


def test_docstrings_of_batch_sessions_are_those_of_trio() -> None:
    in_trio, plain = (
        inspect.getdoc(function) or "" for function in (kernels.run_batch, Kernel.run_batch)
    )
    assert in_trio.partition("Returns:")[2] == plain.partition("Returns:")[2]
    for name in ("progress", "output", "task_status"):
        assert f"\n    {name}: " in in_trio and f"{name}: " not in plain


def test_class_methods_take_the_settings_of_the_server() -> None:
    for method in (Kernel.get_or_create, AsyncVFolder.list, Admin.query, AsyncAdmin.list_rows):
        *_, last = inspect.signature(method).parameters.values()
        assert (last.name, last.kind, last.default) == ("config", last.KEYWORD_ONLY, None)
        doc = inspect.getdoc(method) or ""
        assert "    config: settings of the server" in doc.partition("Args:")[2]
        assert "    client:" not in doc


def described(function: Callable[..., Any], *, config: bool = False) -> str:
    def call() -> None: ...

    adopt = binding.adopt_function if config else binding.adopt_method
    adopt(call, function)
    return call.__doc__ or ""


def test_docstrings_lose_the_first_argument() -> None:
    def one(kernel: object) -> None:
        """Do it.

        Args:
            kernel: to do it
                to.

        Raises:
            ValueError: no.
        """

    def two(kernel: object, code: str) -> None:
        """Do it.

        Args:
            kernel: to do it to.
            code: what to do
                with it.
        """

    def none(kernel: object) -> None:
        """Do it."""

    def silent(kernel: object) -> None: ...

    def raising(kernel: object) -> None:
        """Do it.

        Raises:
            ValueError: no.
        """

    config = binding._CONFIG.rstrip()
    args = "Args:\n    code: what to do\n        with it."
    raises = "Raises:\n    ValueError: no."
    assert described(one) == f"Do it.\n\n{raises}"
    assert described(one, config=True) == f"Do it.\n\nArgs:\n{config}\n\n{raises}"
    assert described(two) == f"Do it.\n\n{args}"
    assert described(two, config=True) == f"Do it.\n\n{args}\n{config}"
    assert described(none) == "Do it."
    assert described(none, config=True) == f"Do it.\n\nArgs:\n{config}"
    assert described(silent) == ""
    assert described(raising) == f"Do it.\n\n{raises}"
    assert described(raising, config=True) == f"Do it.\n\nArgs:\n{config}\n\n{raises}"


def test_admin() -> None:
    assert methods(AsyncAdmin) == methods(Admin)
    for name in methods(Admin):
        packages = (backendai_trio.admin, kernels, backendai_trio)
        in_trio = parameters(
            next(getattr(package, name) for package in packages if hasattr(package, name))
        )
        assert parameters(getattr(AsyncAdmin, name)) == in_trio
        assert parameters(getattr(Admin, name)) == in_trio


@pytest.mark.parametrize(
    ("in_trio", "in_asyncio", "blocking"),
    [
        (Terminal, asyncio_face.StreamPty, StreamPty),
        (Execution, asyncio_face.StreamExecute, StreamExecute),
    ],
)
def test_streams(in_trio: type, in_asyncio: type, blocking: type) -> None:
    assert methods(in_asyncio) == methods(blocking) - {"write"}
    # Trio's are closed by their blocks, and the names of `Terminal` are those of Trio's streams.
    own = {"aclose", "abandon", "receive_some", "wait_send_all_might_not_block"}
    own |= {"connection"}  # to be waited for in Trio: the command line tells people of it
    own |= {"collect"}  # what `run` and `execute` of a kernel return
    assert methods(in_trio) - own <= methods(blocking)
    for name in methods(in_asyncio):
        if inspect.isfunction(inspect.getattr_static(blocking, name)):
            assert parameters(getattr(in_asyncio, name)) == parameters(getattr(blocking, name))
            if hasattr(in_trio, name):
                kinds = [item[1:] for item in parameters(getattr(in_trio, name))]
                assert kinds == [item[1:] for item in parameters(getattr(blocking, name))]


def test_names_of_1_1_1() -> None:
    assert asyncio_face.Kernel is AsyncKernel
    assert asyncio_face.Admin is AsyncAdmin
    assert asyncio_face.VFolder is AsyncVFolder
    pty = asyncio_face.StreamPty
    assert {"closed", "exception", "send_str", "resize", "restart", "close"} <= methods(pty)


# --- type checkers -------------------------------------------------------------------------------

PROGRAMS = {
    "trio": """
import trio
from pathlib import Path
from backendai_trio import (
    KernelSpec, Stdout, create_vfolder, list_vfolders, open_client, open_kernel,
)
from backendai_trio.files import plan_uploads

async def main() -> None:
    async with open_client() as client:
        async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
            async with kernel.execute("print(1)") as run:
                async for event in run:
                    if isinstance(event, Stdout):
                        print(event.text.upper())
            await kernel.upload([Path("a"), "b"], to="in")
            print([path.name for path in await kernel.download(["in"], "out", overwrite=True)])
        folder = await create_vfolder(client, "data", max_bytes=10)
        await folder.upload(["a", Path("b"), *plan_uploads(["c"])], base=Path())
        reveal_type(await folder.list_files("in"))
        print([info.name.upper() for info in await list_vfolders(client)])

trio.run(main)
""",
    "asyncio": """
import asyncio
from backendai_trio import Stdout
from pathlib import Path
from backendai_trio.asyncio import AsyncAdmin, AsyncKernel, AsyncVFolder

async def main() -> None:
    kern = await AsyncKernel.get_or_create("python", client_token="abc")
    result = await kern.execute("print(1)", mode="query")
    reveal_type(result["console"])
    for kind, text in result["console"]:
        print(kind.upper(), text)
    async with kern.stream_execute("print(1)") as run:
        async for event in run:
            if isinstance(event, Stdout):
                print(event.text.upper())
    pty = await kern.stream_pty()
    pty.send_str("exit")
    await pty.resize(30, 100)
    async for data in pty:
        print(data.decode())
    await pty.close()
    rows = await AsyncAdmin.list_kernels()
    print([row.token for row in rows])
    print([row["id"] for row in await AsyncAdmin.list_rows("agents", {"status": "ALIVE"})])
    await kern.upload([Path("a"), "b"], to="in")
    print([path.name for path in await kern.download(["in"], "out", overwrite=True)])
    print([file.size + 1 for file in (await kern.list_files()).files])
    await asyncio.gather(kern.mkdir("made"), kern.remove(["in"], recursive=True))
    statistics = await kern.destroy()
    reveal_type(statistics)
    folder = await AsyncVFolder.create("data", max_bytes=10)
    task = asyncio.create_task(folder.upload(["a", Path("b")], base=Path()))
    await task
    reveal_type(await folder.list_files("in"))
    print([path.name for path in await folder.download(["."])], folder.name.upper())
    print([info.name.upper() for info in await AsyncVFolder.list()])
    for invitation in await AsyncVFolder.list_invitations():
        await AsyncVFolder.accept_invitation(invitation.invitation_id)
    await (await AsyncVFolder.get("data")).delete()

asyncio.run(main())
""",
    "blocking": """
from pathlib import Path
from backendai_trio import Kernel, Stdout, VFolder
from backendai_trio.faces import Admin

kern = Kernel.get_or_create("python", client_token="abc")
result = kern.execute("print(1)", mode="query")
reveal_type(result["console"])
with kern.stream_execute("print(1)") as run:
    for event in run:
        if isinstance(event, Stdout):
            print(event.text.upper())
with kern.stream_pty() as pty:
    pty.write(b"exit")
    for data in pty:
        print(data.decode())
print([row.token for row in Admin.list_kernels()])
print([row["id"] for row in Admin.list_rows("agents", {"status": "ALIVE"})])
kern.upload([Path("a"), "b"], to="in")
print([path.name for path in kern.download(["in"], "out", overwrite=True)])
print([file.size + 1 for file in kern.list_files().files])
kern.mkdir("made")
kern.remove(["in"], recursive=True)
statistics = kern.destroy()
reveal_type(statistics)
folder = VFolder.create("data", max_bytes=10)
folder.upload(["a", Path("b")], base=Path())
reveal_type(folder.list_files("in"))
print([path.name for path in folder.download(["."])], folder.name.upper())
print([info.name.upper() for info in VFolder.list()])
for invitation in VFolder.list_invitations():
    VFolder.accept_invitation(invitation.invitation_id)
VFolder.get("data").delete()
""",
}

WRONG = """
from backendai_trio import Kernel, VFolder
from backendai_trio.faces import Admin

kern = Kernel.get_or_create("python")
folder = VFolder.create("data")
kern.execute("print(1)", mode="nonsense")
kern.execute("print(1)").upper()
kern.no_such_method()
kern.upload(1)
kern.download(["a"], overwrite="yes")
kern.destroy().no_such_statistic
Admin.list_rows("no-such-kind")
VFolder.create("other", permission="nonsense")
VFolder.list(1)
Kernel.get_or_create(lang=1)
Kernel.find("token", config="nonsense")
Kernel.find("token", config=None).no_such_method()
kern.stream_execute(1)
kern.rename()
folder.invite(["somebody"], "rw")
folder.list_files()[0].no_such_attribute
folder.name = "other"
"""
WRONG_FROM = WRONG[: WRONG.index("nonsense")].count("\n") + 1
"""The first of its lines with a mistake; so has each line from there on."""


def mypy(folder: Path, program: str) -> tuple[int, str]:
    path = folder / "program.py"
    path.write_text(program)
    root = Path(backendai_trio.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder), str(path)],
        env=bare_environ(MYPYPATH=str(root)),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("face", list(PROGRAMS))
def test_programs_type_check(folder: Path, face: str) -> None:
    code, said = mypy(folder, PROGRAMS[face])
    assert code == 0, said
    said = re.sub(r"builtins\.|backendai_trio\.[a-z.]*", "", said)
    assert 'Revealed type is "list[FileInfo]"' in said
    if face != "trio":
        assert 'Revealed type is "list[tuple[str, Any]]"' in said
        assert 'Revealed type is "Statistics | None"' in said


def test_mistakes_are_found(folder: Path) -> None:
    code, said = mypy(folder, WRONG)
    assert code == 1
    lines = {int(number) for number in re.findall(r"program.py:(\d+): error:", said)}
    assert lines == set(range(WRONG_FROM, len(WRONG.splitlines()) + 1)), said
