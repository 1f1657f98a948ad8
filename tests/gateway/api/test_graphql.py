"""GraphQL over the wire, as client 1.1.1 and later ones ask."""

from __future__ import annotations

from typing import Any

from .raw_client import Raw, create

PS = (
    "query($status:String) {"
    "  compute_sessions(status:$status) {"
    "    id lang created_at terminated_at status mem_slot cpu_slot gpu_slot"
    "  }"
    "}"
)


async def test_graphql_as_client_111_asks(seed: Raw) -> None:
    await create(seed)
    # The variable `ak` is sent and not declared.
    body = {"query": PS, "variables": {"status": "RUNNING", "ak": None}}
    answer = await seed("POST", "/v2/admin/graphql", body)
    assert answer.status == 200
    # The bare data object; the client prints the values in the order of its query.
    (row,) = answer.json()["compute_sessions"]
    assert list(row) == [
        "id", "lang", "created_at", "terminated_at", "status", "mem_slot", "cpu_slot", "gpu_slot",
    ]  # fmt: skip
    assert (row["lang"], row["status"]) == ("python", "RUNNING")
    query = PS.replace("{  compute", "{ compute").replace("mem_slot cpu_slot", "cpu_slot mem_slot")
    (row,) = (await seed("POST", "/v2/admin/graphql", body | {"query": query})).json()[
        "compute_sessions"
    ]
    assert list(row)[-3:] == ["cpu_slot", "mem_slot", "gpu_slot"]
    body["variables"] = {"status": "TERMINATED"}
    assert (await seed("POST", "/v2/admin/graphql", body)).json() == {"compute_sessions": []}


async def test_graphql_of_another_access_key_is_empty(seed: Raw) -> None:
    await create(seed)
    query = "query($ak:String) { compute_sessions(access_key:$ak) { sess_id } }"
    body = {"query": query, "variables": {"ak": "AKIAOTHER00000000000"}}
    assert (await seed("POST", "/v2/admin/graphql", body)).json() == {"compute_sessions": []}
    body["variables"] = {"ak": seed.gateway.config.access_key}
    rows = (await seed("POST", "/v2/admin/graphql", body)).json()["compute_sessions"]
    assert rows == [{"sess_id": "mysession01"}]


async def test_graphql_vfolders(seed: Raw) -> None:
    body = {"query": "query { vfolders { name created_at last_used max_files max_size } }"}
    assert (await seed("POST", "/v2/admin/graphql", body)).json() == {"vfolders": []}


async def test_graphql_pages(session: Raw) -> None:
    for number in range(5):
        await session("POST", "/session", {"name": f"lab{number}", "image": "python"})
    query = (
        "query($limit:Int!, $offset:Int!, $status:String) {"
        " compute_session_list(limit:$limit, offset:$offset, status:$status)"
        " { items { name status session_id } total_count } }"
    )

    async def page(limit: int, offset: int, status: str | None) -> dict[str, Any]:
        variables = {"limit": limit, "offset": offset, "status": status}
        body = {"query": query, "variables": variables}
        answer = await session("POST", "/admin/graphql", body)
        found: dict[str, Any] = answer.json()["compute_session_list"]
        return found

    found = await page(2, 1, "RUNNING,PENDING")
    assert [row["name"] for row in found["items"]] == ["lab3", "lab2"]
    assert found["total_count"] == 5
    assert (await page(2, 9, None))["items"] == []
    assert (await page(2, 0, "TERMINATED"))["total_count"] == 0
    await session("DELETE", "/session/lab4")
    assert [row["name"] for row in (await page(9, 0, "TERMINATED"))["items"]] == ["lab4"]
    assert (await page(9, 0, None))["total_count"] == 5


async def test_graphql_errors(seed: Raw, session: Raw) -> None:
    body = {"query": "query { nonsense }"}
    answer = await session("POST", "/admin/graphql", body)
    assert (answer.status, answer.kind) == (400, "graphql-error")
    assert "nonsense" in answer.body.decode()
    answer = await seed("POST", "/v2/admin/graphql", body)
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    for wrong in ({"query": "{"}, {"query": 1}, {}, {"query": "{vfolders{id}}", "variables": []}):
        assert (await session("POST", "/admin/graphql", wrong)).status == 400
