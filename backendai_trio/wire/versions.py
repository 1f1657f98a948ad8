"""The eras of the API: generations of servers, and the differences between them.

Source: docs/protocol.md, sections 1 (versions and negotiation), 3.1 (routes), 5.1 (limits), 6.3
(events), 7 (virtual folders), 8.1 (GraphQL).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from .._api_versions import API_VERSIONS
from ..errors import LocalProtocolError, RemoteProtocolError
from .http import path_of
from .json_fields import Fields, encode_json

__all__ = [
    "ERAS",
    "SEED",
    "SESSION_5",
    "SESSION_6",
    "TRANSITION",
    "Era",
    "Hello",
    "Protection",
    "choose_era",
]

_V2, _V4, _V5, _V6 = API_VERSIONS
_VERSION = re.compile(r"v(\d{1,3})\.(\d{8})")
_PREFIX = re.compile(r"\A/v\d+(?=/|\Z)")
_MAX_UPLOAD_BYTES = 1_048_575


@dataclass(frozen=True, slots=True)
class Era:
    """The dialect of one generation of servers."""

    name: str
    version: str
    """Text of the X-BackendAI-Version header."""
    prefix: str
    """Beginning of every path: ``/v2`` or nothing."""
    noun: str
    """``kernel`` until 19.09, ``session`` from 20.03."""
    create_path: str
    graphql_path: str
    graphql_enveloped: bool = False
    """Whether the reply is ``{"data": ...}`` or the bare data."""
    separate_detail: bool = True
    """Whether problems carry ``msg`` and ``data`` keys."""
    names_session: bool = False
    """Whether create takes ``name`` and ``image``, and replies with ids (20.03+)."""
    takes_ids: bool = False
    """Whether a session's id stands for its name in paths (20.09+; docs/protocol.md, section 3.9).
    An id survives a rename, and is no prefix of another."""
    metric_statistics: bool = False
    """Whether destroy replies with a map of metrics instead of plain numbers (19.03+)."""
    streams_executions: bool = True
    """Whether code can be executed over a WebSocket (18.12+; API v4.20190115 formally)."""
    interrupts_need_code: bool = False
    """Whether an interrupt that meets no running code ends the kernel's interpreter, so that it
    must not come before the code (1.x; docs/protocol.md, section 4.6)."""
    upload_max_files: int = 20
    """Files in one upload to a kernel (docs/protocol.md, section 5.1)."""
    upload_max_bytes: int = _MAX_UPLOAD_BYTES
    """Largest of these files that most managers of the era take."""
    upload_safe_bytes: int = _MAX_UPLOAD_BYTES
    """Largest that all of them take: some read once, and refuse a file that has not arrived by
    then."""
    folder_transfer: Literal["form", "manager", "proxy"] = "manager"
    """How files reach a virtual folder: a form to the manager (seed era), signed tus requests to
    the manager (19.09 and 20.03), or unsigned ones to a storage proxy (20.09+; docs/protocol.md,
    section 7)."""
    folder_files_in_parts: bool = False
    """Whether files leave a virtual folder as the parts of a multipart body, compressed (18.12),
    and not with a token, each by itself (19.03+; docs/protocol.md, section 7.2)."""
    hello_path: str = "/"
    """Where servers tell their version: ``/``, and ``/v2`` up to 1.2 (docs/protocol.md, section
    1.3)."""

    def session_path(self, token: str, *tail: str) -> str:
        """Path of a kernel, or of something below it.

        Raises:
            LocalProtocolError: the token is empty, or cannot be part of a path.
        """
        if not token:
            raise LocalProtocolError("a kernel's token or id must not be empty")
        return self.prefix + path_of(self.noun, token, *tail)

    def stream_path(self, token: str, kind: str) -> str:
        """Path of a kernel's WebSocket: ``pty`` or ``execute``."""
        return self.prefix + "/stream" + self.session_path(token, kind).removeprefix(self.prefix)

    def folder_path(self, name: str, *tail: str) -> str:
        """Path of a virtual folder, or of something below it.

        Raises:
            LocalProtocolError: the name is empty, or cannot be part of a path.
        """
        if not name:
            raise LocalProtocolError("a virtual folder's name must not be empty")
        return self.path("folders", name, *tail)

    @property
    def folders_path(self) -> str:
        """Path to list and create virtual folders; it ends with a slash only in the seed era."""
        return self.path("folders") + ("/" if self.prefix else "")

    @property
    def template_create_path(self) -> str:
        """Path to create a kernel from a template; servers before 20.03 have none."""
        return self.path(self.noun, "_", "create-from-template")

    @property
    def events_path(self) -> str:
        """Path of the stream of session events. Servers before 19.06 have none, and reply 503."""
        return (
            self.path("events", "session")
            if self.names_session
            else self.stream_path("_", "events")
        )

    def path(self, *segments: str) -> str:
        """Any other path of this era."""
        return self.prefix + path_of(*segments)

    def server_path(self, path: str) -> str:
        """The path on a server of this era, of one that was written for another era.

        With a prefix, ``/kernel/x``, ``/v2/kernel/x`` and ``/v3/kernel/x`` are the same path.
        Without one a path stays as it is: ``/v2`` may then belong to a newer API (docs/protocol.md,
        section 12, item 8).

        Args:
            path: begins with a slash.
        """
        if not self.prefix:
            return path
        below = _PREFIX.sub("", path)
        return self.hello_path if below in ("", "/") else self.prefix + below


