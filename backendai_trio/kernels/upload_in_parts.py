"""Uploads to managers, which take a few small files at a time (docs/protocol.md, section 5.1).

What fits into one request is sent as it is. Anything else is packed into one tar archive, which is
sent in parts to a staging folder in the kernel. A shell script there compares the SHA-256 of the
whole, unpacks it beside the parts, and moves the files to their names when nothing is in the way.
However an upload ends, its staging folder is removed.
"""

from __future__ import annotations

import secrets
import tempfile
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path, PurePosixPath

import trio

from .._groups import one_error
from ..errors import (
    ApiError,
    BackendError,
    ExecutionError,
    InvalidRequest,
    ServerError,
    UploadError,
)
from ..files.progress import ProgressReporter
from ..files.sources import Upload, UploadStream
from ..files.thread_writer import feed_in_thread
from ..files.upload_archive import UploadArchive
from ..files.upload_errors import upload_errors
from ..transport.client import Client
from .shell import run_shell, shell_word
from .shields import finish_within
from .upload_form import FormFile, send_form

__all__ = ["upload_in_parts"]

_PARTS_PER_REQUEST = 4
"""Parts are held in memory, unlike files that are sent as they are."""
_CONCURRENT_REQUESTS = 3
_CLEANUP_SECONDS = 5.0
"""Limit for removing a temporary file: a disk on the network may not answer."""
_LATE_SECONDS = 1
"""How long a request that was given up may still write; the folder is removed once more then."""

_SCRIPT = """\
d={folder}
fail() {{ echo "$*" >&2; exit 1; }}
command -v tar >/dev/null || fail "it has no tar"
if command -v sha256sum >/dev/null; then sum=sha256sum
elif command -v shasum >/dev/null; then sum="shasum -a 256"
else fail "it has neither sha256sum nor shasum"; fi
parts() {{ for p in $d/part.*; do cat "$p" && $1 "$p" || return 1; done; }}
sent=$(parts : | $sum) || fail "the digest cannot be computed"
[ "${{sent%% *}}" = {digest} ] || fail "what arrived is not what was sent"
mkdir $d/tree && parts rm | tar -C $d/tree {untar} - || fail "the archive cannot be unpacked"
# walk check|move FOLDER TARGET: a folder that exists on both sides is merged.
walk() (
  for f in "$2"/* "$2"/.[!.]* "$2"/..?*; do
    [ -e "$f" ] || [ -L "$f" ] || continue
    t=$3/${{f##*/}}
    if [ -d "$f" ] && [ ! -L "$f" ]; then
      if [ -d "$t" ]; then walk $1 "$f" "$t" || exit 1; continue; fi
      [ ! -e "$t" ] && [ ! -L "$t" ] || fail "$t: a file is in the way"
    else
      [ ! -d "$t" ] || fail "$t: a folder is in the way"
      [ ! -e "$t" ] || [ -f "$t" ] || fail "$t: a device, a pipe or a socket is in the way"
    fi
    [ $1 = check ] || mv -f "$f" "$t" || fail "$t: it cannot be written"
  done
)
walk check $d/tree . || exit 1
# From here on files change: it takes a moment, and must not stop half-way.
trap '' INT TERM
walk move $d/tree . && rm -rf $d
"""


async def upload_in_parts(
    client: Client,
    token: str,
    items: Sequence[Upload | UploadStream],
    reporter: ProgressReporter,
    *,
    preserve: bool = False,
) -> None:
    """Upload by forms: in one request, or as an archive in parts.

    Streams are first written to temporary files of this machine: forms and archives must say how
    large a file is before they begin with it.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        items: with names relative to the work folder.
        reporter: where progress goes.
        preserve: whether times of modification are kept, which only the archive can.

    Raises:
        UploadError: a file cannot be read, was refused, or the kernel cannot unpack the archive.
        AuthError, NotFound, QuotaExceeded: of the requests.

    Cancellation:
        No file has changed, or all of them have.
    """
    paths = [item.error_path for item in items]
    async with AsyncExitStack() as stack:
        uploads = [
            await stack.enter_async_context(_spooled(item))
            if isinstance(item, UploadStream)
            else item
            for item in items
        ]
        with upload_errors(paths):
            if not preserve and (files := _as_form(client, uploads)) is not None:
                try:
                    await _upload_directly(client, token, files, reporter)
                    return
                except InvalidRequest:
                    # Old managers refuse a file that has not arrived at once.
                    if not client.era.prefix:
                        raise
            archive = _StagedArchive(client, token, reporter, preserve)
            await archive.upload(uploads, paths)


