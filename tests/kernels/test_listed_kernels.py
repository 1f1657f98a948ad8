"""The server's list of sessions, for an administrator and for a user with a long history."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from backendai_trio import Client, ServerError, TrioKernel
from backendai_trio.kernels.lookup import listed_kernel
from backendai_trio.wire.kernels import CreateReply
from backendai_trio.wire.versions import Hello

from ..transport.servers import reply
from .one_session import FAILED, GONE, REFUSED, Manager, client_of

MINE, THEIRS = "5a0e2f6c-0000-4000-8000-000000000001", "5a0e2f6c-0000-4000-8000-000000000002"
SERVERS = {
    "19.09": Hello("v4.20190615"),
    "20.03": Hello("v5.20191215"),
    "20.09": Hello("v6.20200815"),
    "26.9": Hello("v9.20250722", "26.9.6"),
}


@dataclass
class Listing(Manager):
    """A manager that lists the sessions of all key pairs, as managers do for administrators.

    It has no session for the requests that name one.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    key_pair: dict[str, str] | None = field(default_factory=lambda: {"access_key": "OWN"})
    no_key_pair: bytes = b""
    """What answers the query for the key pair instead."""
    looks: list[str] = field(default_factory=list)
    """Whether each query was for the key pair or for a page of the list."""

    async def answer(self, head: str) -> bytes:
        if head == "GET /":
            return await super().answer(head)
        if not head.startswith("POST /admin/"):
            return GONE
        query = json.loads(self.bodies[-1])
        variables = query["variables"] or {}
        if "keypair" in query["query"]:
            self.looks.append("key pair")
            return self.no_key_pair or self._data({"keypair": self.key_pair})
        if "compute_session_list" not in query["query"]:
            return REFUSED
        self.looks.append("page")
        found = [
            {name: value for name, value in row.items() if name != "owner"}
            for row in self.rows
            if variables.get("access_key") in (None, row["owner"])
            and row["status"] in (variables.get("status") or row["status"]).split(",")
            and f'status != "{row["status"]}"' not in variables.get("filter", "")
        ]
        page = found[variables["offset"] :][: variables["limit"]]
        return self._data({"compute_session_list": {"items": page, "total_count": len(found)}})

    def _data(self, data: object) -> bytes:
        body = {"data": data} if self.hello.key >= Hello("v6.20210815").key else data
        return reply(200, json.dumps(body).encode(), "application/json")


def row(name: str, session_id: str, owner: str = "OWN", status: str = "RUNNING") -> dict[str, Any]:
    named = {"id": session_id, "name": name, "owner": owner, "status": status}
    return named | {"image": owner, "lang": owner}


@pytest.mark.parametrize("release", ["20.09", "26.9"])
async def test_another_users_kernel_of_the_same_name_is_not_it(release: str) -> None:
    """An administrator's kernel that has ended, and another user's that is called like it."""
    site = Listing(hello=SERVERS[release], rows=[row("train", THEIRS, "OTHER")])
    async with client_of(site) as client:
        await kernel_at(client).destroy()
    site.rows.append(row("train", MINE))
    async with client_of(site) as client:
        kernel = kernel_at(client)
        with pytest.raises(ServerError, match=f"lists it as RUNNING.*{MINE}"):
            await kernel.destroy()
        kernel.release()


def kernel_at(client: Client) -> TrioKernel:
    return TrioKernel(client, CreateReply("train", MINE, created=True, status="RUNNING"))


@pytest.mark.parametrize("release", SERVERS)
async def test_the_history_is_not_read(release: str) -> None:
    ended = [row(f"s{n}", "", status="TERMINATED") for n in range(1000)]
    living = [row("train", THEIRS, "OTHER"), row("train", MINE)]
    site = Listing(hello=SERVERS[release], rows=ended + living)
    async with client_of(site, check=False) as client:
        for _ in range(2):
            found = await listed_kernel(client, "train")
            assert found is not None and found.runtime == "OWN"
        assert await listed_kernel(client, "s7") is None
    assert site.looks == ["key pair", "page", "page", "page"]


@pytest.mark.parametrize("refusal", [REFUSED, b""], ids=["refused", "null"])
async def test_server_that_does_not_tell_the_key_pair(refusal: bytes) -> None:
    """Names tell nothing in everybody's list, ids do."""
    site = Listing(rows=[row("train", THEIRS, "OTHER")], key_pair=None, no_key_pair=refusal)
    async with client_of(site) as client:
        assert await listed_kernel(client, "train", MINE) is None
        site.rows.append(row("train", MINE))
        found = await listed_kernel(client, "train", MINE)
        assert found is not None and found.session_id == MINE


async def test_server_that_fails_to_tell_the_key_pair() -> None:
    site = Listing(rows=[row("train", MINE)], no_key_pair=FAILED)
    async with client_of(site) as client:
        with pytest.raises(ServerError):
            await listed_kernel(client, "train", MINE)
