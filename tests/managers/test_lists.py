"""Lists in pages: limits, offsets, filters, orders and columns, on the server."""

from __future__ import annotations

from typing import Any

import pytest

from backendai_trio import Client, TrioKernel, list_kernels, open_client
from backendai_trio.admin import LIVE, list_rows

from .capabilities import GATEWAY
from .targets import Target


@pytest.mark.needs("admin-users", "list-filters")
async def test_users_in_pages(target: Target) -> None:
    async with open_client(target.config("admin")) as client:

        async def emails(**page: Any) -> list[str]:
            rows = await list_rows(client, "users", fields=["email"], **page)
            assert all(list(row) == ["email"] for row in rows)
            return [row["email"] for row in rows]

        everyone = await emails(order="+email")
        assert everyone and await emails(order="-email") == everyone[::-1]
        for offset, email in enumerate(everyone):
            assert await emails(order="+email", offset=offset, limit=1) == [email]
            assert await emails(filter=f'email == "{email}"') == [email]
        assert await emails(order="+email", limit=2) == everyone[:2]
        assert await emails(offset=len(everyone)) == []
        assert await emails(filter='email == "nobody@example.com"') == []


@pytest.mark.needs("list-order")
async def test_one_column_to_sort_by(target: Target) -> None:
    async with open_client(target.config("admin")) as client:
        rows = await list_rows(client, "agents", order="-id", limit=1, fields=["id"])
        assert len(rows) == (1 if target.can("sessions") else 0)


@pytest.mark.needs("sessions")
async def test_kernel_in_the_list(target: Target, client: Client, kernel: TrioKernel) -> None:
    rows = await list_kernels(client, status=LIVE)
    (row,) = [row for row in rows if row.token == kernel.token]
    assert row.status == "RUNNING" and "python" in row.runtime
    assert row.slots or target.name == GATEWAY  # there, a kernel occupies what it asks for
    if target.can("list-filters"):
        page: dict[str, Any] = {"order": "-created_at", "limit": 1}
        own = await list_kernels(client, filter=f'name == "{kernel.token}"', **page)
        assert [row.session_id for row in own] == [kernel.kernel_id]
        both = f'name == "{kernel.token}" | name == "x"'
        assert len(await list_kernels(client, status=LIVE, filter=both, **page)) == 1
        assert await list_kernels(client, status=LIVE, filter='name == "x"') == []


@pytest.mark.needs("sessions", "other-users", "everybodys-sessions")
async def test_kernels_of_others_are_listed_on_demand(target: Target, kernel: TrioKernel) -> None:
    """An administrator sees them, and gets the own ones all the same."""
    async with open_client(target.config("admin")) as client:
        own = [row.token for row in await list_kernels(client, status=LIVE)]
        everybody = await list_kernels(client, status=LIVE, everybody=True)
        assert kernel.token not in own
        assert kernel.token in [row.token for row in everybody]