@asynccontextmanager
async def _spooled(stream: UploadStream) -> AsyncIterator[Upload]:
    """Write a stream to a temporary file, which is removed when the block ends."""
    try:
        file = await trio.to_thread.run_sync(_temporary_file)
    except OSError as exc:
        raise _not_spooled(stream, exc) from exc

    def write(chunk: bytes) -> None:
        # Errors of the disk only: those of the stream itself are its caller's.
        try:
            file.write(chunk)
            file.flush()  # a full disk is an error of this chunk
        except OSError as exc:
            raise _not_spooled(stream, exc) from exc

    path = Path(file.name)
    try:
        with file:
            async with stream.open() as chunks:
                await feed_in_thread(chunks, write)
            size = file.tell()
        yield Upload(path, stream.name, size)
    finally:
        with trio.move_on_after(_CLEANUP_SECONDS, shield=True):
            await trio.to_thread.run_sync(path.unlink, abandon_on_cancel=True)


def _temporary_file() -> tempfile._TemporaryFileWrapper[bytes]:
    return tempfile.NamedTemporaryFile(prefix="backendai-", delete=False)


def _not_spooled(stream: UploadStream, exc: OSError) -> UploadError:
    return UploadError(
        stream.name,
        f"cannot be kept in {tempfile.gettempdir()} before it is sent: {exc.strerror}; "
        "set TMPDIR to a folder with more room",
    )


# -- one request ----------------------------------------------------------------------------------


def _as_form(client: Client, uploads: Sequence[Upload]) -> list[Upload] | None:
    """The files, if one form brings all there is; None if it does not.

    A form makes the folders of its files, but no others; and it leaves out who may execute a file,
    which belongs to a folder's content.
    """
    era = client.era
    files = [upload for upload in uploads if not upload.is_folder]
    made = {str(parent) for file in files for parent in PurePosixPath(file.name).parents}
    fits = (
        0 < len(files) <= era.upload_max_files
        and not any(file.link or file.size > era.upload_max_bytes for file in files)
        and all(upload.name in made for upload in uploads if upload.is_folder)
        and (len(files) == len(uploads) or not any(file.executable for file in files))
    )
    return files if fits else None


async def _upload_directly(
    client: Client, token: str, uploads: Sequence[Upload], reporter: ProgressReporter
) -> None:
    files = [FormFile(upload.name, upload) for upload in uploads]
    folders = {PurePosixPath(file.name).parent.as_posix() for file in files} - {"."}
    try:
        await send_form(client, token, files)
    except ServerError:
        # Agents up to 1.3.0 make the folders of a file in the wrong place, and fail.
        if not (client.era.prefix and folders):
            raise
        with suppress(ExecutionError, ApiError):  # the form then fails again, and says why
            await _make_folders(client, token, folders)
        await send_form(client, token, files)
    for upload in uploads:
        await reporter.advance(upload.name, upload.size, upload.size)


async def _make_folders(client: Client, token: str, folders: set[str]) -> None:
    await run_shell(client, token, f"mkdir -p {' '.join(map(shell_word, sorted(folders)))}")


# -- in parts -------------------------------------------------------------------------------------


