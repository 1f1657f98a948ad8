"""Session templates: kept by gateways of each release that has them, and used by creates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    TrioKernel,
    create_vfolder,
    open_kernel,
)
from backendai_trio.gateway import RELEASES
from backendai_trio.kernels import (
    BatchJob,
    create_template,
    delete_template,
    enqueue_kernel,
    get_template,
    list_templates,
    replace_template,
    run_batch,
)
from backendai_trio.wire.http import Request
from tests.admin.releases import client_of

SEED_AND_TRANSITION = ("1.1", "1.3", "18.12", "19.09")
LAB = KernelSpec(runtime="lua", environ={"A": "1", "B": "1"}, tag="of the lab")
SHOW = "print(os.getenv('A'), os.getenv('B'))"


@pytest.mark.parametrize("release", ["", *(r for r in RELEASES if r not in SEED_AND_TRANSITION)])
async def test_templates_are_kept(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        assert await list_templates(client) == []
        one = await create_template(client, "lab", LAB)
        two = await create_template(client, "other", KernelSpec(runtime="python"))
        found = {item.template_id: item for item in await list_templates(client)}
        assert set(found) == {one, two}
        assert (found[one].name, found[one].image, found[one].is_own) == ("lab", "lua", True)
        assert await get_template(client, "lab") == await get_template(client, one)
        await replace_template(client, "lab", KernelSpec(runtime="python"))
        assert (await get_template(client, one)).image == "python"
        await delete_template(client, "lab")
        await delete_template(client, two)
        assert await list_templates(client) == []


@pytest.mark.parametrize("release", SEED_AND_TRANSITION)
async def test_before_there_were_any(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        for call in (
            partial(list_templates, client),
            partial(create_template, client, "lab", LAB),
        ):
            with pytest.raises(LocalProtocolError, match=r"managers have them from 20\.03 on"):
                await call()
        with pytest.raises(LocalProtocolError, match=r"with a template; managers can from 20\.03"):
            async with open_kernel(client, KernelSpec(runtime="", template="lab")):
                pass
        with pytest.raises(NotFound):
            await client.call(Request("GET", client.era.prefix + "/template/session"))


async def printed_by(kernel: TrioKernel) -> list[str]:
    result = await kernel.run(SHOW)
    return "".join(text for kind, text in result["console"] if kind == "stdout").split()


@pytest.fixture
async def lab(client: Client) -> AsyncIterator[str]:
    """The id of a template that is called lab."""
    yield await create_template(client, "lab", LAB)


async def test_kernels_of_a_template(client: Client, lab: str) -> None:
    for name in ("lab", lab):
        spec = KernelSpec(runtime="", template=name, environ={"B": "2"})
        async with open_kernel(client, spec) as kernel:
            assert (await kernel.info()).runtime == "lua"
            assert await printed_by(kernel) == ["1", "2"]


async def test_batch_sessions_and_queued_ones(client: Client, lab: str) -> None:
    spec = KernelSpec(runtime="", template="lab")
    send, receive = trio.open_memory_channel[str](99)
    async with send, receive:
        result = await run_batch(client, spec, BatchJob("echo $A"), output=send)
        assert result.exit_code == 0 and receive.receive_nowait() == "1\n"
    kernel = await enqueue_kernel(client, spec, token="queued-one")
    assert (await kernel.info()).runtime == "lua"
    await kernel.destroy()


async def test_folders_of_a_template(client: Client) -> None:
    for name in ("one", "two"):
        await create_vfolder(client, name)
    await create_template(client, "folders", KernelSpec(runtime="lua", mounts=("one:here",)))
    spec = KernelSpec(runtime="", template="folders", mounts=("two",))
    async with open_kernel(client, spec) as kernel:
        names = {item.name for item in (await kernel.list_files()).files}
        assert {"here", "two"} <= names


async def test_templates_that_are_not_there(client: Client, lab: str) -> None:
    spec = KernelSpec(runtime="", template="nope")
    calls: list[Callable[[], Awaitable[object]]] = [
        partial(get_template, client, "nope"),
        partial(delete_template, client, "nope"),
        partial(replace_template, client, "nope", LAB),
        partial(enqueue_kernel, client, spec, token="queued-one"),
        open_kernel(client, spec).__aenter__,
    ]
    for call in calls:
        with pytest.raises(NotFound, match="No template 'nope'") as caught:
            await call()
        assert "'backend.ai template list'" in caught.value.advice
    assert [item.name for item in await list_templates(client)] == ["lab"]


async def test_several_of_one_name(client: Client, lab: str) -> None:
    other = await create_template(client, "lab", KernelSpec(runtime="python"))
    with pytest.raises(LocalProtocolError, match=f"2 templates are called 'lab'.*{lab}"):
        await delete_template(client, "lab")
    await delete_template(client, other)
    assert (await get_template(client, "lab")).template_id == lab


async def test_names_and_sizes_that_are_refused(client: Client) -> None:
    with pytest.raises(LocalProtocolError, match="needs a name"):
        await create_template(client, "", LAB)
    with pytest.raises(LocalProtocolError, match="does not hold a priority"):
        await create_template(client, "lab", KernelSpec(runtime="lua", priority=1))
    big = KernelSpec(runtime="lua", bootstrap_script="#" * 300_000)
    with pytest.raises(InvalidRequest, match="No room"):
        await create_template(client, "lab", big)
    assert await list_templates(client) == []


async def test_the_request_of_official_clients(client: Client, lab: str) -> None:
    body = {"template_id": lab, "name": "official", "config": {"environ": {"A": "3"}}}
    path = client.era.template_create_path
    await client.call(Request.of_json("POST", path, body))
    kernel = await enqueue_kernel(client, KernelSpec(runtime="lua"), token="official")
    assert not kernel.created
    assert await printed_by(kernel) == ["3", "nil"]
    await kernel.destroy()
    with pytest.raises(NotFound):
        await client.call(Request.of_json("POST", path, body | {"template_id": "ab" * 16}))
