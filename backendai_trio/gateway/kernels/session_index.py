"""The kernels of a gateway by their names: those that run, and those that do not run yet."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, TypeAlias

from ...wire.kernels import CreateRequest
from ...wire.uuids import is_uuid
from ..refusals import Refused
from ..resource_slots import sum_of
from .queue import QueuedSession
from .requests import MountedFolder
from .runtimes import Runtime
from .session import Session

__all__ = ["AnySession", "SessionIndex", "check_same_kernel", "token_is_taken"]

AnySession: TypeAlias = Session | QueuedSession
Key: TypeAlias = tuple[str, str]
"""Access key and token."""
_MAX_NAME = 64
_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
"""Wildcards of SQL's LIKE, and other characters that `fnmatch` would take for such."""


class SessionIndex:
    """Finds kernels by key pair and token or id.

    Args:
        uuids_are_ids: whether a name that reads as a UUID is always an id (docs/protocol.md,
            section 3.9).
        prefixes: whether a name stands for a kernel whose token or id begins with it; an equal one
            may win.
    """

    def __init__(
        self, *, uuids_are_ids: bool, prefixes: Literal["no", "yes", "unless equal"] = "no"
    ) -> None:
        self._uuids_are_ids = uuids_are_ids
        self._prefixes = prefixes
        self._running: dict[Key, Session] = {}
        self._queued: dict[Key, QueuedSession] = {}
        self._of_id: dict[str, AnySession] = {}

    def __len__(self) -> int:
        return len(self._running) + len(self._queued)

    def running(self, access_key: str | None = None) -> list[Session]:
        """The kernels of a key pair (None: of all) that run, newest first."""
        found = [s for s in self._running.values() if access_key in (None, s.access_key)]
        return sorted(found, key=lambda session: session.created_at, reverse=True)

    def queued(self, access_key: str | None = None) -> list[QueuedSession]:
        """The kernels of a key pair (None: of all) that do not run yet, newest first."""
        found = [item for item in self._queued.values() if access_key in (None, item.access_key)]
        return sorted(found, key=lambda item: item.created_at, reverse=True)

    def occupied(self) -> dict[str, Decimal]:
        """The resources of all kernels that run, or are being started or ended."""
        started: list[AnySession] = [*self._running.values()]
        started += [item for item in self._queued.values() if item.status != "PENDING"]
        return sum_of(kernel.amounts for kernel in started)

    def of_key(self, key: Key) -> AnySession | None:
        """The kernel with a token."""
        return self._running.get(key) or self._queued.get(key)

    def find(self, access_key: str, name: str, *, ending: bool = False) -> AnySession:
        """A key pair's kernel by its token or id.

        Args:
            access_key: of the key pair.
            name: the token or id.
            ending: find a kernel that is about to end, too.

        Raises:
            Refused: 404, there is no such kernel.
        """
        found: AnySession | None = None
        if self._prefixes == "yes":
            found = self._only_one_beginning_with(access_key, name)
        elif not (self._uuids_are_ids and is_uuid(name)):
            found = self.of_key((access_key, name))
        if found is None:
            found = self._of_id.get(name)
            if found is not None and found.access_key != access_key:
                found = None
        if found is None and self._prefixes == "unless equal":
            found = self._only_one_beginning_with(access_key, name)
        ended = isinstance(found, Session) and found.ended.is_set() and not ending
        if found is None or ended:
            raise Refused(
                404, "session-not-found", "No such kernel", f"no kernel is named {name!r}"
            )
        return found

    def beginning_with(self, access_key: str, name: str) -> list[AnySession]:
        """A key pair's kernels whose id begins with a name, as SQL's LIKE reads it; if there is
        none, those whose token does.

        Args:
            access_key: of the key pair.
            name: the name; ``_`` stands for any character and ``%`` for any number of them.
        """
        if len(name.replace("%", "")) > _MAX_NAME:
            return []
        # What `fnmatch` makes of it does not backtrack over a wildcard.
        glob = "".join(_GLOB.get(char, char) for char in name)
        pattern = re.compile(fnmatch.translate(f"{glob}*"))
        everything: list[AnySession] = [*self._running.values(), *self._queued.values()]
        own = [item for item in everything if item.access_key == access_key]
        by_id = [item for item in own if pattern.match(item.session_id)]
        return by_id or [item for item in own if pattern.match(item.token)]

    def _only_one_beginning_with(self, access_key: str, name: str) -> AnySession | None:
        found = self.beginning_with(access_key, name)
        if len(found) > 1:
            raise Refused(
                404,
                "too-many-sessions-matched",
                "Too many sessions match",
                f"{len(found)} kernels have names that begin with {name!r}",
            )
        return found[0] if found else None

    def with_folder(self, folder_id: str) -> list[str]:
        """The tokens of the kernels that have a folder mounted, or will have."""
        everything: list[AnySession] = [*self._running.values(), *self._queued.values()]
        return [
            session.token
            for session in everything
            if any(folder.folder_id == folder_id for folder in session.mounts)
        ]

    def add(self, item: QueuedSession) -> None:
        """Add a kernel that does not run yet."""
        self._queued[item.key] = self._of_id[item.session_id] = item

    def start(self, item: QueuedSession, session: Session) -> None:
        """A kernel runs."""
        del self._queued[item.key]
        self._running[item.key] = self._of_id[item.session_id] = session

    def remove(self, kernel: AnySession) -> None:
        """Remove a kernel that has ended, or will never run."""
        if isinstance(kernel, Session):
            del self._running[kernel.access_key, kernel.token]
        else:
            del self._queued[kernel.key]
        del self._of_id[kernel.session_id]

    def rename(self, session: Session, token: str) -> None:
        """Give a kernel that runs another token, which no other one has."""
        self._running[session.access_key, token] = self._running.pop(
            (session.access_key, session.token)
        )
        session.token = token


def check_same_kernel(
    kernel: AnySession,
    create: CreateRequest,
    runtime: Runtime,
    mounts: Sequence[MountedFolder],
) -> None:
    """Check that the kernel with a token is as a create asks for.

    Args:
        kernel: the kernel.
        create: the request.
        runtime: the runtime that it names.
        mounts: the folders that it names.

    Raises:
        Refused: 400, it is not.
    """
    if kernel.runtime is not runtime or not create.reuse:
        raise token_is_taken(f"kernel {create.token!r} exists and runs {kernel.runtime.name}")
    mounted = {folder.folder_id for folder in kernel.mounts}
    missing = [item.folder.name for item in mounts if item.folder.folder_id not in mounted]
    if missing:
        raise Refused(
            400,
            "session-already-exists",
            "The kernel runs without the folder",
            f"kernel {create.token!r} was created without {', '.join(missing)}",
        )


def token_is_taken(detail: str) -> Refused:
    """The answer to a request whose token another kernel has.

    Args:
        detail: which one.
    """
    return Refused(400, "session-already-exists", "The token is taken", detail)
