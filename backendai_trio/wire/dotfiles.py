"""Dotfiles: small files of a user that each new session gets (docs/protocol.md, section 9.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..errors import LocalProtocolError, RemoteProtocolError
from .http import Request
from .json_fields import Fields, decode_json, encode_json

__all__ = [
    "DOTFILES_SINCE",
    "Dotfile",
    "decode_dotfiles",
    "dotfile_request",
    "encode_dotfiles",
]

DOTFILES_SINCE = "v4.20190615"
"""The version that managers announce from 19.06 on; dotfiles came with 19.09."""
_PATH = "/user-config/dotfiles"
_PERMISSION = re.compile(r"[0-7]{3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dotfile:
    """A small text file that each new session gets.

    Raises:
        LocalProtocolError: the path is empty, or the permission is not three octal digits.
    """

    path: str
    """Below the work folder, e.g. ``.bashrc``."""
    data: str = field(repr=False)
    permission: str = "644"
    """Three octal digits."""

    def __post_init__(self) -> None:
        if not self.path:
            raise LocalProtocolError("a dotfile needs a path, e.g. .bashrc")
        if not _PERMISSION.fullmatch(self.permission):
            raise LocalProtocolError(
                f"{self.permission!r} is not a permission; write three octal digits, e.g. 644"
            )

    def request(self, method: str) -> Request:
        """The request that creates it (``POST``), or replaces it (``PATCH``).

        Args:
            method: of the request.
        """
        return Request.of_json(method, _PATH, self._fields("permission"))

    def encode(self) -> bytes:
        """The body of a reply with this dotfile only, where its permission has another name."""
        return encode_json(self._fields("perm"))

    def _fields(self, permission: str) -> dict[str, Any]:
        return {"path": self.path, "data": self.data, permission: self.permission}

    @classmethod
    def decode(cls, value: object) -> Dotfile:
        """Read a dotfile of a request, or of a reply.

        Args:
            value: decoded JSON.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        fields = Fields(value, "dotfile")
        try:
            return cls(fields.text("path"), fields.text("data"), fields.text("permission", "perm"))
        except LocalProtocolError as exc:
            raise RemoteProtocolError(f"dotfile: {exc}") from None


def dotfile_request(method: str, path: str = "") -> Request:
    """The request for a dotfile or all (``GET``), or that removes one (``DELETE``).

    Args:
        method: of the request.
        path: of the dotfile; empty for all.
    """
    return Request(method, _PATH, (("path", path),) if path else ())


def encode_dotfiles(dotfiles: Iterable[Dotfile]) -> bytes:
    """The body of a reply with all dotfiles.

    Args:
        dotfiles: in any order.
    """
    return encode_json([item._fields("permission") for item in dotfiles])


def decode_dotfiles(body: bytes) -> list[Dotfile]:
    """Read a reply with all dotfiles.

    Args:
        body: JSON.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    rows = decode_json(body, "dotfiles")
    if not isinstance(rows, list):
        raise RemoteProtocolError(f"dotfiles: expected a list, got {type(rows).__name__}")
    return [Dotfile.decode(row) for row in rows]
