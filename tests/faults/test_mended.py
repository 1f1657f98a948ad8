"""Wrong successes and repeated work that faults on the way have led to once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backendai_trio import (
    Client,
    DownloadError,
    KernelSpec,
    QuotaExceeded,
    RemoteProtocolError,
    create_vfolder,
    find_kernel,
    open_client,
    open_kernel,
)
from backendai_trio.admin import announce, authorize, get_announcement
from backendai_trio.gateway import Gateway
from backendai_trio.testing import FaultyNetwork, MalformedJson, Reply, open_faulty_network
from backendai_trio.vfolders import list_hosts

PAGE = Reply(200, b"<html><body>Log in to this network</body></html>")


@pytest.fixture
async def network(gateway: Gateway) -> AsyncIterator[FaultyNetwork]:
    async with open_faulty_network(gateway.config) as opened:
        yield opened


@pytest.fixture
async def client(network: FaultyNetwork) -> AsyncIterator[Client]:
    """A client whose requests meet the faults."""
    async with open_client(network.config) as opened:
        yield opened


async def test_code_whose_answer_is_malformed_is_not_run_again(
    network: FaultyNetwork, client: Client
) -> None:
    async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
        network.inject(MalformedJson(), matching="^POST ")
        with pytest.raises(RemoteProtocolError):
            await kernel.run("open('count', 'a').write('x')")
        result = await kernel.run("print(open('count').read())")
        assert result["console"] == [("stdout", "x\n")]


async def test_a_web_page_is_no_success(network: FaultyNetwork, client: Client) -> None:
    async with open_kernel(client, KernelSpec(runtime="python"), token="before") as kernel:
        network.inject(PAGE)
        with pytest.raises(RemoteProtocolError, match="web page came in place of an answer"):
            await kernel.rename("after-it")
        await find_kernel(client, "before")
        network.inject(PAGE)
        with pytest.raises(RemoteProtocolError):
            await kernel.mkdir("a")
        assert [file.name for file in (await kernel.list_files()).files] == []
    network.inject(PAGE)
    with pytest.raises(RemoteProtocolError):
        await announce(client, "Down on Friday")
    assert await get_announcement(client) == ""
    network.inject(PAGE, matching="^POST .*/folders")
    with pytest.raises(RemoteProtocolError):
        await create_vfolder(client, "data")
    assert (await list_hosts(client)).default == "local"


async def test_an_answer_to_the_check_of_a_key_pair_is_read(
    network: FaultyNetwork, client: Client
) -> None:
    network.inject(MalformedJson())
    with pytest.raises(RemoteProtocolError):
        await authorize(client)
    await authorize(client)


async def test_a_web_page_is_no_file(
    network: FaultyNetwork, client: Client, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
    (source / "data.bin").write_bytes(b"data" * 1000)
    (source / "small.html").write_text("<p>small</p>")
    folder = await create_vfolder(client, "data")
    await folder.upload(sorted(source.iterdir()), base=source)
    for name in ("data.bin", "small.html"):
        network.inject(PAGE, skip=2)  # after the listing, and the request for the file's address
        with pytest.raises(DownloadError, match="was listed with"):
            await folder.download([name], target)
        assert list(target.iterdir()) == []
        await folder.download([name], target)
        assert (target / name).read_bytes() == (source / name).read_bytes()
        (target / name).unlink()


async def test_a_server_that_is_busy_is_one(network: FaultyNetwork, gateway: Gateway) -> None:
    network.inject(Reply(429, b"{}", "application/json"))
    with pytest.raises(QuotaExceeded):
        async with open_client(network.config):
            pytest.fail("it is open")
