"""Handlers of requests about dotfiles (docs/protocol.md, section 9.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from ...wire.dotfiles import Dotfile, encode_dotfiles
from ...wire.json_fields import decode_json, encode_json
from ..kernels.dotfiles import DOTFILES
from ..refusals import Refused
from .handlers import Answer, Call, Handler

__all__ = ["ROUTES"]

_MAX_BYTES = 64 * 1024
_MAX_FILES = 100
_RESERVED = frozenset(
    {".terminfo", ".jupyter", ".ssh", ".ssh/authorized_keys", ".local", ".config"}
)


def get(call: Call) -> Answer:
    """``GET /user-config/dotfiles``: all, or the one at the path."""
    path = call.request.query_params.get("path", "")
    dotfiles = call.sessions.dotfiles(call.access_key)
    return Answer(_at(dotfiles, path).encode() if path else encode_dotfiles(dotfiles))


def create(call: Call) -> Answer:
    """``POST /user-config/dotfiles``."""
    dotfile = _requested(call)
    dotfiles = call.sessions.dotfiles(call.access_key)
    if len(dotfiles) >= _MAX_FILES:
        raise _failed("Dotfile creation limit reached")
    if any(item.path == dotfile.path for item in dotfiles):
        raise Refused(400, "generic-bad-request", "Dotfile already exists.", dotfile.path)
    _store(call, [*dotfiles, dotfile])
    return Answer(b"{}")


def replace(call: Call) -> Answer:
    """``PATCH /user-config/dotfiles``."""
    dotfile = _requested(call)
    dotfiles = call.sessions.dotfiles(call.access_key)
    old = _at(dotfiles, dotfile.path)
    _store(call, [*(item for item in dotfiles if item is not old), dotfile])
    return Answer(b"{}")


def delete(call: Call) -> Answer:
    """``DELETE /user-config/dotfiles``."""
    dotfiles = call.sessions.dotfiles(call.access_key)
    old = _at(dotfiles, call.request.query_params.get("path", ""))
    _store(call, [item for item in dotfiles if item is not old])
    return Answer(encode_json({"success": True}))


def _requested(call: Call) -> Dotfile:
    """The dotfile in the body.

    Raises:
        Refused: it may not be at its path.
    """
    dotfile = Dotfile.decode(decode_json(call.body, "dotfile"))
    path = PurePosixPath(dotfile.path)
    if str(path) in _RESERVED:
        title = "dotfile path is reserved for internal operations."
        raise Refused(400, "invalid-api-params", title, dotfile.path)
    if path.is_absolute() or ".." in path.parts or not path.parts or not _is_name(dotfile.path):
        title = "a dotfile of this gateway has to lie below the work folder"
        raise Refused(400, "invalid-api-params", title, dotfile.path)
    if any(item.name == dotfile.path for item in call.sessions.folders.of_user(call.access_key)):
        title = "dotfile path conflicts with your dot-prefixed vFolder"
        raise Refused(400, "invalid-api-params", title, dotfile.path)
    return dotfile


def _is_name(path: str) -> bool:
    """Whether a file can be called so."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in path


def _at(dotfiles: Sequence[Dotfile], path: str) -> Dotfile:
    found = next((item for item in dotfiles if item.path == path), None)
    if found is None:
        raise Refused(404, "object-not-found", "No such dotfile.", path)
    return found


def _store(call: Call, dotfiles: Sequence[Dotfile]) -> None:
    data = encode_dotfiles(dotfiles)
    if len(data) > _MAX_BYTES:
        raise _failed("No leftover space for dotfile storage")
    call.sessions.store.set_setting(call.access_key, DOTFILES, data.decode())


def _failed(why: str) -> Refused:
    return Refused(400, "generic-bad-request", "Dotfile creation has failed.", why)


ROUTES: tuple[tuple[str, Handler], ...] = (
    ("GET", get),
    ("POST", create),
    ("PATCH", replace),
    ("DELETE", delete),
)
"""Methods of ``/user-config/dotfiles``."""
