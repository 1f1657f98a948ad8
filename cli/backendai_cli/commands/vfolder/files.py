"""`backend.ai vfolder`: the files in a folder."""

from __future__ import annotations

import json
import posixpath
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import click
import trio

from backendai_trio import ApiError, Client, LocalProtocolError, TrioVFolder
from backendai_trio.files import Upload
from backendai_trio.kernels import FileInfo

from ...console import Status, count, printable
from ...copy_options import (
    SELECTION,
    LeftOut,
    Selection,
    links_option,
    preserve_option,
    refuse_options,
    selection_options,
)
from ...local_streams import spooled_stdin, stream_name, write_stream
from ...parameters import NAME, REMOTE_FOLDER, REMOTE_PATH, STREAM, LocalPath, Stream
from ...progress_bars import progress_bars, suggesting_overwrite
from .requests import call_vfolders, folder_argument, json_option, quiet_option

__all__ = ["COMMANDS"]

_READ_BYTES = 1024 * 1024


@click.command()
@folder_argument
@click.argument("paths", nargs=-1, required=True, type=LocalPath(or_stream=True))
@click.option("-r", "--recursive", is_flag=True, help="Upload folders and their content.")
@click.option(
    "-d",
    "--to",
    "--dst-dir",
    metavar="PATH",
    type=REMOTE_FOLDER,
    help="Folder within NAME [default: NAME itself].",
)
@click.option(
    "-b",
    "--base-dir",
    type=LocalPath(file_okay=False),
    help="Local folder that names are relative to [default: the current one].",
)
@selection_options(
    "follow", "skip", help="Upload what symbolic links in folders lead to, or leave them out."
)
@quiet_option
def upload(
    name: str,
    paths: tuple[Path | Stream, ...],
    recursive: bool,
    to: str | None,
    base_dir: Path | None,
    selection: Selection,
    quiet: bool,
) -> None:
    """Upload files to the folder NAME. Files that exist are replaced.

    A file appears when it has arrived completely. When a connection breaks, the upload goes on
    where it stopped. Ctrl-C leaves no partial file. The path '-' is standard input; --to is then
    the file's name.

    \b
    Examples:
      backend.ai vfolder upload data train.csv
      backend.ai vfolder upload data images -r --to raw
      backend.ai vfolder upload data . -r --exclude .venv
      tar c images | backend.ai vfolder upload data - --to raw/images.tar
    """
    files = [path for path in paths if isinstance(path, Path)]
    if len(files) < len(paths):
        target = stream_name(paths, to)
        refuse_options("an upload of standard input", "base_dir", *SELECTION)
        with spooled_stdin() as path:
            item = Upload(path, target, path.stat().st_size)
            _send(name, [item], "", quiet)
        return
    uploads = selection.plan(files, base=base_dir, recursive=recursive)
    _send(name, uploads, to or "", quiet)
    selection.left_out.report(Status(quiet=quiet))


def _send(name: str, uploads: list[Upload], to: str, quiet: bool) -> None:
    files = [item for item in uploads if not item.is_folder]

    async def send(client: Client) -> None:
        async with progress_bars(sum(item.size for item in files), quiet=quiet) as progress:
            await TrioVFolder(client, name).upload(uploads, to=to, progress=progress)

    call_vfolders(send, quiet=quiet)
    Status(quiet=quiet).done(f"Uploaded {count(len(files), 'file')} to {name}.")


@click.command()
@folder_argument
@click.argument("paths", nargs=-1, required=True, type=REMOTE_PATH)
@click.option(
    "-b",
    "--base-dir",
    default=".",
    type=LocalPath(file_okay=False, or_stream=True),
    help="Local folder for the files [default: the current one].",
)
@click.option("-f", "--overwrite", is_flag=True, help="Replace files that exist.")
@links_option(
    "refuse", "skip", help="Refuse symbolic links and devices in folders, or leave them out."
)
@click.option(
    "--archive",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Write one ZIP archive, which the server makes (managers from 26.3 on, and gateways).",
)
@preserve_option
@quiet_option
def download(
    name: str,
    paths: tuple[str, ...],
    base_dir: Path | Stream,
    overwrite: bool,
    links: str,
    archive: Path | None,
    preserve: bool,
    quiet: bool,
) -> None:
    """Download files and folders of the folder NAME. The path '.' is the whole folder.

    A file appears when it has arrived completely. Files that exist are replaced only with
    --overwrite. With -b -, one file is written to standard output.

    \b
    Examples:
      backend.ai vfolder download data results/run.csv
      backend.ai vfolder download data . -b backup
      backend.ai vfolder download data images --archive images.zip
    """
    if archive is not None:
        refuse_options("a download of an archive", "base_dir", "links", "preserve")
        _download_archive(name, paths, archive, overwrite, quiet)
        return
    if not isinstance(base_dir, Path):
        refuse_options("a download to standard output", "links", "preserve")
        _download_to_stdout(name, paths)
        return
    left_out = LeftOut()

    async def receive(client: Client) -> list[Path]:
        async with progress_bars(None, quiet=quiet) as progress:
            return await TrioVFolder(client, name).download(
                paths,
                base_dir,
                overwrite=overwrite,
                preserve=preserve,
                on_skip=left_out.link if links == "skip" else None,
                progress=progress,
            )

    with suggesting_overwrite(overwrite):
        written = call_vfolders(receive, quiet=quiet)
    Status(quiet=quiet).done(f"Downloaded {count(len(written), 'file')} from {name}.")
    left_out.report(Status(quiet=quiet))


