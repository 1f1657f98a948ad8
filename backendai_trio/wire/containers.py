"""The containers of a session, and their logs (docs/protocol.md, sections 3.1 and 8.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import LocalProtocolError
from .graphql import GraphQLQuery
from .json_fields import Fields
from .versions import Hello

__all__ = [
    "Container",
    "check_container_logs",
    "containers_query",
    "decode_containers",
    "encode_containers",
]

_SINCE = (24, 3, 7)


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a session. Managers call it a kernel."""

    container_id: str
    """A UUID."""
    host_name: str = ""
    """Its name within the cluster: ``main1``, ``sub1``, ``sub2``, ..."""
    status: str = ""
    """Its state, as that of a session."""


def check_container_logs(hello: Hello) -> None:
    """Check that a server tells the log of one container.

    Args:
        hello: of the server.

    Raises:
        LocalProtocolError: it does not.
    """
    if not hello.features and hello.release < _SINCE:
        raise LocalProtocolError(
            f"{hello.name} has no logs of single containers; managers have that from 24.03.7 on"
        )


def containers_query(session_id: str) -> GraphQLQuery:
    """The query for the containers of a session.

    Args:
        session_id: a UUID.
    """
    return GraphQLQuery(
        "query($id: UUID!) "
        "{ compute_session(id: $id) { containers { id cluster_hostname status } } }",
        {"id": session_id},
    )


def encode_containers(containers: Sequence[Container]) -> dict[str, Any]:
    """The data of the answer to `containers_query`.

    Args:
        containers: those of the session.
    """
    rows = [
        {"id": item.container_id, "cluster_hostname": item.host_name, "status": item.status}
        for item in containers
    ]
    return {"compute_session": {"containers": rows}}


def decode_containers(answer: Mapping[str, Any]) -> list[Container]:
    """Read the data of the answer to `containers_query`.

    Args:
        answer: the data, without its envelope.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    session = Fields(answer, "containers of a session").nested("compute_session")
    return [
        Container(
            row.text("id"),
            row.text("cluster_hostname", default=""),
            row.text("status", default="").upper(),
        )
        for row in (Fields(item, "container") for item in session.items("containers"))
    ]
