"""A small manager on loopback that keeps what administrators make, on real sockets.

It answers the mutations and queries of `backendai_trio.wire.administration`, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import trio

from backendai_trio import Client, RemoteProtocolError, open_client
from backendai_trio.wire.admin_kinds import MANAGED_KINDS, kind_of
from backendai_trio.wire.admin_settings import ManagedKind, Release, release_text
from backendai_trio.wire.admin_values import encode_value
from backendai_trio.wire.administration import Mutation, encode_outcome
from backendai_trio.wire.graphql import GraphQLQuery
from backendai_trio.wire.http import JSON
from backendai_trio.wire.versions import Hello

from ..transport.servers import read_head, reply, serving

__all__ = ["SmallManager", "manager_client"]

Row = dict[str, Any]
_ROOT = re.compile(r"\{\s*(\w+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


@dataclass
class SmallManager:
    """What a manager knows.

    Attributes:
        release: which manager it is.
        rows: the objects, by the name of their kind and then by key.
        sent: names of the mutations that have come, in their order.
        calls: those with plain arguments: name and arguments.
        on_task: answers the event stream of a background task.
    """

    release: Release = (26, 9, 6)
    rows: dict[str, dict[str, Row]] = field(
        default_factory=lambda: {name: {} for name in MANAGED_KINDS}
    )
    sent: list[Mutation] = field(default_factory=list)
    calls: list[tuple[str, Row]] = field(default_factory=list)
    refusal: Callable[[GraphQLQuery], bytes | None] = lambda query: None
    without_project: frozenset[str] = frozenset()
    """Users whose key pairs the query for one does not find."""
    tasks: list[bytes] = field(default_factory=list)
    """Responses to requests for the events of tasks."""

    def answer(self, query: GraphQLQuery) -> Row:
        """The data of a reply."""
        match = _ROOT.search(query.text)
        assert match is not None
        name = match[1]
        if not query.text.startswith("mutation"):
            return {name: self._found(name, query)}
        try:
            mutation = Mutation.decode(query, self.release)
        except RemoteProtocolError:  # of images and members, which are no rows here
            self.calls.append((name, dict(query.variables)))
            return encode_outcome(name, True, task_id="a-task")
        self.sent.append(mutation)
        return self._change(mutation)

    def _found(self, root: str, query: GraphQLQuery) -> Any:
        if root == "groups_by_name":
            wanted = query.variables["name"]
            return [row for row in self.rows["projects"].values() if row["name"] == wanted]
        if root == "keypairs":
            return list(self.rows["keypairs"].values())
        if root == "user" and "email" in query.variables:
            return self.rows["users"].get(query.variables["email"])
        kind = next(kind for kind in map(kind_of, MANAGED_KINDS) if kind.root == root)
        row = self.rows[kind.name].get(query.variables["key"])
        if row is None or row.get("user_id") in self.without_project:
            return None
        fields = query.text.rpartition("$key) {")[2].rstrip("} ").split()
        return {name: row.get(name) for name in fields}

    def _change(self, mutation: Mutation) -> Row:
        kind, key = mutation.kind, mutation.key
        rows = self.rows[kind.name]
        values = {
            name: encode_value(kind.setting(name), value, self.release)
            for name, value in mutation.values.items()
        }
        if mutation.action == "create":
            row = self._new(kind, key) | values
            rows[row[kind.identity[0] if kind.create_key else kind.key]] = row
            return encode_outcome(mutation.name, True, **{kind.item: row})
        if key not in rows:
            return encode_outcome(mutation.name, False, f"no matching {mutation.name}")
        if mutation.action == "update":
            rows[key] |= values
        elif mutation.action == "delete" and kind.deletes:
            rows[key] |= {"status": "deleted"} if kind.name == "users" else {"is_active": False}
        else:
            del rows[key]
        return encode_outcome(mutation.name, True)

    def _new(self, kind: ManagedKind, key: str) -> Row:
        if kind.name == "keypairs":
            return {
                "access_key": f"AKIA{len(self.rows)}",
                "user_id": key,
                "secret_key": "told-once",
            }
        unique = str(uuid4())
        return {"id": unique, "uuid": unique, kind.create_key or kind.key: key}

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer the requests of a connection."""
        while head := await read_head(stream):
            head, _, body = head.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            while length is not None and len(body) < int(length[1]):
                body += await stream.receive_some(65536)
            if head.startswith(b"GET / "):
                hello = Hello("v9.20250722", release_text(self.release))
                await stream.send_all(reply(200, hello.encode(), JSON))
            elif b"/events/background-task?taskId=a-task" in head:
                await stream.send_all(self.tasks.pop(0))
                return
            else:
                query = GraphQLQuery.decode(body)
                answer = self.refusal(query)
                if answer is None:
                    data = json.dumps({"data": self.answer(query)}).encode()
                    answer = reply(200, data, JSON)
                await stream.send_all(answer)


@asynccontextmanager
async def manager_client(manager: SmallManager) -> AsyncIterator[Client]:
    """Serve a manager, and give a client of it."""
    async with serving(manager.serve) as config, open_client(config) as client:
        yield client