def _download_to_stdout(name: str, paths: tuple[str, ...]) -> None:
    """Write a file to standard output, when all of it has arrived in a temporary folder: a download
    that goes on elsewhere may have to begin anew."""
    if len(paths) > 1:
        raise click.UsageError("standard output takes one file (-b -)")
    path = paths[0]
    refusal = click.UsageError(f"{path} is a folder; only a file can be a stream (-b -)")

    async def receive(client: Client) -> None:
        vfolder = TrioVFolder(client, name)
        if await _is_folder(vfolder, path):
            raise refusal
        with TemporaryDirectory(prefix="backendai-") as folder:
            written = await vfolder.download([path], folder)
            if written != [Path(folder, PurePosixPath(path).name)]:
                raise refusal
            async with await trio.open_file(written[0], "rb") as file:

                async def chunks() -> AsyncIterator[bytes]:
                    while data := await file.read(_READ_BYTES):
                        yield data

                await write_stream(STREAM, chunks())

    call_vfolders(receive, quiet=True)


async def _is_folder(folder: TrioVFolder, path: str) -> bool:
    """Whether a path is known to be a folder.

    Where it cannot be listed, its download says why; managers before 1.4 list nothing.
    """
    parent, name = posixpath.split(posixpath.normpath(path))
    if name in ("", "."):
        return True
    try:
        files = await folder.list_files(parent or ".")
    except (ApiError, LocalProtocolError):
        return False
    return any(file.name == name and file.is_folder for file in files)


def _download_archive(
    name: str, paths: tuple[str, ...], target: Path, overwrite: bool, quiet: bool
) -> None:
    async def receive(client: Client) -> None:
        async with progress_bars(None, quiet=quiet) as progress:
            await TrioVFolder(client, name).download_archive(
                paths, target, overwrite=overwrite, progress=progress
            )

    with suggesting_overwrite(overwrite):
        call_vfolders(receive, quiet=quiet)
    Status(quiet=quiet).done(f"Downloaded {target} from {name}.")


@click.command()
@folder_argument
@click.argument("path", default=".", type=REMOTE_PATH)
@json_option
def ls(name: str, path: str, as_json: bool) -> None:
    """List the files in the folder NAME, or in the folder PATH within it.

    \b
    Examples:
      backend.ai vfolder ls data
      backend.ai vfolder ls data raw/images
    """
    found: list[FileInfo] = call_vfolders(
        lambda client: TrioVFolder(client, name).list_files(path), quiet=as_json
    )
    if as_json:
        click.echo(json.dumps([asdict(item) for item in found]))
        return
    for item in found:
        when = datetime.fromtimestamp(item.modified).astimezone().strftime("%Y-%m-%d %H:%M")
        slash = "/" if item.is_folder else ""
        click.echo(f"{item.mode} {item.size:>13,} {when} {printable(item.name)}{slash}")


@click.command()
@folder_argument
@click.argument("path", type=REMOTE_PATH)
@click.option("-p", "--parents", is_flag=True, help="Make parents as needed; PATH may exist.")
def mkdir(name: str, path: str, parents: bool) -> None:
    """Make the folder PATH in the folder NAME.

    \b
    Examples:
      backend.ai vfolder mkdir data raw
      backend.ai vfolder mkdir data -p raw/images
    """
    call_vfolders(
        lambda client: TrioVFolder(client, name).mkdir(path, parents=parents, exist_ok=parents)
    )


@click.command()
@folder_argument
@click.argument("source", type=REMOTE_PATH)
@click.argument("target", type=REMOTE_PATH)
def mv(name: str, source: str, target: str) -> None:
    """Move or rename SOURCE in the folder NAME.

    If TARGET is a folder, SOURCE is moved into it; otherwise TARGET is its new path.

    \b
    Examples:
      backend.ai vfolder mv data train.csv raw/train-1.csv
    """
    call_vfolders(lambda client: TrioVFolder(client, name).move(source, target))


@click.command("rename-file")
@folder_argument
@click.argument("path", type=REMOTE_PATH)
@click.argument("new_name", type=NAME)
def rename_file(name: str, path: str, new_name: str) -> None:
    """Give the file or folder PATH in the folder NAME another name, in the same folder.

    'mv' does that, too, from manager 22.03 on; this needs 19.09.

    \b
    Examples:
      backend.ai vfolder rename-file data raw/train.csv train-1.csv
    """
    call_vfolders(lambda client: TrioVFolder(client, name).rename_file(path, new_name))


@click.command()
@folder_argument
@click.argument("paths", nargs=-1, required=True, type=REMOTE_PATH)
@click.option("-r", "--recursive", is_flag=True, help="Remove folders and their content.")
def rm(name: str, paths: tuple[str, ...], recursive: bool) -> None:
    """Remove files from the folder NAME. If one cannot be removed, none is.

    \b
    Examples:
      backend.ai vfolder rm data train.csv
      backend.ai vfolder rm data -r raw
    """
    call_vfolders(lambda client: TrioVFolder(client, name).remove(paths, recursive=recursive))


COMMANDS = (upload, download, ls, mkdir, mv, rename_file, rm)
