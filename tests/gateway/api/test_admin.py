"""The gateway's admin API: kernels and their history, and what a gateway says of itself."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.lowlevel

from backendai_trio import (
    ApiError,
    Client,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    list_kernels,
    open_kernel,
    query,
)
from backendai_trio.admin import KINDS, Kind, list_rows
from backendai_trio.gateway import Gateway
from backendai_trio.wire.http import Request

PYTHON = KernelSpec(runtime="python")
PAGE = """
query($limit: Int!, $offset: Int!, $filter: String, $order: String) {
  compute_session_list(limit: $limit, offset: $offset, filter: $filter, order: $order) {
    items { name status } total_count
  }
}
"""


async def names(client: Client, **arguments: Any) -> tuple[list[str], int]:
    """Names on a page of sessions, and how many there are in all."""
    data = await query(client, PAGE, {"limit": 100, "offset": 0} | arguments)
    found = data["compute_session_list"]
    return [row["name"] for row in found["items"]], found["total_count"]


@pytest.fixture
async def history(client: Client) -> None:
    """Three ended kernels and no running one."""
    for token in ("lab-1", "lab-2", "other"):
        async with open_kernel(client, PYTHON, token=token):
            pass


async def test_history(client: Client, history: None) -> None:
    assert await list_kernels(client) == []
    rows = await list_kernels(client, status="TERMINATED")
    assert [row.token for row in rows] == ["other", "lab-2", "lab-1"]
    assert all(row.terminated_at and row.session_id and row.runtime == "python" for row in rows)
    async with open_kernel(client, PYTHON, token="lab-1") as kernel:
        (row,) = await list_kernels(client)
        assert (row.token, row.session_id) == ("lab-1", kernel.kernel_id)
        everything = await list_kernels(client, status=None)
        assert [row.status for row in everything] == ["RUNNING"] + ["TERMINATED"] * 3


async def test_pages_filters_and_orders(client: Client, history: None) -> None:
    assert await names(client) == (["other", "lab-2", "lab-1"], 3)
    assert await names(client, limit=1, offset=1) == (["lab-2"], 3)
    assert await names(client, offset=3) == ([], 3)
    assert await names(client, filter='name contains "lab"') == (["lab-2", "lab-1"], 2)
    assert await names(client, order="+name", limit=2) == (["lab-1", "lab-2"], 3)
    with pytest.raises(InvalidRequest, match="there is no column 'colour'"):
        await names(client, filter="colour == 1")


async def test_one_session(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        text = "query($id: UUID!) { compute_session(id: $id) { name status image terminated_at } }"
        data = await query(client, text, {"id": kernel.kernel_id})
        assert data["compute_session"] == {
            "name": kernel.token,
            "status": "RUNNING",
            "image": "python",
            "terminated_at": None,
        }
        assert (await query(client, text, {"id": "nobody"}))["compute_session"] is None


async def test_sessions_of_another_key_pair(client: Client) -> None:
    async with open_kernel(client, PYTHON):
        assert await list_kernels(client, access_key="AKIAOFSOMEBODYELSE00") == []
        assert len(await list_kernels(client, access_key=client.config.access_key)) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_listed(client: Client, kind: Kind) -> None:
    rows = await list_rows(client, kind)
    expected = {"sessions": 0, "vfolders": 0, "resource-presets": 0}
    if kind == "images":
        assert {"python", "lua"} <= {row["name"] for row in rows}
    else:
        assert len(rows) == expected.get(kind, 1)
    for row in rows:
        assert client.config.secret_key not in str(row)


async def test_the_machine_and_its_user(client: Client) -> None:
    (machine,) = await list_rows(client, "agents", {"status": "ALIVE"})
    assert machine["status"] == "ALIVE"
    assert await list_rows(client, "agents", {"status": "LOST"}) == []
    (pair,) = await list_rows(client, "keypairs")
    (user,) = await list_rows(client, "users")
    assert pair["access_key"] == client.config.access_key
    assert pair["user_id"] == user["email"]
    with pytest.raises(LocalProtocolError, match="cannot be listed by colour"):
        await list_rows(client, "agents", {"colour": "red"})


async def test_versions_of_images_are_those_that_can_be_asked_for(client: Client) -> None:
    rows = await list_rows(client, "images")
    (python,) = [row for row in rows if row["name"] == "python"]
    async with open_kernel(client, KernelSpec(runtime=f"python:{python['tag']}")) as kernel:
        assert (await kernel.info()).runtime == "python"


@pytest.mark.parametrize(
    "text",
    ["{ nonsense }", "{", "mutation { create_keypair { ok } }", "{ keypair { access_key }", ""],
)
async def test_a_query_that_is_wrong(client: Client, text: str) -> None:
    with pytest.raises(ApiError):
        await query(client, text)


async def test_rename(client: Client, gateway: Gateway) -> None:
    async with open_kernel(client, PYTHON, token="before") as kernel:
        async with kernel.execute("x = 42") as run:
            async for _ in run:
                pass
        await kernel.rename("after")
        assert kernel.token == "after"
        assert gateway.tokens() == ["after"]
        assert "x" in await kernel.complete("x")
        async with open_kernel(client, PYTHON, token="before") as other:
            with pytest.raises(InvalidRequest, match="a kernel 'after' exists"):
                await other.rename("after")
            with pytest.raises(LocalProtocolError, match="cannot be a client token"):
                await other.rename("with space")
            assert other.token == "before"
    assert gateway.tokens() == []
    rows = await list_kernels(client, status="TERMINATED")
    assert [row.token for row in rows] == ["after", "before"]


async def test_rename_of_a_kernel_that_is_gone(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        await kernel.destroy()
        with pytest.raises(NotFound):
            await kernel.rename("after")


async def test_rename_while_the_new_name_is_being_created(client: Client, gateway: Gateway) -> None:
    """Whichever comes first has the name; there are never two."""
    async with open_kernel(client, PYTHON, token="one") as kernel:
        refused = []

        async def create() -> None:
            try:
                async with open_kernel(client, PYTHON, token="two"):
                    await trio.lowlevel.checkpoint()
            except InvalidRequest:
                refused.append("create")

        async def rename() -> None:
            try:
                await kernel.rename("two")
            except InvalidRequest:
                refused.append("rename")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(create)
            nursery.start_soon(rename)
        assert len(refused) <= 1
    assert gateway.tokens() == []


async def test_a_destroy_that_is_repeated_waits_for_the_end(
    client: Client, gateway: Gateway
) -> None:
    """Whoever is told that a kernel is gone does not find it any more."""
    async with open_kernel(client, PYTHON, token="lab") as kernel:
        async with kernel.execute("import time; time.sleep(0)") as run:
            async for _ in run:
                pass
        path = client.era.session_path("lab")

        async def destroy() -> None:
            await client.call(Request("DELETE", path))
            assert gateway.tokens() == []

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(destroy)
