"""Pictures of programs on managers, which send only those of code that their interpreters run.

Such a program gets what programs on our own gateway get: the modules that show pictures. No socket
takes the pictures there, so they are kept in a folder of the kernel, and downloaded when the
program has ended.
"""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

import trio

from backendai_trio import BackendError, BatchOptions, Media, TrioKernel
from backendai_trio.files import Upload

from ..console import Status, printable
from ..languages import command_of

__all__ = ["prepare_display", "show_media"]

_FOLDER = ".backendai-display"
_SOURCE_BYTES = 1 << 20
_SHOWS = re.compile(rb"\b(backendai_display|matplotlib|pandas|plotnine|pylab|pyplot|seaborn)\b")
_HEAD = re.compile(rb"([\x21-\x7e]{1,100}) ([0-9]{1,10})\n")
_PART = re.compile(r"[0-9]{6}\.[0-9]{3}")
_MOST_PARTS = 20
"""Of a picture: 8 MiB come in 17."""
_SET_UP = f"""\
export BACKENDAI_DISPLAY="$PWD/{_FOLDER}"
export PYTHONPATH="$PWD/{_FOLDER}${{PYTHONPATH:+:$PYTHONPATH}}"
rm -f {_FOLDER}/[0-9]*
"""
"""Pictures of an earlier run in the kernel go first."""


async def prepare_display(
    kernel: TrioKernel, options: BatchOptions, uploads: Sequence[Upload], runtime: str, program: str
) -> BatchOptions | None:
    """Prepare a kernel for a program that shows pictures.

    Args:
        kernel: where the program is to run.
        options: what is to be run, from `command_of_program`.
        uploads: the files of the program.
        runtime: runtime or image.
        program: the script that is the program; ``""`` for what the runtime runs by itself.

    Returns:
        The options, with a command whose Python programs keep what they show; None if none of the
        files speaks of pictures, the program's command is not known, or the server sends no files
        of kernels (before 1.4).

    Raises:
        UploadError: the server refuses the modules that show pictures.
        ApiError, ConnectionFailed: as for `TrioKernel.upload`.
    """
    command = command_of(runtime, program) if options.exec == "*" else options.exec
    speak_of_pictures = await trio.to_thread.run_sync(_speak_of_pictures, uploads)
    if not speak_of_pictures or not command or kernel.client.era.prefix:
        return None
    from backendai_trio.gateway import PYTHON_PATH

    await kernel.upload(_modules_in(PYTHON_PATH), to=_FOLDER)
    return replace(options, exec=_SET_UP + command)


def _modules_in(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.py"))


def _speak_of_pictures(uploads: Sequence[Upload]) -> bool:
    """Whether one of the files is a Python module that speaks of showing pictures."""
    for upload in uploads:
        if not upload.name.endswith(".py") or upload.link or upload.size > _SOURCE_BYTES:
            continue
        try:
            if _SHOWS.search(upload.path.read_bytes()):
                return True
        except OSError:
            pass  # it has been uploaded: what has become of it here does not matter
    return False


async def show_media(
    kernel: TrioKernel,
    show: Callable[[Media], Awaitable[object]],
    status: Status,
    label: str = "",
) -> None:
    """Show the pictures that a program has shown, in their order.

    Pictures that cannot be downloaded break no run: a warning tells of it.

    Args:
        kernel: where the program has run, as `prepare_display` says.
        show: shows one.
        status: where to warn.
        label: what the warning begins with.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            listing = await kernel.list_files(_FOLDER)
            parts = sorted(file.name for file in listing.files if _PART.fullmatch(file.name))
            for _, names in groupby(parts, lambda name: name.partition(".")[0]):
                content = b""
                # No program of ours writes more: this bounds what one that does can make of it.
                names = islice(names, _MOST_PARTS)
                for name in names:
                    path = Path(folder, name)
                    await kernel.download_as(f"{_FOLDER}/{name}", path)
                    content += await trio.to_thread.run_sync(path.read_bytes)
                if (medium := _medium_in(content)) is not None:
                    await show(medium)
        except BackendError as exc:
            status.warn(
                f"{label}Pictures of the program cannot be downloaded: {printable(str(exc))}. "
                "Let the program save them to files, or leave them out with --media skip."
            )


def _medium_in(content: bytes) -> Media | None:
    """The medium of a file; None if its program was killed while it wrote it."""
    head = _HEAD.match(content)
    if head is None or len(content) - head.end() != int(head[2]):
        return None
    mime_type = head[1].decode()
    data = base64.b64encode(content[head.end() :]).decode()
    return Media(mime_type, f"data:{mime_type};base64,{data}")
