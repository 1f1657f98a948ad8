"""Life-cycle messages of a kernel: create, describe, destroy (docs/protocol.md, section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields

from ..errors import LocalProtocolError, RemoteProtocolError
from .batch_jobs import BatchJob
from .json_fields import Fields, encode_json
from .kernel_spec import KernelSpec, config_of, places_of, spec_of
from .kernel_states import COMING, DEAD, KernelState
from .status_details import StatusDetails
from .uuids import is_uuid
from .versions import Era, Hello

__all__ = [
    "CreateReply",
    "CreateRequest",
    "KernelInfo",
    "Statistics",
    "check_name",
    "check_token",
]

# Managers want 4 to 64 characters, and say so themselves.
_TOKEN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?")


def check_token(token: str) -> str:
    """Return the token if it can be a client token.

    Raises:
        LocalProtocolError: it cannot.
    """
    if not _TOKEN.fullmatch(token):
        raise LocalProtocolError(
            f"{token!r} cannot be a client token: use 1 to 64 letters, digits, "
            "'_', '.' or '-', beginning and ending with a letter, digit or '_'"
        )
    return token


def check_name(hello: Hello, token: str) -> str:
    """Return the token if a kernel of that name can be reached on this server.

    Args:
        hello: the server's version and release.
        token: token of a kernel that exists or is to be created.

    Raises:
        LocalProtocolError: it cannot be a client token, or the server would read it as a session
            id (docs/protocol.md, section 3.9), so that the kernel could be neither used nor
            destroyed.
    """
    check_token(token)
    if hello.takes_uuids_for_ids and is_uuid(token):
        raise LocalProtocolError(
            f"{token!r} reads as a UUID, and {hello.name} takes every UUID for a "
            f"session id: a kernel of that name could not be reached; use another token, "
            f"such as {'k-' + token!r}"
        )
    return token


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A request to create a kernel, or to join the one with this token."""

    token: str
    """Client session token; the session's name from 20.03 on."""
    spec: KernelSpec
    reuse: bool = True
    """Whether an existing kernel with this token may be joined (20.03+; earlier ones always do)."""
    enqueue_only: bool = False
    """Whether the reply shall come before the session runs (20.03+)."""
    job: BatchJob | None = None
    """What a batch session does (20.03+); None for an interactive one."""

    def __post_init__(self) -> None:
        check_token(self.token)

    def encode(self, era: Era) -> bytes:
        """JSON body for an era."""
        spec = self.spec
        config = config_of(spec, era)
        more = places_of(spec)
        if era.names_session:
            body: dict[str, object] = {
                "name": self.token,
                "image": spec.runtime,
                "reuseIfExists": self.reuse,
                "config": config,
            }
            if self.enqueue_only:
                body["enqueueOnly"] = True
            if self.job is not None:
                body |= self.job.encode()
            return encode_json(body | more)
        return encode_json(
            {"lang": spec.runtime, "clientSessionToken": self.token, "config": config} | more
        )

    @classmethod
    def decode(cls, body: bytes) -> CreateRequest:
        """Read any era's body. Keys have changed their names over time."""
        top = Fields.parse(body, "create request")
        config = top.nested("config")
        # Client 1.1.1 sends `envs`, which no manager of that time read (docs/protocol.md,
        # section 3.2).
        environ = config.mapping("environ", "envs")
        for name, value in environ.items():
            if not name or "=" in name or "\0" in name + value:
                raise RemoteProtocolError(f"create request: {name!r} cannot be a variable")
        try:
            return cls(
                top.text("name", "session_name", "sessionName", "clientSessionToken"),
                spec_of(top, config, environ),
                top.flag("reuseIfExists", "reuse", default=True),
                top.flag("enqueueOnly", "enqueue_only", default=False),
                BatchJob.decode(top),
            )
        except LocalProtocolError as exc:
            raise RemoteProtocolError(str(exc)) from None


@dataclass(frozen=True, slots=True)
class CreateReply:
    """The kernel that was created or joined."""

    token: str
    kernel_id: str
    """Session UUID from 20.03 on; before, the token again."""
    created: bool
    """False when an existing kernel was joined; the HTTP status does not say it (docs/protocol.md,
    section 12)."""
    status: str = "RUNNING"

    @property
    def runs(self) -> bool:
        """Whether the session had been started when the reply was written."""
        return self.status.upper() not in COMING | DEAD

    def encode(self, era: Era) -> bytes:
        """JSON body for an era."""
        if not era.names_session:
            return encode_json({"kernelId": self.token, "created": self.created})
        return encode_json(
            {
                "sessionId": self.kernel_id,
                "sessionName": self.token,
                "status": self.status,
                "servicePorts": [],
                "service_ports": [],
                "created": self.created,
            }
        )

    @classmethod
    def decode(cls, body: bytes, token: str) -> CreateReply:
        """Read any era's body.

        Args:
            body: JSON.
            token: that of the request, for servers that do not repeat it.
        """
        top = Fields.parse(body, "reply to create")
        return cls(
            top.text("sessionName", default=token),
            top.text("sessionId", "kernelId"),
            top.flag("created", default=True),
            top.text("status", default="RUNNING"),
        )


