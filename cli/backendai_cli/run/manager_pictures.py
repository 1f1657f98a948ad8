"""Pictures of programs on managers, which send only those of code that their interpreters run.

Such a program gets what programs on our own gateway get: the modules that show pictures. No socket
takes the pictures there, so they are kept in a folder of the kernel, and downloaded when the
program has ended.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

import trio

from backendai_trio import BackendError, BatchOptions, Media, TrioKernel
from backendai_trio.files import Upload
from backendai_trio.gateway import MAX_SHOWN_BYTES, MAX_SHOWN_HEAD_BYTES, parse_shown_head
from backendai_trio.kernels import PYTHON_RULE, FileInfo, Listing

from ..console import Status, count, printable
from ..languages import command_of, language_of
from .manager_programs import any_source_has
from .media_options import MediaOptions

__all__ = ["ProgramPictures", "open_pictures"]

_SHOWS = re.compile(rb"\b(backendai_display|matplotlib|pandas|plotnine|pylab|pyplot|seaborn)\b")
_PART = re.compile(r"[0-9]{6,9}\.[0-9]{3}")
_MOST_PICTURES = 1000
_REMOVE_SECONDS = 5.0
_SKIP = "Let the program save pictures to files, or leave them out with --media skip"


class ProgramRequest(Protocol):
    """What a command line asks for, as far as it matters here."""

    @property
    def uploads(self) -> Sequence[Upload]:
        """The files of the program."""

    @property
    def options(self) -> BatchOptions:
        """With the script that is the program."""

    @property
    def media(self) -> MediaOptions:
        """What to do with pictures."""


class ProgramPictures:
    """The pictures that a program in a kernel of a manager shows.

    Attributes:
        options: what is to be run, so that its Python programs keep what they show.
    """

    def __init__(
        self, kernel: TrioKernel, options: BatchOptions, status: Status, label: str
    ) -> None:
        """
        Args:
            kernel: where the program runs.
            options: what is to be run without pictures.
            status: where to warn.
            label: what warnings begin with.
        """
        self.options = options
        self._kernel = kernel
        self._folder = ""
        """Of the kernel, for the pictures; the modules are in it."""
        self._is_ready = False
        self._status = status
        self._label = label

    async def prepare(self, command: str) -> None:
        """Get ready to keep pictures. If the kernel refuses the modules, a warning tells of it.

        Args:
            command: of the program, for a shell.
        """
        self._folder = f".backendai-display-{secrets.token_hex(4)}"
        modules = await trio.to_thread.run_sync(_modules)
        try:
            await self._kernel.upload(modules, to=self._folder)
        except BackendError as exc:
            self._warn(f"Pictures of the program cannot be shown: {printable(str(exc))}")
        else:
            self._is_ready = True
            self.options = replace(self.options, exec=f"{_set_up(self._folder)}{command}")

    async def show(self, show: Callable[[Media], Awaitable[object]]) -> None:
        """Show them, in their order, when the program has ended.

        Pictures that cannot be downloaded break no run: a warning tells of it.

        Args:
            show: shows one.
        """
        if not self._is_ready:
            return
        left_out = 0
        try:
            listing = await self._kernel.list_files(self._folder)
            if listing.problem:
                problem = printable(listing.problem)
                self._warn(f"Pictures of the program cannot be listed: {problem}")
            for number, parts in enumerate(_pictures_in(listing)):
                medium = await self._read(parts) if number < _MOST_PICTURES else None
                if medium is None:
                    left_out += 1
                else:
                    await show(medium)
        except BackendError as exc:
            self._warn(f"Pictures of the program cannot be downloaded: {printable(str(exc))}")
        if left_out:
            self._warn(
                f"{count(left_out, 'picture')} of the program left out: incomplete, larger than "
                f"{MAX_SHOWN_BYTES:,} bytes, or behind the first {_MOST_PICTURES:,}"
            )

    async def remove(self) -> None:
        """Remove what was uploaded and kept, from a kernel that stays; bounded, and shielded."""
        if not self._folder:
            return
        problem = f"the server did not remove it within {_REMOVE_SECONDS:g} s"
        with trio.move_on_after(_REMOVE_SECONDS, shield=True):
            try:
                if self._is_ready or await self._is_there():
                    await self._kernel.remove([self._folder], recursive=True)
            except BackendError as exc:
                problem = printable(str(exc))
            else:
                return
        self._status.warn(f"{self._label}the folder {self._folder} stays in the kernel: {problem}")

    async def _is_there(self) -> bool:
        """Whether the folder was made, of which no answer has told."""
        listing = await self._kernel.list_files()
        return any(file.name == self._folder for file in listing.files)

    async def _read(self, parts: list[FileInfo]) -> Media | None:
        """A picture; None if it is too large, none, or its program was killed while it wrote it."""
        most = MAX_SHOWN_BYTES + MAX_SHOWN_HEAD_BYTES
        is_sound = all(file.mode.startswith("-") for file in parts)
        if not is_sound or sum(file.size for file in parts) > most:
            return None
        content = b""
        for file in parts:
            async with self._kernel.open_download(f"{self._folder}/{file.name}") as chunks:
                async for chunk in chunks:
                    content += chunk
                    if len(content) > most:
                        return None
        head = parse_shown_head(content)
        if head is None or len(content) - head.head_bytes != head.content_bytes:
            return None
        data = b64encode(content[head.head_bytes :]).decode()
        return Media(head.mime_type, f"data:{head.mime_type};base64,{data}")

    def _warn(self, text: str) -> None:
        self._status.warn(f"{self._label}{text}. {_SKIP}.")


@asynccontextmanager
async def open_pictures(
    kernel: TrioKernel,
    options: BatchOptions,
    request: ProgramRequest,
    runtime: str,
    *,
    keeps_kernel: bool,
    status: Status,
    label: str = "",
) -> AsyncIterator[ProgramPictures]:
    """Run a program that may show pictures in the block, and show them at its end.

    There are no pictures if they are not asked for, none of the files speaks of any, the program's
    command is not known, the server sends no files of kernels (before 1.4), or is a gateway, which
    sends pictures by itself.

    Args:
        kernel: where the program is to run.
        options: what is to be run, from `command_of_program`.
        request: what the command line asks for.
        runtime: runtime or image.
        keeps_kernel: whether the kernel stays; nothing of this stays in it.
        status: where to warn.
        label: what warnings begin with.
    """
    pictures = ProgramPictures(kernel, options, status, label)
    command = _command_of(options, runtime, request.options.program)
    keeps_none = kernel.client.hello.features or kernel.client.era.prefix
    try:
        if command and not keeps_none and await _may_show(request):
            await pictures.prepare(command)
        yield pictures
    finally:
        if keeps_kernel:
            await pictures.remove()  # noqa: ASYNC102 (shielded there)


async def _may_show(request: ProgramRequest) -> bool:
    if request.media.media == "skip":
        return False
    return await trio.to_thread.run_sync(any_source_has, _SHOWS, request.uploads, ".py")


def _pictures_in(listing: Listing) -> Iterator[list[FileInfo]]:
    """The parts of each picture."""
    files = [file for file in listing.files if _PART.fullmatch(file.name)]
    for _, parts in groupby(sorted(files, key=lambda file: file.name), lambda file: file.name[:-4]):
        yield list(parts)


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
