"""Opening a gateway, its limits, and its end."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Finished,
    GatewayError,
    GatewayOptions,
    InputRequest,
    KernelSpec,
    QuotaExceeded,
    attach_kernel,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway import Gateway
from backendai_trio.gateway.settings import bind
from backendai_trio.wire.versions import TRANSITION

from ..local_kernels import files_below, work_folder


def test_connections_wait_until_a_busy_gateway_accepts_them() -> None:
    """It accepts one at a time, between everything else that it does."""
    options = GatewayOptions()
    with closing(bind(options)) as listener, ExitStack() as stack:
        for _ in range(500):
            connection = socket.create_connection(listener.getsockname(), timeout=5)
            stack.enter_context(closing(connection))


async def test_idle_kernel_ends() -> None:
    async with (
        open_gateway(GatewayOptions(idle_seconds=0.3)) as gateway,
        open_client(gateway.config) as client,
    ):
        await attach_kernel(client, KernelSpec(runtime="python"), token="idle")
        assert gateway.tokens() == ["idle"]
        with trio.fail_after(20):
            while gateway.tokens():  # noqa: ASYNC110 (nobody tells)
                await trio.sleep(0.02)


async def test_kernel_that_runs_code_is_not_idle() -> None:
    async with (
        open_gateway(GatewayOptions(idle_seconds=0.3)) as gateway,
        open_client(gateway.config) as client,
    ):
        kernel = await attach_kernel(client, KernelSpec(runtime="python"), token="busy")
        (session,) = gateway._sessions.running()
        async with kernel.execute("input()") as execution:
            assert await anext(execution) == InputRequest()
            # Twice, the idle time ends while the code runs, and begins anew.
            for _ in range(2):
                before = session.last_used
                while session.last_used == before:  # noqa: ASYNC110 (there is no event for it)
                    assert gateway.tokens() == ["busy"]
                    await trio.sleep(0.01)
            await execution.send_input("")
            assert [event async for event in execution] == [Finished(0)]
        assert gateway.tokens() == ["busy"]


async def test_no_more_kernels_than_allowed() -> None:
    """Before 20.03 there is no queue."""
    spec = KernelSpec(runtime="python")
    async with (
        open_gateway(GatewayOptions(max_sessions=2, eras=[TRANSITION])) as gateway,
        open_client(gateway.config) as client,
    ):
        one = await attach_kernel(client, spec, token="one")
        await attach_kernel(client, spec, token="two")
        with pytest.raises(QuotaExceeded, match="at most 2") as caught:
            async with open_kernel(client, spec):
                pass
        assert (caught.value.status, caught.value.kind) == (412, "quota-exceeded")
        assert sorted(gateway.tokens()) == ["one", "two"]
        await one.destroy()
        async with open_kernel(client, spec):
            assert len(gateway.tokens()) == 2


async def test_limit_holds_for_creates_at_once() -> None:
    refused = 0
    async with (
        open_gateway(GatewayOptions(max_sessions=3, eras=[TRANSITION])) as gateway,
        open_client(gateway.config) as client,
    ):

        async def attach(number: int) -> None:
            nonlocal refused
            try:
                await attach_kernel(client, KernelSpec(runtime="python"), token=f"t{number}")
            except QuotaExceeded:
                refused += 1

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(attach, number)
        assert len(gateway.tokens()) == 3
        assert refused == 7


async def test_one_kernel_however_many_want_the_token_of_one_that_ends(gateway: Gateway) -> None:
    spec = KernelSpec(runtime="python")
    found: set[str] = set()
    async with open_client(gateway.config) as client:
        old = await attach_kernel(client, spec, token="abc")

        async def attach() -> None:
            found.add((await attach_kernel(client, spec, token="abc")).kernel_id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(old.destroy)
            while not found - {old.kernel_id}:
                nursery.start_soon(attach)
                await trio.sleep(0.01)
        assert len(found - {old.kernel_id}) == 1
        assert gateway.tokens() == ["abc"]
        await (await attach_kernel(client, spec, token="abc")).destroy()
    assert gateway.tokens() == []


async def test_addresses_that_cannot_be_served(gateway: Gateway) -> None:
    taken = gateway.config.endpoint.port
    for options, message in (
        (GatewayOptions(host="0.0.0.0"), "certificate"),
        (GatewayOptions(host="::"), "certificate"),
        (GatewayOptions(host="localhost"), "not an IP address"),
        (GatewayOptions(port=taken), "cannot serve"),
        (GatewayOptions(port=70000), "cannot serve"),
        (GatewayOptions(host="203.0.113.1"), "certificate"),
    ):
        with pytest.raises(GatewayError, match=message):
            async with open_gateway(options):
                pass


async def test_everything_ends_with_the_gateway(gateway_parent: Path) -> None:
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        await attach_kernel(client, KernelSpec(runtime="python"), token="left")
        assert files_below(gateway_parent) == []
        (work_folder(gateway_parent) / "file").write_text("left")
        assert files_below(gateway_parent) != []
    assert not any(await trio.Path(gateway_parent).iterdir())


async def test_error_of_the_block_comes_out_as_it_is() -> None:
    error = ValueError("of the user")
    with pytest.raises(ValueError, match="of the user") as caught:
        async with open_gateway():
            raise error
    assert caught.value is error
