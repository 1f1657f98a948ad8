"""The calls of the asyncio and the blocking face, one entry for each public method.

They are written once, as in `tests/faces`: on the blocking face, each method is wrapped to be
awaited.
"""

from __future__ import annotations

import itertools
import shutil
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backendai_trio import KernelSpec
from backendai_trio.admin import Dotfile, SSHKeyPair
from backendai_trio.kernels import BatchJob

__all__ = ["ADMIN", "FOLDERS", "KERNELS", "STREAMS", "Subject", "public_methods"]

PYTHON = KernelSpec(runtime="python")
SERVICE = "8000"


@dataclass
class Subject:
    """What the calls are made on.

    Attributes:
        classes: of the face: ``Kernel``, ``VFolder`` and ``Admin``.
        kernel: one that lives from round to round; a file ``kept`` is in it.
        vfolder: the same, with a file of that name.
        here: a folder on this machine, with a file ``source``.
    """

    classes: dict[str, Any]
    kernel: Any
    vfolder: Any
    here: Path
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def name(self) -> str:
        """A name that nothing has had."""
        return f"leaks-{next(self.numbers)}"

    def into(self) -> Path:
        """A folder that is new."""
        path = self.here / "into" / self.name()
        path.mkdir(parents=True)
        return path

    def partial_files(self) -> list[str]:
        """Local files that were downloaded in part, or for a time. All are removed."""
        files = [path for path in (self.here / "into").rglob("*") if path.is_file()]
        found = [path.name for path in files if not _is_whole(path, self.here / "kept")]
        shutil.rmtree(self.here / "into", ignore_errors=True)
        return found


def _is_whole(path: Path, kept: Path) -> bool:
    if path.name == "all.zip":
        return zipfile.is_zipfile(path)
    return path.name in ("kept", "mine") and path.read_bytes() == kept.read_bytes()


Call = Callable[[Subject], Awaitable[object]]
TERMINAL, EXECUTION, APP = "StreamPty", "StreamExecute", "ForwardedApp"


# --- kernels -------------------------------------------------------------------------------------


async def create_and_destroy(on: Subject) -> None:
    async with await on.classes["Kernel"].get_or_create("python", on.name()) as kernel:
        await kernel.execute("print(1)")


async def destroy(on: Subject) -> None:
    kernel = await on.classes["Kernel"].get_or_create("python", on.name())
    try:
        await kernel.info()
    finally:
        await kernel.destroy()  # noqa: ASYNC102 (the face does not leave it half done)


async def enqueue(on: Subject) -> None:
    async with await on.classes["Kernel"].enqueue(PYTHON, token=on.name()):
        pass


async def rename(on: Subject) -> None:
    await on.kernel.rename(on.name())


KERNELS: dict[str, Call] = {
    "complete": lambda on: on.kernel.complete("pri"),
    "destroy": destroy,
    "download": lambda on: on.kernel.download(["kept"], on.into()),
    "download_as": lambda on: on.kernel.download_as("kept", on.into() / "mine"),
    "enqueue": enqueue,
    "execute": lambda on: on.kernel.execute("import time\nfor _ in range(9): time.sleep(0.005)"),
    # Not by its token, which an interrupted `rename` may have changed.
    "find": lambda on: on.classes["Kernel"].find(on.kernel.kernel_id),
    "get_info": lambda on: on.kernel.get_info(),
    "get_or_create": create_and_destroy,
    "info": lambda on: on.kernel.info(),
    "interrupt": lambda on: on.kernel.interrupt(),
    "list_apps": lambda on: on.kernel.list_apps(),
    "list_digests": lambda on: on.kernel.list_digests(),
    "list_files": lambda on: on.kernel.list_files(),
    "logs": lambda on: on.kernel.logs(),
    "mkdir": lambda on: on.kernel.mkdir(on.name()),
    "remove": lambda on: on.kernel.remove([on.name()]),
    "rename": rename,
    "restart": lambda on: on.kernel.restart(),
    "run": lambda on: on.kernel.run("print(1)"),
    "run_batch": lambda on: on.classes["Kernel"].run_batch(
        PYTHON, BatchJob("echo done"), token=on.name()
    ),
    "shutdown_service": lambda on: on.kernel.shutdown_service("sshd"),
    "ssh_login": lambda on: on.kernel.ssh_login(),
    "start_service": lambda on: on.kernel.start_service(SERVICE),
    "upload": lambda on: on.kernel.upload([on.here / "source"], base=on.here),
}


# --- what is open in a kernel ----------------------------------------------------------------


async def type_in_a_terminal(on: Subject) -> None:
    async with on.kernel.stream_pty() as terminal:
        await terminal.resize(30, 90)
        await terminal.send_str("echo $((6*")
        await terminal.send_bytes(b"7))")
        await terminal.send_all(b"\n")
        seen = b""
        while b"42" not in seen:
            seen += await anext(terminal)


async def control_a_terminal(on: Subject) -> None:
    async with on.kernel.stream_pty() as terminal:
        await terminal.interrupt()
        await terminal.restart()
        await terminal.send_eof()
        await terminal.close()


async def answer_a_run(on: Subject) -> None:
    async with on.kernel.stream_execute("print(input())", window=(20, 60)) as run:
        await run.resize(30, 90)
        await run.send_input("typed")
        await run.close_stdin()
        async for _ in run:
            pass


async def feed_a_run(on: Subject) -> None:
    async with on.kernel.stream_execute("import sys; sys.stdin.read(); print(1)") as run:
        await run.send_stdin(b"x" * 5000)
        await run.close_stdin()
        async for _ in run:
            pass


async def stop_a_run(on: Subject) -> None:
    async with on.kernel.stream_execute("import time; time.sleep(60)") as run:
        await run.interrupt()
        await run.close()


async def forward_a_port(on: Subject) -> None:
    async with on.kernel.open_app(SERVICE) as app:
        assert app.port
        await app.close()


STREAMS: dict[Call, tuple[str, ...]] = {
    type_in_a_terminal: (
        "Kernel.stream_pty",
        f"{TERMINAL}.resize",
        f"{TERMINAL}.send_all",
        f"{TERMINAL}.send_bytes",
        f"{TERMINAL}.send_str",
    ),
    control_a_terminal: tuple(
        f"{TERMINAL}.{name}" for name in ("close", "interrupt", "restart", "send_eof")
    ),
    answer_a_run: ("Kernel.stream_execute", f"{EXECUTION}.resize", f"{EXECUTION}.send_input"),
    feed_a_run: (f"{EXECUTION}.send_stdin", f"{EXECUTION}.close_stdin"),
    stop_a_run: (f"{EXECUTION}.interrupt", f"{EXECUTION}.close"),
    forward_a_port: ("Kernel.open_app", f"{APP}.close"),
}


# --- virtual folders -----------------------------------------------------------------------------


async def make_a_folder(on: Subject) -> None:
    folder = await on.classes["VFolder"].create(on.name())
    await folder.rename(on.name())
    await folder.delete()


async def rename_a_file(on: Subject) -> None:
    await on.vfolder.upload([on.here / "source"], base=on.here)
    await on.vfolder.rename_file("source", on.name())


async def move_a_file(on: Subject) -> None:
    await on.vfolder.upload([on.here / "source"], base=on.here)
    await on.vfolder.move("source", on.name())


FOLDERS: dict[str, Call] = {
    "accept_invitation": lambda on: on.classes["VFolder"].accept_invitation("0" * 32),
    "clone": lambda on: on.vfolder.clone(on.name()),
    "create": make_a_folder,
    "decline_invitation": lambda on: on.classes["VFolder"].decline_invitation("0" * 32),
    "delete": make_a_folder,
    "download": lambda on: on.vfolder.download(["kept"], on.into()),
    "download_archive": lambda on: on.vfolder.download_archive(["kept"], on.into() / "all.zip"),
    "find": lambda on: on.classes["VFolder"].find(on.vfolder.name),
    "get": lambda on: on.classes["VFolder"].get(on.vfolder.name),
    "info": lambda on: on.vfolder.info(),
    "invite": lambda on: on.vfolder.invite(["somebody@example.com"]),
    "leave": lambda on: on.vfolder.leave(),
    "list": lambda on: on.classes["VFolder"].list(),
    "list_files": lambda on: on.vfolder.list_files(),
    "list_folder_types": lambda on: on.classes["VFolder"].list_folder_types(),
    "list_hosts": lambda on: on.classes["VFolder"].list_hosts(),
    "list_invitations": lambda on: on.classes["VFolder"].list_invitations(),
    "mkdir": lambda on: on.vfolder.mkdir(on.name()),
    "move": move_a_file,
    "purge": lambda on: on.vfolder.purge(),
    "remove": lambda on: on.vfolder.remove([on.name()]),
    "rename": make_a_folder,
    "rename_file": rename_a_file,
    "restore": lambda on: on.vfolder.restore(),
    "share": lambda on: on.vfolder.share(["somebody@example.com"]),
    "unshare": lambda on: on.vfolder.unshare(["somebody@example.com"]),
    "update_options": lambda on: on.vfolder.update_options(permission="rw"),
    "upload": lambda on: on.vfolder.upload([on.here / "source"], base=on.here),
}


