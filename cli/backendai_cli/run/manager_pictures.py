"""Pictures of programs on managers, which send only those of code that their interpreters run.

Such a program gets what programs on our own gateway get: the modules that show pictures. No socket
takes the pictures there, so they are kept in a folder of the kernel, and downloaded when the
program has ended.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import trio

from backendai_trio import BackendError, BatchOptions, Media, RemoteProtocolError, TrioKernel
from backendai_trio.files import Upload
from backendai_trio.kernels import PYTHON_RULE, FileInfo, Listing

from ..console import Status, printable
from ..languages import command_of, language_of
from .manager_programs import any_source_has

__all__ = ["ProgramPictures", "prepare_pictures"]

_SHOWS = re.compile(rb"\b(backendai_display|matplotlib|pandas|plotnine|pylab|pyplot|seaborn)\b")
_HEAD = re.compile(rb"([\x21-\x7e]{1,100}) ([0-9]{1,10})\n")
_PART = re.compile(r"[0-9]{6,9}\.[0-9]{3}")
_MOST_BYTES = 9 << 20
"""Of one picture: 8 MiB, and its head. Programs can write files by themselves."""
_MOST_PICTURES = 1000
_SKIP = "Let the program save pictures to files, or leave them out with --media skip"


class ProgramPictures:
    """The pictures that a program in a kernel of a manager shows.

    Attributes:
        options: what is to be run, so that its Python programs keep what they show.
    """

    def __init__(
        self, kernel: TrioKernel, folder: str, options: BatchOptions, status: Status, label: str
    ) -> None:
        """
        Args:
            kernel: where the program runs.
            folder: of the kernel, for the pictures; the modules are in it.
            options: see the attribute.
            status: where to warn.
            label: what warnings begin with.
        """
        self.options = options
        self._kernel = kernel
        self._folder = folder
        self._status = status
        self._label = label

    async def show(self, show: Callable[[Media], Awaitable[object]], *, keeps: bool) -> None:
        """Show them, in their order, when the program has ended.

        Pictures that cannot be downloaded break no run: a warning tells of it.

        Args:
            show: shows one.
            keeps: whether the kernel stays, so that the folder is to be removed.
        """
        try:
            for parts in self._listed(await self._kernel.list_files(self._folder)):
                content = b"".join([await self._read(file.name) for file in parts])
                if (medium := _medium_in(content)) is not None:
                    await show(medium)
        except BackendError as exc:
            self._warn(f"Pictures of the program cannot be downloaded: {printable(str(exc))}")
        if keeps:
            await self._remove_folder()

    async def _remove_folder(self) -> None:
        try:
            await self._kernel.remove([self._folder], recursive=True)
        except BackendError as exc:
            text = f"the folder {self._folder} stays in the kernel: {printable(str(exc))}"
            self._status.warn(f"{self._label}{text}")

    def _listed(self, listing: Listing) -> Iterator[list[FileInfo]]:
        """The parts of each picture."""
        if listing.problem:
            self._warn(f"Pictures of the program cannot be listed: {printable(listing.problem)}")
        files = [file for file in listing.files if _PART.fullmatch(file.name)]
        groups = groupby(sorted(files, key=lambda file: file.name), lambda file: file.name[:-4])
        for count, (_, group) in enumerate(groups):
            parts = list(group)
            if count == _MOST_PICTURES:
                self._warn(f"Of the program's pictures, {_MOST_PICTURES:,} are shown at most")
                return
            is_sound = all(file.mode.startswith("-") for file in parts)
            if is_sound and sum(file.size for file in parts) <= _MOST_BYTES:
                yield parts
            else:
                self._warn("A picture of the program is left out: it is too large, or no file")

    async def _read(self, name: str) -> bytes:
        content = b""
        async with self._kernel.open_download(f"{self._folder}/{name}") as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise RemoteProtocolError(f"{name} is larger than it was listed")
        return content

    def _warn(self, text: str) -> None:
        self._status.warn(f"{self._label}{text}. {_SKIP}.")


async def prepare_pictures(
    kernel: TrioKernel,
    options: BatchOptions,
    uploads: Sequence[Upload],
    runtime: str,
    program: str,
    *,
    status: Status,
    label: str = "",
) -> ProgramPictures | None:
    """Prepare a kernel for a program that shows pictures.

    Args:
        kernel: where the program is to run.
        options: what is to be run, from `command_of_program`.
        uploads: the files of the program.
        runtime: runtime or image.
        program: the script that is the program; ``""`` for what the runtime runs by itself.
        status: where to warn.
        label: what warnings begin with.

    Returns:
        The pictures; None if none of the files speaks of pictures, the program's command is not
        known, the server sends no files of kernels (before 1.4), or the kernel refuses the modules,
        of which a warning tells.
    """
    command = _command_of(options, runtime, program)
    may_show = await trio.to_thread.run_sync(any_source_has, _SHOWS, uploads, ".py")
    if not may_show or not command or kernel.client.era.prefix:
        return None
    folder = f".backendai-display-{secrets.token_hex(4)}"
    try:
        modules = await trio.to_thread.run_sync(_modules)
        await kernel.upload(modules, to=folder)
    except BackendError as exc:
        text = f"{label}Pictures of the program cannot be shown: {printable(str(exc))}"
        status.warn(f"{text}. {_SKIP}.")
        return None
    in_folder = replace(options, exec=f"{_set_up(folder)}{command}")
    return ProgramPictures(kernel, folder, in_folder, status, label)


def _command_of(options: BatchOptions, runtime: str, program: str) -> str:
    """The command of the program, for a shell; ``""`` if it is not known, or there is none."""
    if options.exec != "*":
        return options.exec or ""
    if program == "main.py" and language_of(runtime) == "python":
        return f'{PYTHON_RULE}\n"$python" main.py'  # as the rule of the image
    return command_of(runtime, program)


def _set_up(folder: str) -> str:
    # In front: kernels of managers have a sitecustomize of their own in PYTHONPATH (measured:
    # 26.9.6), which ours runs.
    return (
        f'export BACKENDAI_DISPLAY="$PWD/{folder}"\n'
        f'export PYTHONPATH="$PWD/{folder}${{PYTHONPATH:+:$PYTHONPATH}}"\n'
    )


def _modules() -> list[Path]:
    from backendai_trio.gateway import PYTHON_PATH

    return sorted(Path(PYTHON_PATH).glob("*.py"))


def _medium_in(content: bytes) -> Media | None:
    """The medium of a file; None if its program was killed while it wrote it."""
    head = _HEAD.match(content)
    if head is None or len(content) - head.end() != int(head[2]):
        return None
    mime_type = head[1].decode()
    return Media(mime_type, f"data:{mime_type};base64,{b64encode(content[head.end() :]).decode()}")