SEED = Era(
    name="seed",
    # Not v3: agents of that time fail to execute with it (docs/protocol.md, section 1.4)
    version=_V2,
    prefix="/v2",
    noun="kernel",
    create_path="/v2/kernel/create",
    graphql_path="/v2/admin/graphql",
    separate_detail=False,
    streams_executions=False,
    interrupts_need_code=True,
    upload_max_files=19,
    upload_safe_bytes=8 * 1024,
    folder_transfer="form",
    hello_path="/v2",
)
"""Managers 1.0 to 1.4.5: those from 1.3.11 on have these paths as well."""

TRANSITION = Era(
    name="transition",
    version=_V4,
    prefix="",
    noun="kernel",
    create_path="/kernel/create",
    graphql_path="/admin/graphql",
    metric_statistics=True,
)
"""Managers 1.4.6 to 19.09."""

SESSION_5 = Era(
    name="session-5",
    version=_V5,
    prefix="",
    noun="session",
    create_path="/session",
    graphql_path="/admin/graphql",
    names_session=True,
    metric_statistics=True,
)
"""Managers 20.03."""

SESSION_6 = replace(
    SESSION_5, name="session-6", version=_V6, takes_ids=True, folder_transfer="proxy"
)
"""Managers 20.09 to 26.9: with this version, all of them create sessions (docs/protocol.md,
section 1.4)."""

ERAS = (SEED, TRANSITION, SESSION_5, SESSION_6)

POSITIONS = "queue-position"
"""Feature: a session's place in the queue can be asked for, as on managers from 25.13 on."""
TRASH = "trash"
"""Feature: deleted virtual folders go to a trash, as on managers from 24.03 on."""

FOLDER_ARCHIVES = "folder-archives"
"""Feature: several files of a virtual folder are downloaded as one archive."""

_RELEASE = re.compile(r"\d{1,4}(\.\d{1,4}){1,3}")
_UUIDS_ARE_IDS_SINCE = (26, 4, 4)
_QUERY_CODES_SINCE = (26, 9)
_TRASH_SINCE = (24, 3)
_CANCELS_FOR_GOOD_SINCE = (26,)
_STARTS_SERVICES_SINCE = (21, 9, 3)
_ARCHIVES_FOLDERS_SINCE = (26, 3)
_PROJECTS_BY_ID_SINCE = (26, 3)
_POSITIONS_SINCE = (25, 13)
_PREDICATES_UNTIL = (26,)
_BATCH_ENDS_LOST = (((24, 9, 12), (24, 10)), ((25, 6, 13), (25, 7)), ((25, 11, 1), (10_000,)))

# The version that managers announce from 19.03 on.
_FOLDER_TOKENS_SINCE = "v4.20190315"
# From this server version on, queries go to /admin/gql and replies are in an envelope.
_ENVELOPE_SINCE = (6, "20210815")


@dataclass(frozen=True, slots=True)
class Protection:
    """Something that keeps the kernels of our gateway apart from its machine, or does not."""

    what: str
    """What is protected, such as ``network``."""
    holds: bool
    how: str
    """How, or why not, for a person."""

    def to_json(self) -> dict[str, object]:
        """The entry of the list of protections."""
        return {"what": self.what, "holds": self.holds, "how": self.how}

    @classmethod
    def from_json(cls, value: object) -> Protection:
        """Read an entry.

        Raises:
            RemoteProtocolError: it is none.
        """
        fields = Fields(value, "protection")
        return cls(fields.text("what"), fields.flag("holds"), fields.text("how"))


