"""Uploads to managers, which take 20 files of under 1 MiB at a time (contract section 5.1).

What fits goes in one request. Anything else goes in parts into a folder of its own in the kernel;
then a command there checks their digests, joins them, checks the sizes, and only then moves the
files to their names. Whatever ends the upload before, that folder is removed.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
import warnings
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

import trio

from .._groups import one_error
from ..errors import ApiError, BackendError, ExecutionError, ServerError, UploadError
from ..files.progress import Meter
from ..files.sources import Upload, UploadStream
from ..transport.client import Client
from ..transport.retry import naming, with_retries
from ..wire.http import Request
from ..wire.multipart import encode_part_head, multipart_type, part_end
from .shell import run_command

__all__ = ["send_joined"]

_CONCURRENT = 4
"""How many requests are on their way at once."""
_STREAM_PARTS = 4
"""How many parts of a stream go in a request: they are held in memory."""
_LATE_SECONDS = 1
"""How long a request that was given up may still write; the folder is removed once more then."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a file, as one file of a form."""

    name: str
    """Where it goes."""
    size: int
    source: Upload | bytes
    offset: int = 0
    of: str = ""
    """Name of the upload it is a part of."""
    total: int | None = None

    def read(self) -> bytes:
        if isinstance(self.source, bytes):
            return self.source
        return self.source.read_at(self.offset, self.size)


@dataclass(slots=True)
class _Joined:
    """A file as it is put together in the kernel."""

    upload: Upload | UploadStream
    parts: int = 0
    size: int = 0


async def send_joined(
    client: Client, token: str, uploads: Sequence[Upload | UploadStream], meter: Meter
) -> None:
    """Upload by forms, in one request or in parts that are joined.

    Raises:
        UploadError: a file cannot be read, was refused, or cannot be joined in this kernel.
    """
    direct = _direct(client, uploads)
    if direct is not None:
        with naming([item.label for item in uploads]):
            folders = {PurePosixPath(part.name).parent.as_posix() for part in direct} - {"."}
            try:
                await _send_form(client, token, direct, meter)
            except ServerError:
                if not (client.era.prefix and folders):
                    raise
                # If that fails, the form does again, and its error is the one to tell.
                with suppress(ExecutionError, ApiError):
                    await _make_folders(client, token, folders)
                await _send_form(client, token, direct, meter)
    else:
        await _Staging(client, token, meter).send(uploads)
    for item in uploads:
        if isinstance(item, UploadStream) or not item.is_folder:
            await meter.complete(item.name)


async def _make_folders(client: Client, token: str, folders: Iterable[str]) -> None:
    """Make the folders that files go to: agents up to 1.3.0 make them in the wrong place, and fail
    (section 5.1)."""
    await run_command(client, token, f"mkdir -p {' '.join(map(_quoted, sorted(folders)))}")


def _direct(client: Client, uploads: Sequence[Upload | UploadStream]) -> list[_Part] | None:
    """The uploads as files of one form; None if they do not fit into one."""
    era = client.era
    parts = []
    for item in uploads:
        if isinstance(item, UploadStream) or item.is_folder or item.size > era.upload_max_bytes:
            return None
        parts.append(_Part(item.name, item.size, item, of=item.name, total=item.size))
    return parts if len(parts) <= era.upload_max_files else None


async def _send_form(client: Client, token: str, parts: Sequence[_Part], meter: Meter) -> list[str]:
    """Send parts in one request; returns their digests, SHA-256 in hexadecimal."""
    digests: list[str] = []
    boundary = f"backendai-{secrets.token_hex(16)}"
    request = Request(
        "POST", client.era.session_path(token, "upload"), content_type=multipart_type(boundary)
    )
    length = sum(
        len(encode_part_head(part.name, boundary)) + part.size + len(part_end(boundary, last=last))
        for part, last in _with_last(parts)
    )

    async def send() -> None:
        digests.clear()
        async with aclosing(_form(parts, boundary, digests)) as body:
            await client.call(request, content=body, content_length=length, answer_seconds=None)

    await with_retries(send)
    for part in parts:
        if part.of:
            await meter.advance(part.of, part.size, part.total)
    return digests


async def _form(
    parts: Sequence[_Part], boundary: str, digests: list[str]
) -> AsyncGenerator[bytes, None]:
    for part, last in _with_last(parts):
        data = await trio.to_thread.run_sync(part.read)
        digests.append(hashlib.sha256(data).hexdigest())
        yield encode_part_head(part.name, boundary) + data + part_end(boundary, last=last)


def _with_last(parts: Sequence[_Part]) -> list[tuple[_Part, bool]]:
    return [(item, index == len(parts) - 1) for index, item in enumerate(parts)]


class _Staging:
    """A folder in the kernel for what is not complete."""

    def __init__(self, client: Client, token: str, meter: Meter) -> None:
        self._client = client
        self._token = token
        self._meter = meter
        self._folder = f".backendai-{secrets.token_hex(8)}.part"
        self._limiter = trio.CapacityLimiter(_CONCURRENT)
        self._sums: dict[str, str] = {}

    async def send(self, uploads: Sequence[Upload | UploadStream]) -> None:
        """Send all of them, or leave nothing."""
        complete = False
        try:
            if self._client.era.prefix:
                # A kernel that has no shell says so when the parts are to be joined.
                with naming([item.label for item in uploads]), suppress(ExecutionError):
                    await _make_folders(self._client, self._token, [self._folder])
            joined = await self._send_parts(uploads)
            await self._join(joined)
            complete = True
        finally:
            if not complete:
                with trio.move_on_after(self._client.config.grace_seconds, shield=True) as scope:
                    await self._clean()
                if scope.cancelled_caught:
                    self._warn(f"not within {self._client.config.grace_seconds:g} s")

    async def _send_parts(self, uploads: Sequence[Upload | UploadStream]) -> list[_Joined]:
        joined = [_Joined(item) for item in uploads]
        with one_error():
            async with trio.open_nursery() as nursery:
                for group in self._groups(joined):
                    await self._limiter.acquire_on_behalf_of(group[0])
                    nursery.start_soon(self._send_group, group)
                for index, file in enumerate(joined):
                    if isinstance(file.upload, UploadStream):
                        await self._send_stream(file, index)
        return joined

    def _groups(self, joined: Sequence[_Joined]) -> Iterator[list[_Part]]:
        """The parts of all files, as many at a time as a request takes."""
        group: list[_Part] = []
        most, largest = self._client.era.upload_max_files, self._client.era.upload_max_bytes
        for index, file in enumerate(joined):
            upload = file.upload
            if isinstance(upload, UploadStream) or upload.is_folder:
                continue
            for offset in range(0, max(upload.size, 1), largest):
                size = min(upload.size - offset, largest)
                name = self._part_name(index, file.parts)
                group.append(_Part(name, size, upload, offset, upload.name, upload.size))
                file.parts += 1
                file.size += size
                if len(group) == most:
                    yield group
                    group = []
        if group:
            yield group

    def _part_name(self, index: int, number: int) -> str:
        return f"{self._folder}/{index}.{number:07}"

    async def _send_group(self, group: list[_Part]) -> None:
        try:
            await self._send(group)
        finally:
            self._limiter.release_on_behalf_of(group[0])

    async def _send(self, group: Sequence[_Part]) -> None:
        sources = [part.source for part in group if isinstance(part.source, Upload)]
        labels = list(dict.fromkeys(item.label for item in sources)) or [group[0].of]
        with naming(labels):
            digests = await _send_form(self._client, self._token, group, self._meter)
        for part, digest in zip(group, digests, strict=True):
            self._sums[part.name] = digest

    async def _send_stream(self, file: _Joined, index: int) -> None:
        stream = file.upload
        assert isinstance(stream, UploadStream)
        largest = self._client.era.upload_max_bytes
        buffer = bytearray()

        async def flush(least: int) -> None:
            while len(buffer) >= max(least, 1) or (not least and not file.parts):
                group: list[_Part] = []
                while len(group) < _STREAM_PARTS and (buffer or not (group or file.parts)):
                    data = bytes(buffer[:largest])
                    del buffer[:largest]
                    name = self._part_name(index, file.parts)
                    group.append(_Part(name, len(data), data, 0, stream.name, stream.size))
                    file.parts += 1
                await self._send(group)

        async with stream.opened() as chunks:
            async for data in chunks:
                file.size += len(data)
                stream.check(file.size, ended=False)
                buffer += data
                await flush(_STREAM_PARTS * largest)
        stream.check(file.size, ended=True)
        await flush(0)

    async def _join(self, joined: Sequence[_Joined]) -> None:
        """Have the kernel check the parts and make files of them."""
        labels = [file.upload.label for file in joined]
        sums = "".join(
            f"{digest}  {PurePosixPath(name).name}\n" for name, digest in sorted(self._sums.items())
        )
        await self._send_text("sums", sums)
        await self._send_text("script", "".join(_script(self._folder, joined)))
        folder = self._folder
        command = f"cat {folder}/script.* > {folder}/run && sh {folder}/run"
        try:
            await run_command(self._client, self._token, command)
        except ExecutionError as exc:
            raise UploadError(
                labels[0],
                f"the {len(labels):,} uploaded could not be put together in the kernel: {exc}. "
                "Where a kernel has no shell with sha256sum for that, put the files into a virtual "
                "folder and mount it",
            ) from exc

    async def _send_text(self, name: str, text: str) -> None:
        """Send a text that may itself be too large for one file."""
        data, largest = text.encode(), self._client.era.upload_max_bytes
        for number, start in enumerate(range(0, max(len(data), 1), largest)):
            piece = data[start : start + largest]
            part = _Part(f"{self._folder}/{name}.{number:07}", len(piece), piece)
            with naming([name]):
                await _send_form(self._client, self._token, [part], self._meter)

    async def _clean(self) -> None:
        """Remove what was sent. Requests that were given up may still write for a moment."""
        folder = self._folder
        command = f"rm -rf {folder}; sleep {_LATE_SECONDS}; rm -rf {folder}"
        try:
            await run_command(self._client, self._token, command)
        except BackendError as exc:
            self._warn(str(exc))

    def _warn(self, reason: str) -> None:
        warnings.warn(
            f"the parts of an upload may still be in kernel {self._token}, in {self._folder}; "
            f"they could not be removed: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )


def _script(folder: str, joined: Sequence[_Joined]) -> Iterator[str]:
    """The shell commands that check, join and place. Only the last stretch changes anything."""
    yield f"""
d={folder}
fail() {{ echo "$*" >&2; exit 1; }}
if command -v sha256sum >/dev/null; then sum="sha256sum -c"
elif command -v shasum >/dev/null; then sum="shasum -a 256 -c"
else fail "it has neither sha256sum nor shasum"; fi
cat $d/sums.* > $d/all || fail "the list of digests is missing"
[ ! -s $d/all ] || (cd $d && $sum all >/dev/null 2>&1) || fail "what arrived is not what was sent"
join() {{ [ "$1" = 1 ] || for p in "$d/$2".???????; do
  [ "$p" = "$d/$2.0000000" ] || {{ cat "$p" >> "$d/$2.0000000" && rm "$p"; }} || fail "disk"
  done; [ "$(wc -c < "$d/$2.0000000")" -eq "$3" ] || fail "$4: has another size than was sent"; }}
free() {{ [ ! -d "$1" ] || fail "$1: a folder is in the way"; }}
"""
    folders: dict[str, None] = {}
    for index, file in enumerate(joined):
        name = file.upload.name
        path = _quoted(name)
        if isinstance(file.upload, Upload) and file.upload.is_folder:
            folders[name] = None
            continue
        if (parent := PurePosixPath(name).parent.as_posix()) != ".":
            folders[parent] = None
        yield f"join {file.parts} {index} {file.size} {path}\nfree {path}\n"
    # From here on it is short, and is not to be stopped half-way.
    yield "trap '' INT TERM\n"
    for name in folders:
        path = _quoted(name)
        yield f'mkdir -p {path} || fail "no folder can be made there"\n'
    for index, file in enumerate(joined):
        if isinstance(file.upload, Upload) and file.upload.is_folder:
            continue
        path = _quoted(file.upload.name)
        if isinstance(file.upload, Upload) and file.upload.executable:
            yield f"chmod +x $d/{index}.0000000\n"
        yield f'mv -f $d/{index}.0000000 {path} || fail "it cannot be moved to its name"\n'
    yield "rm -rf $d\n"


def _quoted(name: str) -> str:
    """A name as a word of the shell that is no option."""
    return shlex.quote(f"./{name}")
