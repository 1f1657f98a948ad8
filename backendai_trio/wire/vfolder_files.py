"""Requests and replies about the files in a virtual folder.

Source: docs/protocol.md, sections 7.3 and 7.4. Paths are relative to the virtual folder, with
forward slashes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config.endpoints import parse_endpoint
from ..config.settings import Endpoint
from ..errors import ConfigError, LocalProtocolError, RemoteProtocolError
from .json_fields import Fields, encode_json
from .versions import Era

__all__ = [
    "ArchiveRequest",
    "FileRequest",
    "MakeDirectory",
    "MoveFile",
    "RemoveFiles",
    "RenameFile",
    "Ticket",
]


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Make a folder within a virtual folder."""

    path: str
    parents: bool = False
    exist_ok: bool = False

    def encode(self, era: Era) -> bytes:
        """JSON body. Managers before 20.09 take only the path, and make its parents."""
        body: dict[str, object] = {"path": self.path}
        if era.folder_transfer == "proxy":
            body |= {"parents": self.parents, "exist_ok": self.exist_ok}
        return encode_json(body)

    @classmethod
    def decode(cls, body: bytes, era: Era) -> MakeDirectory:
        """Read the body."""
        top = Fields.parse(body, "mkdir")
        if era.folder_transfer != "proxy":
            if more := set(top.everything()) - {"path"}:
                raise RemoteProtocolError(
                    f"mkdir: this era does not take {', '.join(sorted(more))}"
                )
            return cls(top.text("path"), parents=True)
        return cls(
            top.text("path"),
            top.flag("parents", default=False),
            top.flag("exist_ok", default=False),
        )


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Remove files within a virtual folder."""

    files: tuple[str, ...]
    recursive: bool = False

    def encode(self) -> bytes:
        """JSON body."""
        return encode_json({"files": list(self.files), "recursive": self.recursive})

    @classmethod
    def decode(cls, body: bytes) -> RemoveFiles:
        """Read the body."""
        top = Fields.parse(body, "delete files")
        return cls(top.texts("files"), top.flag("recursive", default=False))


@dataclass(frozen=True, slots=True)
class MoveFile:
    """Rename a file or folder within a virtual folder."""

    source: str
    target: str

    def encode(self) -> bytes:
        """JSON body of ``move-file``."""
        return encode_json({"src": self.source, "dst": self.target})

    @classmethod
    def decode(cls, body: bytes) -> MoveFile:
        """Read the body of ``move-file``, or of ``rename-file``, which keeps the folder."""
        top = Fields.parse(body, "move file")
        if top.raw("target_path") is None:
            return cls(top.text("src"), top.text("dst"))
        renamed = RenameFile.decode(body)
        parent, slash, _ = renamed.path.rstrip("/").rpartition("/")
        return cls(renamed.path, f"{parent}{slash}{renamed.name}")


@dataclass(frozen=True, slots=True)
class RenameFile:
    """Give a file or folder within a virtual folder another name, in the same folder."""

    path: str
    name: str

    def encode(self) -> bytes:
        """JSON body of ``rename-file``.

        Raises:
            LocalProtocolError: the name is that of another folder.
        """
        if "/" in self.name or self.name in ("", ".", ".."):
            raise LocalProtocolError(
                f"{self.name[:80]!r} is not the name of a file; 'move' moves to another folder"
            )
        return encode_json({"target_path": self.path, "new_name": self.name})

    @classmethod
    def decode(cls, body: bytes) -> RenameFile:
        """Read the body.

        Args:
            body: of ``POST /folders/{name}/rename-file``.

        Returns:
            The request.

        Raises:
            RemoteProtocolError: it is malformed, or the new name has a slash in it.
        """
        top = Fields.parse(body, "rename file")
        name = top.text("new_name")
        if "/" in name:
            raise RemoteProtocolError(
                f"rename file: {name[:80]!r} has a slash in it; use move-file"
            )
        return cls(top.text("target_path"), name)


@dataclass(frozen=True, slots=True)
class FileRequest:
    """Ask for a token to upload or download a file."""

    path: str
    size: int | None = None
    """Bytes of an upload; None for a download."""
    archive: bool = False
    """Whether a folder may be downloaded, as a ZIP archive."""

    def encode(self, era: Era) -> bytes:
        """JSON body for an era; the path's key is ``file`` before 20.09 (docs/protocol.md,
        section 7.2)."""
        if self.size is not None:
            return encode_json({"path": self.path, "size": self.size})
        if era.folder_transfer != "proxy":
            return encode_json({"file": self.path})
        return encode_json({"path": self.path, "archive": self.archive})

    @classmethod
    def decode(cls, body: bytes) -> FileRequest:
        """Read any era's body."""
        top = Fields.parse(body, "file request")
        size = top.integer("size") if top.raw("size") is not None else None
        if size is not None and not 0 <= size < 1 << 62:
            raise RemoteProtocolError("file request: no file can have this size")
        return cls(top.text("path", "file"), size, top.flag("archive", default=False))


@dataclass(frozen=True, slots=True)
class ArchiveRequest:
    """Ask for a token to download several files and folders as one ZIP archive (26.3+)."""

    files: tuple[str, ...]
    name: str = ""
    """Of the archive; empty for the server's choice."""

    def encode(self, release: tuple[int, ...] = ()) -> bytes:
        """JSON body.

        Args:
            release: of the manager: 26.3 reads another key, which must be there.
        """
        body: dict[str, object] = {"files": list(self.files)}
        if (26, 3) <= release < (26, 4):
            body["path"] = "."
        elif self.name:
            body["filename"] = self.name
        return encode_json(body)

    @classmethod
    def decode(cls, body: bytes) -> ArchiveRequest:
        """Read the body.

        Args:
            body: of ``POST /folders/{name}/request-download-archive``.

        Returns:
            The request.

        Raises:
            RemoteProtocolError: it is malformed, or names no files.
        """
        top = Fields.parse(body, "archive request")
        files = top.texts("files")
        if not files:
            raise RemoteProtocolError("archive request: it names no files")
        return cls(files, top.text("filename", default=""))


@dataclass(frozen=True, slots=True)
class Ticket:
    """A token to upload or download a file."""

    token: str = field(repr=False)
    url: str = ""
    """Of the storage proxy; empty when the manager takes the file itself (19.09 and 20.03)."""

    def encode(self) -> bytes:
        """JSON body."""
        return encode_json({"token": self.token} | ({"url": self.url} if self.url else {}))

    @property
    def place(self) -> tuple[Endpoint, str]:
        """Server and path of `url`.

        Raises:
            RemoteProtocolError: it is not a valid address.
        """
        try:
            address = parse_endpoint(self.url)
        except ConfigError:
            raise RemoteProtocolError(
                f"ticket: {self.url[:100]!r} is not the address of a storage proxy"
            ) from None
        return address._replace(base_path=""), address.base_path or "/"

    @classmethod
    def decode(cls, body: bytes) -> Ticket:
        """Read either form."""
        top = Fields.parse(body, "ticket")
        return cls(top.text("token"), top.text("url", default=""))