@dataclass(frozen=True, slots=True)
class KernelInfo:
    """A running kernel as its server describes it."""

    runtime: str
    status: str = "RUNNING"
    age_ms: int = 0
    """Milliseconds since it was created."""
    queries: int = 0
    """Requests it has answered."""
    memory_kib: int = 0
    """Memory limit in KiB; 0 if unknown."""
    memory_used_kib: int = 0
    """Memory in use in KiB; 0 if unknown, as on all managers."""
    cpu_ms: int = 0
    """CPU time used so far; 0 if unknown."""
    status_info: str = ""
    """Why it is in its state, in a word; empty if the server does not tell."""
    status_details: StatusDetails = field(default_factory=StatusDetails)
    """Why, in full."""

    @property
    def state(self) -> KernelState:
        """The state, as `open_kernel` reports states."""
        return KernelState(self.status.upper(), self.status_info, self.status_details)

    @property
    def has_ended(self) -> bool:
        """Whether the kernel runs no more, or ends."""
        return self.status.upper() in DEAD

    def encode(self, era: Era) -> bytes:
        """The JSON body of the reply.

        Args:
            era: the era whose keys to use.
        """
        if not era.names_session:
            return encode_json(
                {
                    "lang": self.runtime,
                    "age": self.age_ms,
                    "queryTimeout": -1,
                    "idleTimeout": -1,
                    "memoryLimit": self.memory_kib,
                    "maxCpuCredit": -1,
                    "numQueriesExecuted": self.queries,
                    "idle": -1,
                    "memoryUsed": self.memory_used_kib or -1,
                    "cpuCreditUsed": self.cpu_ms,
                }
            )
        # Only our own gateway has these, and managers of the seed era the first.
        used = {"cpuCreditUsed": self.cpu_ms, "memoryUsed": self.memory_used_kib}
        return encode_json(
            {
                "domainName": "default",
                "lang": self.runtime,
                "image": self.runtime,
                "status": self.status,
                # A string in every release (docs/protocol.md, section 3.5).
                "statusInfo": self.status_info or "None",
                "statusData": self.status_details.as_json() or None,
                "age": self.age_ms,
                "numQueriesExecuted": self.queries,
                **{key: value for key, value in used.items() if value},
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> KernelInfo:
        """Read the reply of any era.

        Args:
            body: JSON.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields.parse(body, "kernel info")
        age = top.raw("age")
        why = top.text("statusInfo", default="")
        return cls(
            runtime=top.text("image", "lang"),
            status=top.text("status", default="RUNNING"),
            # A float of milliseconds in the seed era.
            age_ms=int(age) if isinstance(age, int | float) and abs(age) < 1e15 else 0,
            queries=top.integer("numQueriesExecuted", default=0),
            memory_kib=top.integer("memoryLimit", default=0),
            memory_used_kib=max(top.integer("memoryUsed", default=0), 0),
            cpu_ms=top.integer("cpuCreditUsed", default=0),
            status_info=why if why != "None" else "",
            status_details=StatusDetails.decode(top.raw("statusData")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Resources that a kernel has used, from the reply to destroy; bytes unless said otherwise."""

    cpu_used: int = 0
    """Milliseconds of CPU time."""
    mem_max_bytes: int = 0
    mem_cur_bytes: int = 0
    net_rx_bytes: int = 0
    net_tx_bytes: int = 0
    io_read_bytes: int = 0
    io_write_bytes: int = 0
    io_max_scratch_size: int = 0
    io_cur_scratch_size: int = 0

    def encode(self, era: Era) -> bytes:
        """The JSON body of the reply to destroy.

        Args:
            era: the era whose keys to use.
        """
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        if not era.metric_statistics:
            return encode_json({"stats": values})
        metrics: dict[str, object] = {"version": 2, "status": "terminated"}
        for name, value in values.items():
            unit = "msec" if name == "cpu_used" else "bytes"
            metrics[name] = {"current": str(value), "capacity": None, "pct": "0", "unit_hint": unit}
        return encode_json({"stats": metrics})

    @classmethod
    def decode(cls, body: bytes) -> Statistics | None:
        """Read the reply to destroy of any era; None if it has no statistics.

        Args:
            body: JSON.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        stats = Fields.parse(body, "reply to destroy").nested("stats")
        found: dict[str, int] = {}
        for item in fields(cls):
            value = stats.raw(item.name)
            if isinstance(value, dict):  # a metric: {"current": "123", ...}
                value = value.get("current")
            # A metric that cannot be read does not hide the others.
            if (number := _whole(value)) is not None:
                found[item.name] = number
        return cls(**found) if found else None


def _whole(value: object) -> int | None:
    """A number as servers write it: an integer, or a decimal text (agents from 19.03 on)."""
    if not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        pass
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None