@dataclass(frozen=True, slots=True)
class Hello:
    """Version and release of a server (``GET /``; ``GET /v2`` in the seed era)."""

    version: str
    manager: str = ""
    """Release of the manager; empty for servers before 19.03."""
    isolation: str = ""
    """Our gateway only: how kernels are isolated from the machine."""
    features: frozenset[str] = frozenset()
    """Our gateway only: names of abilities beyond its era (docs/protocol.md, section 13)."""
    protections: tuple[Protection, ...] = ()
    """Our gateway only: what keeps kernels apart from its machine."""

    @property
    def key(self) -> tuple[int, str]:
        """The version in a form that can be compared: (major, date)."""
        match = _VERSION.fullmatch(self.version)
        if match is None:
            raise RemoteProtocolError(f"{self.version!r} is not an API version")
        return int(match[1]), match[2]

    @property
    def name(self) -> str:
        """The server in errors: its release where it tells one, or its API version."""
        return f"manager {self.manager}" if self.manager else f"a server of API {self.version}"

    @property
    def release(self) -> tuple[int, ...]:
        """Release of the manager in a form to compare, ``(26, 4, 4)``; empty if unknown."""
        match = _RELEASE.match(self.manager)
        return tuple(int(part) for part in match[0].split(".")) if match else ()

    @property
    def takes_uuids_for_ids(self) -> bool:
        """Whether a UUID in a session's path is always an id, never a name (docs/protocol.md,
        section 3.9)."""
        return self.release >= _UUIDS_ARE_IDS_SINCE

    @property
    def revives_cancelled(self) -> bool:
        """Whether the scheduler may start a session all the same that was destroyed while it was
        waiting for its resources (docs/protocol.md, section 3.6)."""
        return self.release < _CANCELS_FOR_GOOD_SINCE

    @property
    def tells_position(self) -> bool:
        """Whether a session's place in the queue can be asked for (docs/protocol.md,
        section 8.3)."""
        return self.release >= _POSITIONS_SINCE or POSITIONS in self.features

    @property
    def tells_predicates(self) -> bool:
        """Whether a session that waits says which conditions were not met; from 26.0 on that is
        told to administrators only (docs/protocol.md, section 3.7)."""
        return self.release < _PREDICATES_UNTIL

    @property
    def has_trash(self) -> bool:
        """Whether deleted virtual folders go to a trash bin (docs/protocol.md, section 7.5)."""
        return self.release >= _TRASH_SINCE or TRASH in self.features

    @property
    def archives_folders(self) -> bool:
        """Whether files of virtual folders are sent as one archive (docs/protocol.md, section 7.3):
        by managers from 26.3 on, and by our gateway."""
        return self.release >= _ARCHIVES_FOLDERS_SINCE or FOLDER_ARCHIVES in self.features

    @property
    def takes_project_ids_only(self) -> bool:
        """Whether requests that make virtual folders name a project by its id, never by its name
        (docs/protocol.md, section 7.3)."""
        return self.release >= _PROJECTS_BY_ID_SINCE

    @property
    def starts_services(self) -> bool:
        """Whether the server starts services for an app proxy (docs/protocol.md, section 6.5)."""
        return not self.release or self.release >= _STARTS_SERVICES_SINCE

    @property
    def tells_query_codes(self) -> bool:
        """Whether the exit code of a query run is that of its code (docs/protocol.md, section
        4.2)."""
        return self.release >= _QUERY_CODES_SINCE

    @property
    def loses_batch_ends(self) -> bool:
        """Whether the agents of this release may lose the end of a batch run (docs/protocol.md,
        section 4.7)."""
        return any(first <= self.release < end for first, end in _BATCH_ENDS_LOST)

    def encode(self) -> bytes:
        """The body of the reply."""
        body: dict[str, object] = {"version": self.version}
        if self.manager:
            body["manager"] = self.manager
        if self.isolation or self.features:
            body["gateway"] = {
                "isolation": self.isolation,
                "features": sorted(self.features),
                "protections": [item.to_json() for item in self.protections],
            }
        return encode_json(body)

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        """Read the reply.

        Raises:
            RemoteProtocolError: it has no version, so this is not a Backend.AI server.
        """
        fields = Fields.parse(body, "version probe")
        ours = fields.nested("gateway")
        hello = cls(
            fields.text("version"),
            fields.text("manager", default=""),
            ours.text("isolation", default=""),
            frozenset(ours.texts("features")),
            tuple(map(Protection.from_json, ours.items("protections"))),
        )
        _ = hello.key
        return hello


def choose_era(hello: Hello) -> Era:
    """The era of a server (docs/protocol.md, section 1.4).

    Args:
        hello: its reply to the probe.
    """
    major, _ = hello.key
    if major <= 3:
        return SEED
    if major == 4:
        # Compared as text, as the servers do: all of major 4 have the same shape.
        version = min(hello.version, TRANSITION.version)
        return replace(
            TRANSITION,
            version=version,
            streams_executions=version >= "v4.20190115",
            folder_files_in_parts=version < _FOLDER_TOKENS_SINCE,
        )
    if major == 5:
        return SESSION_5
    if hello.key >= _ENVELOPE_SINCE:
        return replace(SESSION_6, graphql_path="/admin/gql", graphql_enveloped=True)
    return SESSION_6
