"""What a release cannot do, it still cannot: when it can, its row in the table goes."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    ApiError,
    BackendError,
    BatchOptions,
    Client,
    Html,
    KernelLeftBehindWarning,
    KernelSpec,
    Media,
    TrioKernel,
    TrioVFolder,
    list_kernels,
    list_vfolders,
    new_token,
    open_client,
    open_events,
    open_kernel,
    open_terminal,
)
from backendai_trio.admin import (
    Kind,
    SSHKeyPair,
    check_resources,
    create_row,
    get_announcement,
    get_ssh_public_key,
    list_dotfiles,
    list_rows,
    upload_ssh_keypair,
)
from backendai_trio.files import UploadStream
from backendai_trio.kernels import (
    BatchJob,
    create_template,
    enqueue_kernel,
    list_apps,
    list_templates,
    open_app_stream,
    run_batch,
    ssh_login,
    start_service,
)
from backendai_trio.vfolders import accept_invitation, list_hosts, list_invitations

from .runs import chunks, new_folder_name, open_folder, run
from .targets import Target

PATIENCE_SECONDS = 20.0


_DISPLAY = "from IPython.display import display"


class Still(Exception):
    """It can, after all."""


async def _with_kernel(target: Target, attempt: Callable[[TrioKernel], Awaitable[None]]) -> None:
    async with (
        open_client(target.config()) as client,
        open_kernel(client, target.python) as kernel,
    ):
        await attempt(kernel)


async def _sessions(target: Target) -> None:
    """It may wait for an agent for ever."""
    async with open_client(target.config()) as client:
        with warnings.catch_warnings(), trio.move_on_after(5) as waiting:
            # That it may come up later is so; none may be left, as for every test here.
            warnings.simplefilter("ignore", KernelLeftBehindWarning)
            async with open_kernel(client, target.python):
                raise Still
        if waiting.cancelled_caught:
            raise ApiError(503, title="the session stays pending")


async def _enqueue(target: Target) -> None:
    async with open_client(target.config()) as client:
        await enqueue_kernel(client, target.python, token=new_token())


async def _bootstrap_script(target: Target) -> None:
    spec = replace(target.python, bootstrap_script="true\n")
    async with open_client(target.config()) as client, open_kernel(client, spec):
        pass


async def _batch_session(target: Target) -> None:
    async with open_client(target.config()) as client:
        await run_batch(client, target.python, BatchJob("true"))


async def _restart(kernel: TrioKernel) -> None:
    await kernel.restart()


async def _rename(kernel: TrioKernel) -> None:
    await kernel.rename(new_token())


async def _complete(kernel: TrioKernel) -> None:
    await run(kernel, "a_long_name = 1")
    if await kernel.complete("a_lon") == []:
        raise BackendError("nothing comes of it")


async def _query_exit_code(kernel: TrioKernel) -> None:
    if (await run(kernel, "1 / 0")).exit_code != 1:
        raise BackendError("no exit code tells of the failure")


async def _query_exit(kernel: TrioKernel) -> None:
    if (await run(kernel, "import sys; sys.exit(3)")).exit_code != 3:
        raise BackendError("no exit code, and no word of it")


async def _batch_input(kernel: TrioKernel) -> None:
    options = BatchOptions(build=None, exec="cat | wc -c")
    result = await kernel.run(mode="batch", options=options, stdin=b"abc\n")
    if result["console"] == [("stdout", "0\n")]:
        raise BackendError("it got nothing")


async def _exit_codes(kernel: TrioKernel) -> None:
    options = BatchOptions(build="", exec="sh -c 'sleep 0.3; exit 7'")
    if (await run(kernel, mode="batch", options=options)).exit_code is None:
        raise BackendError("there is none")


async def _syntax_errors(kernel: TrioKernel) -> None:
    if "SyntaxError" not in (said := (await run(kernel, "print('x'")).text):
        raise BackendError(said)


async def _wait_interrupts(kernel: TrioKernel) -> None:
    async with kernel.execute("import time\nprint('up', flush=True)\ntime.sleep(8)") as execution:
        await anext(execution)
        await execution.interrupt()
        with trio.move_on_after(5):
            async for _ in execution:
                pass
        if execution.outcome is None:
            async for _ in execution:  # it ends by itself
                pass
            raise BackendError("the code went on")


async def _batch_interrupts(kernel: TrioKernel) -> None:
    code = b"import time\nprint('up', flush=True)\nwhile True: time.sleep(0.05)\n"
    await kernel.upload([UploadStream(chunks(code), "main.py", len(code))])
    async with kernel.execute(mode="batch", options=BatchOptions(exec="python main.py")) as batch:
        await anext(batch)
        await batch.interrupt()
        with trio.move_on_after(10):
            async for _ in batch:
                pass
        if batch.outcome is None:
            batch.abandon()  # its kernel ends with this test
            raise BackendError("the program went on")


async def _shows(kernel: TrioKernel, code: str) -> None:
    with trio.move_on_after(PATIENCE_SECONDS):
        ran = await run(kernel, code)
        if any(isinstance(event, Html | Media) for event in ran.events):
            return
    raise BackendError("nothing comes of it")


async def _large_downloads(kernel: TrioKernel, folder: Path) -> None:
    await run(kernel, "open('a.bin', 'wb').write(b'A' * 5000000)")
    await kernel.download(["a.bin"], folder)


async def _session_files(kernel: TrioKernel) -> None:
    if (problem := (await kernel.list_files(".")).problem) != "":
        raise BackendError(problem)


async def _apps(kernel: TrioKernel) -> None:
    await list_apps(kernel)


async def _app_streams(kernel: TrioKernel) -> None:
    async with open_app_stream(kernel, "echo"):
        pass


async def _app_proxy(kernel: TrioKernel) -> None:
    apps = await list_apps(kernel) if kernel.client.era.names_session else []
    await start_service(kernel, apps[0].name if apps else "echo")


async def _ssh(kernel: TrioKernel) -> None:
    await ssh_login(kernel)


async def _terminal(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal:
        await terminal.send_all(b"echo 4$((1 + 1))\n")
        shown = b""
        with trio.move_on_after(PATIENCE_SECONDS):
            while b"42" not in shown:
                data = await terminal.receive_some()
                if not data:
                    break
                shown += data
            else:
                return
        raise BackendError("it says nothing")


async def _events(target: Target) -> None:
    async with open_client(target.config()) as client, open_events(client):
        pass


async def _remount(target: Target, local: Path) -> None:
    (local / "a.txt").write_text("A")
    async with open_client(target.config()) as client, open_folder(client) as folder:
        await folder.upload([local / "a.txt"], base=local)
        spec = replace(target.python, mounts=(folder.name,))
        async with open_kernel(client, spec) as kernel:
            await kernel.restart()
            code = f"import os\nprint(os.path.exists({folder.name!r} + '/a.txt'))"
            if (await run(kernel, code)).stdout == "False\n":
                raise BackendError("it is not there any more")


async def _folder(target: Target, what: str, local: Path) -> None:
    async with open_client(target.config()) as client, open_folder(client) as folder:
        match what:
            case "folder-files":
                await folder.list_files()
            case "folder-downloads":
                (local / "a.txt").write_text("A")
                await folder.upload([local / "a.txt"], base=local)
                await folder.download(["a.txt"], local / "got")
            case "folder-moves":
                await folder.move("a.txt", "b.txt")
            case "folder-options":
                await folder.update_options(cloneable=True)
            case "folder-clone":
                await folder.clone(new_folder_name())
            case "folder-archives":
                await folder.download_archive(["."], local / "all.zip")
            case "folder-rename-file":
                await folder.rename_file("a.txt", "b.txt")
            case "folder-hosts":
                await list_hosts(client)
            case "folder-project-lists":
                await list_vfolders(client, project="default")
            case "folder-trash":
                await folder.restore()
            case "folder-rename":
                await folder.rename(new_folder_name())
            case "folder-invitations":
                async with _open_as_guest(target, folder):
                    pass
            case "folder-leave" if target.can("folder-invitations"):
                async with _open_as_guest(target, folder) as guest:
                    await guest.leave()
            case "folder-leave":
                await folder.leave()


@asynccontextmanager
async def _open_as_guest(target: Target, folder: TrioVFolder) -> AsyncIterator[TrioVFolder]:
    """A folder as a user sees it whom its owner has invited."""
    await folder.invite(["user2@lablup.com"])
    async with open_client(target.config("user2")) as guest:
        for invitation in await list_invitations(guest):
            await accept_invitation(guest, invitation.invitation_id)
        yield TrioVFolder(guest, folder.name)


async def _list(target: Target, kind: Kind, **page: str) -> None:
    async with open_client(target.config("admin")) as client:
        await list_rows(client, kind, **page)  # type: ignore[arg-type]


async def _ask(target: Target, call: Callable[[Client], Awaitable[object]]) -> None:
    async with open_client(target.config()) as client:
        await call(client)


async def _create_template(client: Client) -> None:
    await create_template(client, "test", KernelSpec(runtime="python"))


async def _upload_ssh_keypair(client: Client) -> None:
    await upload_ssh_keypair(client, SSHKeyPair("ssh-rsa AAAA", "-----BEGIN"))


async def _folders_of_all(target: Target) -> None:
    async with open_client(target.config("admin")) as client, open_folder(client):
        await list_rows(client, "vfolders")


_ON_KERNEL: dict[str, Callable[[TrioKernel], Awaitable[None]]] = {
    "restart": _restart,
    "rename": _rename,
    "complete": _complete,
    "batch-input": _batch_input,
    "query-exit-code": _query_exit_code,
    "query-exit": _query_exit,
    "exit-codes": _exit_codes,
    "syntax-errors": _syntax_errors,
    "wait-interrupts": _wait_interrupts,
    "batch-interrupts": _batch_interrupts,
    "pictures": partial(_shows, code=f"{_DISPLAY}, SVG\ndisplay(SVG('<svg/>'))"),
    "html": partial(_shows, code=f"{_DISPLAY}, HTML\ndisplay(HTML('<b>bold</b>'))"),
    "session-files": _session_files,
    "apps": _apps,
    "app-streams": _app_streams,
    "app-proxy": _app_proxy,
    "ssh": _ssh,
    "terminal": _terminal,
}
_ON_TARGET: dict[str, Callable[[Target], Awaitable[None]]] = {
    "sessions": _sessions,
    "enqueue": _enqueue,
    "batch-sessions": _batch_session,
    "bootstrap-scripts": _bootstrap_script,
    "events": _events,
    "admin-vfolders": _folders_of_all,
    "everybodys-sessions": partial(_ask, call=partial(list_kernels, everybody=True)),
    "list-filters": partial(_list, kind="agents", filter='id == "x"'),
    "list-order": partial(_list, kind="agents", order="+id"),
    "resource-presets": partial(_ask, call=check_resources),
    "administration": partial(_ask, call=partial(create_row, kind="domains", key="a-domain")),
    "announcements": partial(_ask, call=get_announcement),
    "dotfiles": partial(_ask, call=list_dotfiles),
    "templates": partial(_ask, call=list_templates),
    "users-templates": partial(_ask, call=_create_template),
    "ssh-keypair": partial(_ask, call=get_ssh_public_key),
    "ssh-upload": partial(_ask, call=_upload_ssh_keypair),
    "admin-users": partial(_list, kind="users"),
    "admin-images": partial(_list, kind="images"),
    "admin-scaling-groups": partial(_list, kind="scaling-groups"),
    "admin-resource-policies": partial(_list, kind="resource-policies"),
}


async def test_still_cannot(target: Target, limit: str, tmp_path: Path) -> None:
    expected = target.limits[limit]
    with pytest.raises(expected.raises, match=expected.match or None):
        if limit in _ON_TARGET:
            await _ON_TARGET[limit](target)
        elif limit in _ON_KERNEL:
            await _with_kernel(target, _ON_KERNEL[limit])
        elif limit == "large-downloads":
            await _with_kernel(target, partial(_large_downloads, folder=tmp_path))
        elif limit == "folder-remount":
            await _remount(target, tmp_path)
        else:
            await _folder(target, limit, tmp_path)