# --- the administration ----------------------------------------------------------------------

DOMAIN = "domains"
PAIR = SSHKeyPair("ssh-rsa AAAA", "a private key")

#: The gateway refuses those of managers.
ADMIN: dict[str, Call] = {
    "alias_image": lambda on: on.classes["Admin"].alias_image("a", "b"),
    "allow_resource_group": lambda on: on.classes["Admin"].allow_resource_group("a", "domain", "b"),
    "announce": lambda on: on.classes["Admin"].announce("text"),
    "change_members": lambda on: on.classes["Admin"].change_members("a", ["b"]),
    "check_resources": lambda on: on.classes["Admin"].check_resources(),
    "create_row": lambda on: on.classes["Admin"].create_row(DOMAIN, "a"),
    "create_template": lambda on: on.classes["Admin"].create_template(on.name(), PYTHON),
    "dealias_image": lambda on: on.classes["Admin"].dealias_image("a"),
    "delete_dotfile": lambda on: on.classes["Admin"].delete_dotfile(".none"),
    "delete_row": lambda on: on.classes["Admin"].delete_row(DOMAIN, "a"),
    "delete_template": lambda on: on.classes["Admin"].delete_template("0" * 32),
    "forbid_resource_group": lambda on: on.classes["Admin"].forbid_resource_group(
        "a", "domain", "b"
    ),
    "forget_image": lambda on: on.classes["Admin"].forget_image("a"),
    "generate_ssh_keypair": lambda on: on.classes["Admin"].generate_ssh_keypair(),
    "get_announcement": lambda on: on.classes["Admin"].get_announcement(),
    "get_dotfile": lambda on: on.classes["Admin"].get_dotfile(".none"),
    "get_row": lambda on: on.classes["Admin"].get_row(DOMAIN, "a"),
    "get_template": lambda on: on.classes["Admin"].get_template("0" * 32),
    "get_ssh_public_key": lambda on: on.classes["Admin"].get_ssh_public_key(),
    "key_pair_limits": lambda on: on.classes["Admin"].key_pair_limits(),
    "list_dotfiles": lambda on: on.classes["Admin"].list_dotfiles(),
    "list_kernels": lambda on: on.classes["Admin"].list_kernels(),
    "list_resource_groups": lambda on: on.classes["Admin"].list_resource_groups(),
    "list_rows": lambda on: on.classes["Admin"].list_rows("sessions", fields=("name",)),
    "list_templates": lambda on: on.classes["Admin"].list_templates(),
    "preview_change": lambda on: on.classes["Admin"].preview_change(DOMAIN, "create", "a"),
    "purge_row": lambda on: on.classes["Admin"].purge_row(DOMAIN, "a"),
    "put_dotfile": lambda on: on.classes["Admin"].put_dotfile(Dotfile(".kept", "x")),
    "replace_template": lambda on: on.classes["Admin"].replace_template("0" * 32, PYTHON),
    "query": lambda on: on.classes["Admin"].query("query { version }"),
    "rescan_images": lambda on: on.classes["Admin"].rescan_images(),
    "update_row": lambda on: on.classes["Admin"].update_row(DOMAIN, "a", {"description": "b"}),
    "upload_ssh_keypair": lambda on: on.classes["Admin"].upload_ssh_keypair(PAIR),
}

#: Every call, by the method that it is of.
CALLS: dict[str, Call] = {
    **{f"Kernel.{name}": call for name, call in KERNELS.items()},
    **{names[0]: call for call, names in STREAMS.items()},
    **{f"VFolder.{name}": call for name, call in FOLDERS.items()},
    **{f"Admin.{name}": call for name, call in ADMIN.items()},
}


def public_methods(classes: dict[str, type]) -> set[str]:
    """The public methods of a face's classes; its properties and `exception` wait for nothing."""
    return {
        f"{label}.{name}"
        for label, cls in classes.items()
        for name in dir(cls)
        if not name.startswith("_") and callable(getattr(cls, name)) and name != "exception"
    }