class _StagedArchive:
    """An archive in a staging folder of the kernel."""

    def __init__(
        self, client: Client, token: str, reporter: ProgressReporter, preserve: bool
    ) -> None:
        self._client = client
        self._untar = "-xof" if preserve else "-xmof"
        self._token = token
        self._reporter = reporter
        self._folder = f".backendai-{secrets.token_hex(8)}.part"
        era = client.era
        self._limits = [(era.upload_max_bytes, _PARTS_PER_REQUEST)]
        if era.upload_safe_bytes < era.upload_max_bytes:
            for most in (era.upload_max_files, 1):
                self._limits.append((era.upload_safe_bytes, most))
        self._limit = 0
        self._limiter = trio.CapacityLimiter(_CONCURRENT_REQUESTS)

    async def upload(self, uploads: Sequence[Upload], paths: Sequence[str]) -> None:
        """Upload all files, or none."""
        self._reporter.restart()
        complete = False
        try:
            if self._client.era.prefix:
                # A kernel that has no shell says so when the archive is to be unpacked.
                with suppress(ExecutionError):
                    await _make_folders(self._client, self._token, {self._folder})
            digest = await self._send_parts(uploads)
            await self._unpack(digest, paths)
            complete = True
        finally:
            if not complete:
                with finish_within(self._client.config.grace_seconds) as scope:
                    await self._remove()  # noqa: ASYNC102 (it has a shield)
                if scope.cancelled_caught:
                    self._warn(f"not within {self._client.config.grace_seconds:g} s")

    async def _send_parts(self, uploads: Sequence[Upload]) -> str:
        """Send the archive; returns its SHA-256."""
        archive = UploadArchive(self._client.era.upload_max_bytes * _PARTS_PER_REQUEST)
        number = 0
        with one_error():
            async with trio.open_nursery() as nursery:
                with closing(archive.add_files(uploads)) as chunks:
                    while True:
                        chunk = await trio.to_thread.run_sync(next, chunks, None)
                        ended = chunk is None
                        data = archive.finish() if chunk is None else chunk
                        request = object()
                        await self._limiter.acquire_on_behalf_of(request)
                        nursery.start_soon(self._send_chunk, number, data, request)
                        await archive.report(self._reporter)
                        if ended:
                            break
                        number += 1
        return archive.sha256

    async def _send_chunk(self, number: int, data: bytes, request: object) -> None:
        try:
            await self._send_split(f"{self._folder}/part.{number:07}", data)
        finally:
            self._limiter.release_on_behalf_of(request)

    async def _send_split(self, name: str, data: bytes) -> None:
        """Send a chunk of the archive as files that the manager takes."""
        while True:
            limit = self._limit
            size, most = self._limits[limit]
            files = [
                FormFile(f"{name}.{index:05}", data[start : start + size])
                for index, start in enumerate(range(0, len(data), size))
            ]
            try:
                for start in range(0, len(files), most):
                    await send_form(self._client, self._token, files[start : start + most])
                return
            except InvalidRequest:
                # Smaller files replace those that were taken: they are more, and named alike.
                if limit + 1 == len(self._limits):
                    raise
                self._limit = max(self._limit, limit + 1)

    async def _unpack(self, digest: str, paths: Sequence[str]) -> None:
        """Let the kernel check the archive, unpack it, and move the files to their names."""
        script = _SCRIPT.format(folder=self._folder, digest=digest, untar=self._untar)
        file = FormFile(f"{self._folder}/run", script.encode())
        await send_form(self._client, self._token, [file])
        try:
            await run_shell(self._client, self._token, f"sh {file.name}")
        except ExecutionError as exc:
            more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
            raise UploadError(
                paths[0],
                f"arrived{more}, but could not be unpacked in the kernel: {exc}. A kernel without "
                "sh, tar and sha256sum takes only small files; put larger ones into a virtual "
                "folder, and mount it",
            ) from exc

    async def _remove(self) -> None:
        """Remove the staging folder, twice: requests that were given up may still write."""
        folder = self._folder
        command = f"rm -rf {folder}; sleep {_LATE_SECONDS}; rm -rf {folder}"
        try:
            await run_shell(self._client, self._token, command)
        except BackendError as exc:
            self._warn(str(exc))

    def _warn(self, reason: str) -> None:
        warnings.warn(
            f"an upload may have left the folder {self._folder} in kernel {self._token}; it could "
            f"not be removed: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )
