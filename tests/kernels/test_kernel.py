"""A kernel's life on the real gateway, as each generation of servers would have it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    BackendError,
    Client,
    Config,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    TrioKernel,
    attach_kernel,
    list_kernels,
    new_token,
    open_client,
    open_gateway,
    open_kernel,
    run_kernel,
)
from backendai_trio.gateway import Gateway
from backendai_trio.gateway.storage.database import KeyPair, SqliteStore
from backendai_trio.wire.kernels import CreateReply
from backendai_trio.wire.versions import ERAS, SESSION_6, Era, Hello

from .eras import era as era
from .eras import gateway as gateway
from .eras import newest, output_of

PYTHON = KernelSpec(runtime="python")
LUA = KernelSpec(runtime="lua")


# --- the version ---------------------------------------------------------------------------------


async def test_client_picks_the_era_of_the_server(client: Client, era: Era) -> None:
    assert client.era == era
    assert await list_kernels(client, status=None) == []


async def test_gateway_of_two_eras_is_spoken_to_in_the_newer_one() -> None:
    options = GatewayOptions(eras=ERAS)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        assert client.era == SESSION_6
        assert client.hello.isolation == gateway.isolation


# --- who owns a kernel ---------------------------------------------------------------------------


async def test_kernel_lives_as_long_as_its_block(gateway: Gateway, client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        assert gateway.tokens() == [kernel.token]
        assert kernel.created
        assert kernel.client is client
        assert kernel.statistics is None
        assert kernel.token in repr(kernel)
        assert gateway.config.secret_key not in repr(kernel)
        assert await output_of(kernel, "print('hello')") == "hello\n"
    assert gateway.tokens() == []
    assert kernel.statistics is not None
    # A Python interpreter has run in it.
    assert kernel.statistics.cpu_used > 0
    assert kernel.statistics.mem_max_bytes > 1_000_000


async def test_kernel_id_is_the_token_in_old_eras_and_a_uuid_in_new_ones(
    client: Client, era: Era
) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        if era.names_session:
            assert str(uuid.UUID(kernel.kernel_id)) == kernel.kernel_id
        else:
            assert kernel.kernel_id == kernel.token


@newest
async def test_block_that_fails_ends_the_kernel_and_raises_the_very_same_error(
    gateway: Gateway, client: Client
) -> None:
    error = ValueError("of the user")
    with pytest.raises(ValueError, match="of the user") as caught:
        async with open_kernel(client, PYTHON):
            raise error
    assert caught.value is error
    assert gateway.tokens() == []


async def test_kernel_lives_as_long_as_a_nursery(gateway: Gateway, client: Client) -> None:
    async with trio.open_nursery() as nursery:
        one: TrioKernel = await nursery.start(run_kernel, client, PYTHON)
        two: TrioKernel = await nursery.start(run_kernel, client, PYTHON)
        assert sorted(gateway.tokens()) == sorted([one.token, two.token])
        await output_of(one, "x = 1")
        assert await output_of(two, "print('x' in globals())") == "False\n"
        nursery.cancel_scope.cancel()
    assert gateway.tokens() == []
    assert one.statistics is not None


@newest
async def test_run_kernel_tells_why_it_could_not_start(client: Client) -> None:
    with pytest.RaisesGroup(NotFound):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await nursery.start(run_kernel, client, KernelSpec(runtime="nonesuch"))


async def test_destroy_may_be_repeated(gateway: Gateway, client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        again = await attach_kernel(client, PYTHON, token=kernel.token)
        statistics = await kernel.destroy()
        assert statistics is not None
        assert gateway.tokens() == []
        assert await kernel.destroy() is statistics
        # Another handle of the same kernel knows nothing of the first one.
        assert await again.destroy() is None
    assert kernel.statistics is statistics


async def test_token_is_free_again_after_destroy(client: Client) -> None:
    for _ in range(2):
        async with open_kernel(client, PYTHON, token="reused") as kernel:
            assert kernel.created
            await output_of(kernel, "assert 'x' not in globals(); x = 1")


@newest
async def test_many_kernels_at_once_are_apart(gateway: Gateway, client: Client) -> None:
    async def one(number: int) -> None:
        async with open_kernel(client, PYTHON) as kernel:
            await output_of(kernel, f"open('mine', 'w').write('{number}'); x = {number}")
            text = await output_of(kernel, "import os; print(x, open('mine').read(), os.listdir())")
            assert text == f"{number} {number} ['mine']\n"

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(one, number)
    assert gateway.tokens() == []


# --- joining -------------------------------------------------------------------------------------


async def test_attached_kernel_is_joined_and_stays(gateway: Gateway, client: Client) -> None:
    first = await attach_kernel(client, PYTHON, token="lab1")
    await output_of(first, "x = 42")
    # Another client, as that of a command which comes later.
    async with open_client(gateway.config) as other:
        second = await attach_kernel(other, PYTHON, token="lab1")
        assert await output_of(second, "print(x)") == "42\n"
    # The client that joined has gone, and so may the one that made it.
    async with open_client(gateway.config) as third:
        assert (
            await output_of(await attach_kernel(third, PYTHON, token="lab1"), "print(x)") == "42\n"
        )
    assert (first.created, second.created) == (True, False)
    assert first.kernel_id == second.kernel_id
    assert gateway.tokens() == ["lab1"]
    await first.destroy()
    assert gateway.tokens() == []


@newest
async def test_aliases_of_one_runtime_join_each_other(client: Client) -> None:
    await attach_kernel(client, PYTHON, token="lab1")
    again = await attach_kernel(client, KernelSpec(runtime="python3"), token="lab1")
    assert not again.created


async def test_attach_with_another_runtime_is_refused(
    gateway: Gateway, client: Client, era: Era
) -> None:
    kernel = await attach_kernel(client, PYTHON, token="lab1")
    await output_of(kernel, "x = 1")
    with pytest.raises(InvalidRequest) as caught:
        await attach_kernel(client, LUA, token="lab1")
    assert caught.value.status == 400
    noun = "session" if era.names_session else "kernel"
    assert caught.value.kind == f"{noun}-already-exists"
    assert "python" in str(caught.value)
    assert gateway.tokens() == ["lab1"]
    assert await output_of(kernel, "print(x)") == "1\n"


@newest
async def test_two_attaches_at_once_make_one_kernel(gateway: Gateway, client: Client) -> None:
    kernels: list[TrioKernel] = []

    async def attach() -> None:
        kernels.append(await attach_kernel(client, PYTHON, token="lab1"))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(attach)
    assert sorted(kernel.created for kernel in kernels) == [False] * 4 + [True]
    assert gateway.tokens() == ["lab1"]


async def test_open_kernel_does_not_take_over_an_existing_one(
    gateway: Gateway, client: Client
) -> None:
    """Seed servers join whatever has the token: the end of the block must not destroy it."""
    kernel = await attach_kernel(client, PYTHON, token="lab1")
    await output_of(kernel, "x = 1")
    with pytest.raises(BackendError):
        async with open_kernel(client, PYTHON, token="lab1"):
            pass
    assert gateway.tokens() == ["lab1"]
    assert await output_of(kernel, "print(x)") == "1\n"


async def test_short_and_long_tokens(gateway: Gateway, client: Client) -> None:
    for token in ("a", "7", "_", "ab", "a.b-c_d", "z" * 64):
        kernel = await attach_kernel(client, PYTHON, token=token)
        assert gateway.tokens() == [token]
        assert (await kernel.info()).runtime == "python"
        await kernel.destroy()
        assert gateway.tokens() == []


@newest
@pytest.mark.parametrize("token", ["", "a/b", "..", "-a", "a b", "z" * 65, "ä", "a\n"])
async def test_other_tokens_are_refused_before_anything_is_sent(
    gateway: Gateway, client: Client, token: str
) -> None:
    with pytest.raises(LocalProtocolError, match="client token"):
        await attach_kernel(client, PYTHON, token=token)
    # Nothing was sent, so there is nothing to be patient for (`open_kernel` would try for 3 s).
    with trio.fail_after(2), pytest.raises(LocalProtocolError, match="client token"):
        async with open_kernel(client, PYTHON, token=token or "/"):
            pass
    assert gateway.tokens() == []


# --- refusals ------------------------------------------------------------------------------------


async def test_unknown_runtime_names_the_installed_ones_and_leaves_no_kernel(
    gateway: Gateway, client: Client
) -> None:
    with pytest.raises(NotFound) as caught:
        async with open_kernel(client, KernelSpec(runtime="cobol")):
            pytest.fail("there is no such runtime")
    assert caught.value.kind == "image-not-found"
    assert "'cobol'" in str(caught.value)
    assert "installed here: python, lua" in str(caught.value)
    with pytest.raises(NotFound, match="installed here: python"):
        await attach_kernel(client, KernelSpec(runtime="python:2.7"), token="lab1")
    assert gateway.tokens() == []


@newest
async def test_refused_create_does_not_wait_before_it_tells(client: Client) -> None:
    """Only a create whose answer was not seen needs a patient destroy."""
    with trio.fail_after(2), pytest.raises(NotFound):
        async with open_kernel(client, KernelSpec(runtime="cobol")):
            pass


async def test_unknown_folder_to_mount(gateway: Gateway, client: Client) -> None:
    with pytest.raises(NotFound, match="nothere"):
        async with open_kernel(client, KernelSpec(runtime="python", mounts=("nothere",))):
            pass
    assert gateway.tokens() == []


async def test_calls_to_a_kernel_that_is_gone(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        await kernel.destroy()
        for call in (kernel.info, kernel.logs, kernel.restart, kernel.interrupt):
            with pytest.raises(NotFound, match=kernel.address):
                await call()
        with pytest.raises(NotFound, match=kernel.address):
            await kernel.complete("x")


async def test_problem_kinds_are_those_of_the_era(client: Client, era: Era) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        await kernel.destroy()
        with pytest.raises(NotFound) as caught:
            await kernel.info()
    assert caught.value.kind == ("session" if era.names_session else "kernel") + "-not-found"


@pytest.fixture
async def two_owners(
    era: Era, tmp_path: Path, gateway_parent: Path
) -> AsyncIterator[tuple[Gateway, Config]]:
    """A gateway that knows two key pairs, and the settings of the other one."""
    pair = KeyPair.generate()
    store = SqliteStore(tmp_path / "data")
    store.keypair(pair.access_key, pair.secret_key)
    store.close()
    mine = KeyPair.generate()
    options = GatewayOptions(
        eras=(era,),
        data=tmp_path / "data",
        access_key=mine.access_key,
        secret_key=mine.secret_key,
    )
    async with open_gateway(options) as opened:
        assert opened.config.access_key == mine.access_key
        yield (
            opened,
            replace(opened.config, access_key=pair.access_key, secret_key=pair.secret_key),
        )


async def test_kernels_of_other_access_keys_are_invisible(
    two_owners: tuple[Gateway, Config],
) -> None:
    gateway, others = two_owners
    async with open_client(gateway.config) as client, open_client(others) as stranger:
        async with open_kernel(client, PYTHON, token="mine") as kernel:
            await output_of(kernel, "x = 1")
            assert await list_kernels(stranger, status=None) == []
            for name in ("mine", kernel.kernel_id):
                with pytest.raises(NotFound):
                    await TrioKernel(stranger, _reply(name)).info()
                await TrioKernel(stranger, _reply(name)).destroy()
            assert gateway.tokens() == ["mine"]
            # The same token is another kernel.
            async with open_kernel(stranger, PYTHON, token="mine") as other:
                assert other.created
                assert await output_of(other, "print('x' in globals())") == "False\n"
                assert gateway.tokens() == ["mine", "mine"]
            assert gateway.tokens() == ["mine"]
            assert await output_of(kernel, "print(x)") == "1\n"
        assert [row.token for row in await list_kernels(stranger, status=None)] == ["mine"]


def _reply(name: str) -> CreateReply:
    return CreateReply(name, name, created=False)


# --- names that read as ids ----------------------------------------------------------------------


def test_fresh_tokens_do_not_read_as_uuids() -> None:
    tokens = [new_token() for _ in range(200)]
    assert len(set(tokens)) == len(tokens)
    for token in tokens:
        assert 4 <= len(token) <= 64
        with pytest.raises(ValueError, match="UUID"):
            uuid.UUID(token)


@newest
async def test_a_token_that_reads_as_a_uuid_creates_nothing_on_newest_managers(
    gateway: Gateway,
) -> None:
    async with open_client(gateway.config) as client:
        client.hello = Hello("v9.20250722", "26.9.6")
        for refused in (uuid.uuid4().hex, str(uuid.uuid4())):
            with pytest.raises(LocalProtocolError, match="reads as a UUID"):
                await attach_kernel(client, PYTHON, token=refused)
            with pytest.raises(LocalProtocolError, match="reads as a UUID"):
                async with open_kernel(client, PYTHON, token=refused):
                    pytest.fail("the kernel was created")
        assert await list_kernels(client) == []
        async with open_kernel(client, PYTHON) as kernel:
            with pytest.raises(LocalProtocolError, match="reads as a UUID"):
                await kernel.rename(uuid.uuid4().hex)
