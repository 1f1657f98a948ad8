"""Copies from standard input, and to standard output, a device or a pipe: the path ``-``."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, gettempdir
from typing import TYPE_CHECKING

import click
import trio

from .parameters import STREAM, Stream
from .program_output import STANDARD_OUTPUT, read_some, write_some
from .standard_input import Stdin

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "is_stream",
    "read_stdin",
    "spooled_stdin",
    "stream_name",
    "write_stream",
]

_READ_BYTES = 1024 * 1024
_STDOUT = 1
_in_thread = partial(trio.to_thread.run_sync, abandon_on_cancel=True)


def is_stream(target: Path | Stream) -> bool:
    """Whether a copy is written into what has this name, and does not replace it: standard output,
    a pipe, or a device such as ``/dev/null``. A disk is not; that would be a mistake more often
    than not."""
    if target is STREAM:
        return True
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def stream_name(paths: Sequence[Path | Stream], to: str | None) -> str:
    """The name of the file that standard input becomes, of a command with the option ``--to``.

    Args:
        paths: the command's paths, with `STREAM` among them.
        to: value of ``--to``.

    Raises:
        click.UsageError: there are other paths, too, or `to` names no file.
    """
    if len(paths) > 1:
        raise click.UsageError("'-' (standard input) cannot be uploaded together with other files")
    if to is None or to.endswith("/") or to == ".":
        raise click.UsageError("name the file that standard input becomes: --to NAME")
    return to


async def read_stdin() -> AsyncIterator[bytes]:
    """Standard input up to its end."""
    stdin = Stdin()
    while data := await stdin.read():
        yield data


@contextmanager
def spooled_stdin() -> Iterator[Path]:
    """Standard input as a temporary file, which only this user can read. Blocks.

    Raises:
        click.ClickException: there is no room for it.
    """
    with NamedTemporaryFile(prefix="backendai-") as file:
        try:
            while data := read_some(0, _READ_BYTES):
                file.write(data)
            file.flush()
        except OSError as exc:
            raise click.ClickException(
                f"standard input cannot be kept in {gettempdir()} before it is sent: "
                f"{exc.strerror}; set TMPDIR to a folder with more room"
            ) from None
        yield Path(file.name)


async def write_stream(target: Path | Stream, chunks: AsyncIterable[bytes]) -> None:
    """Write to what `is_stream` has found. Opening a pipe waits for its reader, as always.

    Raises:
        BrokenPipeError: the reader has gone.
        click.ClickException: it cannot be written.
    """
    is_stdout = target is STREAM
    try:
        fd = _STDOUT if target is STREAM else await _in_thread(os.open, target, os.O_WRONLY)
        try:
            async for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    view = view[await _in_thread(write_some, fd, view) :]
        finally:
            if not is_stdout:
                os.close(fd)
    except BrokenPipeError:
        raise
    except OSError as exc:
        name = STANDARD_OUTPUT if is_stdout else str(target)
        raise click.ClickException(f"{name} cannot be written: {exc.strerror}") from None
