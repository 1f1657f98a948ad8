"""Gateways that behave as a manager's release: this library's client on each, and the faults."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from backendai_trio import (
    ApiError,
    Client,
    GatewayError,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    NotFound,
    attach_kernel,
    create_vfolder,
    find_kernel,
    open_client,
    open_gateway,
    open_kernel,
    query,
)
from backendai_trio.gateway import RELEASES, GatewayLimits
from backendai_trio.wire.http import JSON, Request
from backendai_trio.wire.json_fields import encode_json
from backendai_trio.wire.versions import choose_era

PYTHON = KernelSpec(runtime="python")
LATER = [name for name in RELEASES if not RELEASES[name].era.prefix]


@pytest.fixture(params=list(RELEASES))
def release(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@asynccontextmanager
async def client_of(release: str) -> AsyncIterator[Client]:
    options = GatewayOptions(release=release, limits=GatewayLimits(poll_seconds=0.2))
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        yield client


async def test_main_job(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        assert client.hello == RELEASES[release].hello
        assert client.era.noun == choose_era(client.hello).noun
        async with open_kernel(client, PYTHON) as kernel:
            result = await kernel.run("print('hello world')")
            assert result["console"] == [("stdout", "hello world\n")]
            result = await kernel.run("print(input('name? '))", stdin=b"Lablup\n")
            assert "".join(text for _, text in result["console"]).endswith("Lablup\n")
            token = kernel.token
            assert (await find_kernel(client, token)).token == token
        with pytest.raises(NotFound):
            await find_kernel(client, token)


async def test_names_that_begin_alike(release: str, gateway_parent: Path) -> None:
    """The kernel that is named is found and destroyed, and no other one."""
    async with client_of(release) as client:
        longer = await attach_kernel(client, PYTHON, token="lab10")
        await attach_kernel(client, PYTHON, token="lab1")
        found = await find_kernel(client, "lab1")
        assert found.token == "lab1"
        await found.destroy()
        for name in ("lab1", "la_10"):  # the latter is a pattern of SQL
            with pytest.raises(NotFound):
                await find_kernel(client, name)
        await longer.run("pass")
        await longer.destroy()


@pytest.mark.parametrize(
    ("release", "told"), [("20.09", 404), ("22.03", "lab1"), ("23.09", "lab1")]
)
async def test_names_as_prefixes(release: str, told: object, gateway_parent: Path) -> None:
    async with client_of(release) as client:

        async def named(name: str) -> object:
            request = Request("GET", client.era.session_path(name))
            async with client.request(request, check_status=False) as response:
                if response.status != 200:
                    return response.status
                return json.loads((await response.read_all()).body).get("sessionName", name)

        kernels = [await attach_kernel(client, PYTHON, token=name) for name in ("lab1", "lab10")]
        assert await named("lab1") == told
        await kernels[0].destroy()
        assert (await named("lab1") == 404) == (release == "23.09")


async def test_kernel_is_joined_by_its_token(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        first = await attach_kernel(client, PYTHON, token="shared-1")
        second = await attach_kernel(client, PYTHON, token="shared-1")
        assert first.created
        assert second.token == first.token
        await first.destroy()


@pytest.mark.parametrize("release", LATER)
async def test_files_of_folders(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        folder = await create_vfolder(client, "data-1")
        await folder.mkdir("sub")
        assert [item.name for item in await folder.list_files()] == ["sub"]


@pytest.mark.parametrize("release", ["18.12", "20.03", "23.09", "26.9"])
async def test_lists_are_filtered_where_they_were(release: str, gateway_parent: Path) -> None:
    """Up to 20.09.20 lists take a column to sort by, and no filter; later it is the reverse."""
    text = "query($x: {kind}) {{ user_list(limit: 9, offset: 0, {name}: $x) {{ total_count }} }}"
    filtered = text.format(kind="String", name="filter"), 'role == "x"'
    sorted_by_key = text.format(kind="Boolean", name="order_asc"), True
    async with client_of(release) as client:
        newer = release in ("23.09", "26.9")
        for (query_text, value), there in ((filtered, newer), (sorted_by_key, not newer)):
            if there:
                await query(client, query_text, {"x": value})
            else:
                with pytest.raises(InvalidRequest, match="Unknown argument"):
                    await query(client, query_text, {"x": value})


def test_unknown_release_is_refused() -> None:
    async def main() -> None:
        async with open_gateway(GatewayOptions(release="0.9")):
            pass

    with pytest.raises(GatewayError, match=r"0\.9.*choose one of 1\.1"):
        trio.run(main)


# -- the differences ------------------------------------------------------------------------------


async def create(client: Client, token: str, config: dict[str, object]) -> None:
    body = {"name": token, "image": "python", "config": config}
    body |= {"lang": "python", "clientSessionToken": token}
    await client.call(Request("POST", client.era.create_path, (), encode_json(body), JSON))


async def test_resources_are_required_where_they_were(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        await create(client, "with-1", {"resources": {}})
        if RELEASES[release].needs_resources:
            with pytest.raises(ApiError) as caught:
                await create(client, "without-1", {})
            assert caught.value.status == 500
        else:
            await create(client, "without-1", {})


async def test_problem_types(release: str, gateway_parent: Path) -> None:
    expected = RELEASES[release].not_found_kind
    async with client_of(release) as client:
        noun = client.era.noun
        with pytest.raises(NotFound) as caught:
            await client.call(Request("POST", client.era.session_path("nobody"), (), b"{}", JSON))
        assert caught.value.kind == (expected or f"{noun}-not-found")
        assert not caught.value.is_unknown_image
        with pytest.raises(NotFound) as caught:
            await attach_kernel(client, KernelSpec(runtime="nonesuch"), token="lab-1")
        assert caught.value.is_unknown_image


@pytest.mark.parametrize("release", ["1.1", "1.3"])
async def test_stage_of_null_ends_the_session(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client, open_kernel(client, PYTHON) as kernel:
        path = client.era.session_path(kernel.token)
        body = {"mode": "batch", "runId": "r1", "options": {"build": None, "exec": "*"}}
        with pytest.raises(ApiError) as caught:
            await client.call(Request("POST", path, (), encode_json(body), JSON))
        assert caught.value.status == 500
        body = {"mode": "query", "runId": "r2", "code": "print(1)"}
        for _ in range(2):
            reply = await client.call(Request("POST", path, (), encode_json(body), JSON))
            assert b'"continued"' in reply.body
        await kernel.restart()
        assert (await kernel.run("print(1)"))["console"] == [("stdout", "1\n")]


@pytest.mark.parametrize("release", ["25.12", "26.9"])
async def test_batch_runs_lose_their_end(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client, open_kernel(client, PYTHON) as kernel:
        path = client.era.session_path(kernel.kernel_id)
        options = {"build": "true", "exec": "echo lost"}
        body: dict[str, object] = {"mode": "batch", "runId": "r1", "options": options}
        statuses: list[bytes] = []
        for _ in range(4):
            reply = await client.call(Request("POST", path, (), encode_json(body), JSON))
            statuses.append(reply.body)
            body = {"mode": "continue", "runId": "r1", "code": ""}
        assert any(b"build-finished" in text for text in statuses)
        assert b'"continued"' in statuses[-1]
        assert not any(b"lost" in text or b'"finished"' in text for text in statuses)


async def test_uuid_names_are_not_found_where_they_are_ids(
    release: str, gateway_parent: Path
) -> None:
    async with client_of(release) as client:
        token = str(uuid4())
        await create(client, token, {"resources": {}})
        request = Request("POST", client.era.session_path(token, "interrupt"))
        if client.hello.takes_uuids_for_ids:
            with pytest.raises(NotFound):
                await client.call(request)
        else:
            await client.call(request)


async def test_restart_is_there_or_refused(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client, open_kernel(client, PYTHON) as kernel:
        if RELEASES[release].restarts:
            await kernel.restart()
        else:
            with pytest.raises(ApiError) as caught:
                await kernel.restart()
            assert caught.value.status == 501
            assert "create another" in caught.value.advice


@pytest.mark.parametrize("name", [name for name in LATER if name != "18.12"])
async def test_versions_up_to_its_own_are_accepted(name: str, gateway_parent: Path) -> None:
    own = RELEASES[name].hello
    async with client_of(name) as client:
        for version in ("v4.20190615", own.version, "v9.20990101"):
            era = client.era
            client.era = replace(era, version=version)
            request = Request("POST", era.session_path("nobody"), (), b"{}", JSON)
            with pytest.raises(ApiError) as caught:
                await client.call(request)
            known = version != "v9.20990101" or era.noun == "kernel"
            assert caught.value.status == (404 if known else 400), version
            client.era = era
