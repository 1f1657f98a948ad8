"""Kernels occupy the resources that they ask for, and wait until there are enough."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio import (
    Client,
    GatewayError,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    QuotaExceeded,
    ServerError,
    attach_kernel,
    list_kernels,
    open_client,
    open_gateway,
    open_kernel,
    query,
)
from backendai_trio.admin import check_resources
from backendai_trio.gateway import Gateway
from backendai_trio.gateway.kernels.queue import QueuedSession, StartQueue
from backendai_trio.gateway.kernels.requests import RequestedKernel
from backendai_trio.gateway.kernels.room import Room
from backendai_trio.gateway.kernels.runtimes import resolve
from backendai_trio.gateway.resource_slots import (
    encode_amounts,
    format_amount,
    parse_amounts,
    subtract,
    sum_of,
)
from backendai_trio.kernels import KernelState, enqueue_kernel
from backendai_trio.wire.kernels import CreateRequest

LUA = KernelSpec(runtime="lua")
GIB = 1 << 30


def asking(cpu: str = "", mem: str = "") -> KernelSpec:
    amounts = {"cpu": cpu, "mem": mem}
    return replace(LUA, resources={slot: amount for slot, amount in amounts.items() if amount})


@asynccontextmanager
async def opened(release: str = "", **options: Any) -> AsyncIterator[tuple[Gateway, Client]]:
    """A gateway with two cores and 4 GiB."""
    options = {"resources": {"cpu": "2", "mem": "4g"}, "release": release} | options
    async with (
        open_gateway(GatewayOptions(**options)) as gateway,
        open_client(gateway.config) as client,
    ):
        yield gateway, client


def occupied(gateway: Gateway) -> dict[str, str]:
    return encode_amounts(gateway._sessions.occupied)


def state_of(gateway: Gateway, token: str) -> KernelState:
    item = gateway._sessions.find_any(gateway.config.access_key, token)
    assert isinstance(item, QueuedSession)
    return gateway._sessions.state_of(item)


async def runs(gateway: Gateway, token: str) -> None:
    """Wait until a kernel that has waited runs."""
    item = gateway._sessions.find_any(gateway.config.access_key, token)
    if isinstance(item, QueuedSession):
        await item.wait_settled()
    assert token in gateway.tokens()


async def rows_of(client: Client, fields: str) -> dict[str, dict[str, Any]]:
    page = f"compute_session_list(limit: 20, offset: 0) {{ items {{ name {fields} }} }}"
    answer = await query(client, f"query {{ {page} }}")
    return {row.pop("name"): row for row in answer["compute_session_list"]["items"]}


@pytest.mark.parametrize("release", ["", "20.09", "23.09", "26.9"])
async def test_kernel_waits_until_there_are_enough(release: str) -> None:
    async with opened(release) as (gateway, client):
        first = await attach_kernel(client, asking("1.5"), token="first")
        await enqueue_kernel(client, asking("1"), token="second")
        state = state_of(gateway, "second")
        assert state.status == "PENDING"
        if release != "26.9":  # from 26.0 on, only administrators are told
            assert state.reason == (
                "no-available-instances: not enough cpu: 1 asked for, 0.5 of 2 free"
            )
            assert state.details.passed == ("reserved_time", "dependencies", "concurrency")
        if release in ("", "26.9"):
            assert state.ahead == 0
        async with open_kernel(client, LUA):  # asks for nothing
            assert occupied(gateway) == {"cpu": "1.5", "mem": "0"}
        async with open_kernel(client, asking("", "1g")):  # not what the other waits for
            pass
        await first.destroy()
        await runs(gateway, "second")
        assert occupied(gateway) == {"cpu": "1", "mem": "0"}


@pytest.mark.parametrize("release", ["1.3", "18.12", "19.09"])
async def test_kernels_are_refused_before_20_03(release: str) -> None:
    async with opened(release) as (gateway, client):
        amounts = asking("2") if release == "19.09" else LUA
        async with open_kernel(client, amounts):
            if release == "19.09":
                match = r"Too few resources.* not enough cpu: 1 asked for, 0 of 2 free; destroy one"
                with pytest.raises(QuotaExceeded, match=match):
                    await attach_kernel(client, asking("1"), token="second")
            async with open_kernel(client, LUA):
                assert len(gateway.tokens()) == 2
        assert (gateway.tokens(), gateway.waiting_tokens()) == ([], [])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (asking("2.5"), "cpu: 2.5 asked for, 2 in all; ask for at most -r cpu=2, or start the"),
        (asking("1", "4097m"), "mem: 4097m asked for, 4g in all; ask for at most -r mem=4g, or"),
        (asking("", "9" * 39 + "e"), "asked for, 4g in all"),
    ],
)
@pytest.mark.parametrize("release", ["", "23.09"])
async def test_more_than_there_is_is_refused_at_once(
    spec: KernelSpec, said: str, release: str
) -> None:
    async with opened(release) as (gateway, client):
        with pytest.raises(QuotaExceeded, match=said):
            await enqueue_kernel(client, spec, token="large")
        assert (gateway.tokens(), gateway.waiting_tokens()) == ([], [])


@pytest.mark.parametrize("amount", ["9" * 41, "0." + "3" * 39, "1e1", "٣", "", "inf", "-1"])
async def test_what_is_no_amount_is_refused(amount: str) -> None:
    async with opened() as (gateway, client):
        spec = replace(LUA, resources={"cpu": amount})
        with pytest.raises(InvalidRequest, match="is no amount of cpu"):
            await enqueue_kernel(client, spec, token="odd")
        assert gateway.tokens() == []


async def test_amounts_are_exact() -> None:
    """Ten tenths are one; as binary fractions they are not."""
    async with opened(resources={"cpu": "1"}) as (gateway, client):
        for number in range(10):
            await enqueue_kernel(client, asking("0.1"), token=f"tenth{number}")
        assert gateway.waiting_tokens() == []
        assert occupied(gateway)["cpu"] == "1"
        await enqueue_kernel(client, asking("0." + "0" * 30 + "1"), token="bit")
        assert gateway.waiting_tokens() == ["bit"]


async def test_large_kernel_is_not_overtaken() -> None:
    """Small ones would come again and again; each waits only for what those before it need."""
    async with opened() as (gateway, client):
        small = await attach_kernel(client, asking("1"), token="small")
        await enqueue_kernel(client, asking("2"), token="large")
        await enqueue_kernel(client, asking("1"), token="behind")
        reason = "no-available-instances: kernels that are before it wait for cpu"
        assert (state_of(gateway, "behind").reason, state_of(gateway, "behind").ahead) == (
            reason,
            1,
        )
        await small.destroy()
        await runs(gateway, "large")
        assert gateway.waiting_tokens() == ["behind"]


async def test_destroy_of_a_kernel_that_waits_lets_those_behind_it_start() -> None:
    async with opened() as (gateway, client):
        await attach_kernel(client, asking("1"), token="small")
        large = await enqueue_kernel(client, asking("2"), token="large")
        await enqueue_kernel(client, asking("1"), token="behind")
        assert sorted(gateway.waiting_tokens()) == ["behind", "large"]
        await large.destroy()
        await runs(gateway, "behind")
        assert occupied(gateway)["cpu"] == "2"


async def test_kernel_that_is_ending_occupies_until_it_is_gone() -> None:
    """Its processes still run."""
    async with opened() as (gateway, client):
        await attach_kernel(client, asking("2"), token="ending")
        session = gateway._sessions.find(gateway.config.access_key, "ending")
        session.ended.set()
        assert occupied(gateway)["cpu"] == "2"
        assert not session.gone.is_set()
        await session.gone.wait()
        assert occupied(gateway)["cpu"] == "0"


async def test_what_fails_occupies_nothing() -> None:
    async with opened() as (gateway, client):
        gateway.faults.start_failure = "no space left"
        with pytest.raises(ServerError, match="no space left"):
            await attach_kernel(client, asking("2"), token="stillborn")
        gateway.faults.start_failure = ""
        assert occupied(gateway) == {"cpu": "0", "mem": "0"}
        await attach_kernel(client, asking("2", "4g"), token="failing")
        session = gateway._sessions.find(gateway.config.access_key, "failing")

        async def fail() -> None:
            await trio.lowlevel.checkpoint()
            raise ValueError("of this kernel")

        session.start_soon(fail)
        await session.gone.wait()
        assert occupied(gateway) == {"cpu": "0", "mem": "0"}

        async def hold(spec: KernelSpec) -> None:
            async with open_kernel(client, spec):
                await trio.sleep_forever()

        async with open_kernel(client, asking("2")), trio.open_nursery() as nursery:
            nursery.start_soon(hold, asking("1"))
            while not gateway.waiting_tokens():  # noqa: ASYNC110
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert (gateway.tokens(), gateway.waiting_tokens()) == ([], [])
        assert occupied(gateway) == {"cpu": "0", "mem": "0"}


async def test_lists_tell_the_amounts(tmp_path: Path) -> None:
    async with opened(data=tmp_path) as (gateway, client):
        sized = await attach_kernel(client, asking("1.5", "1g"), token="sized")
        await attach_kernel(client, LUA, token="plain")
        later = await enqueue_kernel(client, asking("1"), token="later")
        amounts = {"cpu": "1.5", "mem": str(GIB)}
        fields = "requested_slots occupied_slots occupying_slots containers { occupied_slots }"

        async def told() -> dict[str, list[Mapping[str, str]]]:
            rows = await rows_of(client, fields)
            return {
                name: [
                    json.loads(row["requested_slots"]),
                    json.loads(row["occupied_slots"]),
                    json.loads(row["occupying_slots"]),
                    json.loads(row["containers"][0]["occupied_slots"]),
                ]
                for name, row in rows.items()
            }

        expected: dict[str, list[Mapping[str, str]]] = {
            "sized": [amounts] * 4,
            "plain": [{}] * 4,
            "later": [{"cpu": "1"}, {}, {}, {}],
        }
        assert await told() == expected
        slots = {row.token: row.slots for row in await list_kernels(client, status=None)}
        assert slots["sized"] == amounts
        assert slots["later"] == {"cpu": "1"}  # what it asks for
        text = (
            "query { agent_list(limit: 9, offset: 0) { items { available_slots occupied_slots } } }"
        )
        (agent,) = (await query(client, text))["agent_list"]["items"]
        assert json.loads(agent["available_slots"]) == {"cpu": "2", "mem": str(4 * GIB)}
        assert json.loads(agent["occupied_slots"]) == amounts
        found = await check_resources(client)
        assert found.key_pair is not None and found.key_pair.using == amounts
        assert found.remaining == {"cpu": "0.5", "mem": str(3 * GIB)}
        await later.destroy()
        await sized.destroy()
        assert await told() == expected  # kept for accounting
    async with opened(data=tmp_path) as (gateway, client):
        assert (await told())["sized"] == [amounts] * 4
        assert occupied(gateway) == {"cpu": "0", "mem": "0"}


async def test_a_bare_number_of_memory_counts_mib_in_options() -> None:
    """As in `KernelSpec.resources`."""
    async with opened(resources={"mem": "512"}) as (gateway, client):
        assert gateway._sessions.resources["mem"] == 512 << 20
        assert gateway._sessions.resources["cpu"] >= 1
        async with open_kernel(client, asking("", "512")):
            assert occupied(gateway)["mem"] == str(512 << 20)


@pytest.mark.parametrize(
    ("resources", "said"),
    [({"gpu": "1"}, "no resource slot 'gpu'"), ({"cpu": "x"}, "'x' is no amount of cpu; give")],
)
async def test_malformed_totals(resources: dict[str, str], said: str) -> None:
    with pytest.raises(GatewayError, match=said):
        async with open_gateway(GatewayOptions(resources=resources)):
            pass


@pytest.mark.parametrize("seed", range(3))
async def test_random_life(seed: int) -> None:
    """Whatever happens, what is occupied is the sum of what lives, and all that fits runs."""
    random = Random(seed)
    async with opened(max_sessions=4) as (gateway, client):
        specs: dict[str, KernelSpec] = {}
        for number in range(25):
            token = f"k{number}"
            cpu, mem = random.choice(["", "0.3", "0.5", "1", "2"]), random.choice(["", "1g", "3g"])
            alive = [*gateway.tokens(), *gateway.waiting_tokens()]
            what = random.choice(["create", "create", "destroy", "fail"])
            if what == "create" or not alive:
                specs[token] = asking(cpu, mem)
                await enqueue_kernel(client, specs[token], token=token)
            elif what == "destroy":
                kernel = gateway._sessions.find_any(client.config.access_key, random.choice(alive))
                await gateway._sessions.destroy(kernel)
            else:
                gateway.faults.start_failure = "full"
                if not gateway.waiting_tokens():  # else another one might be the one that fails
                    try:
                        await enqueue_kernel(client, asking(cpu, mem), token=f"f{number}")
                    except ServerError:
                        pass
                    else:
                        specs[f"f{number}"] = asking(cpu, mem)
                gateway.faults.start_failure = ""
            await settle(gateway)
            check(gateway, specs)
        while alive := [*gateway.waiting_tokens(), *gateway.tokens()]:
            running = gateway.tokens()
            assert running, "nothing runs, and others wait"
            kernel = gateway._sessions.find(client.config.access_key, random.choice(running))
            await gateway._sessions.destroy(kernel)
            await settle(gateway)
            check(gateway, specs)
            assert len(alive) > len([*gateway.waiting_tokens(), *gateway.tokens()])
        assert occupied(gateway) == {"cpu": "0", "mem": "0"}


async def settle(gateway: Gateway) -> None:
    """Wait until no kernel is being started."""
    for item in gateway._sessions.queued():
        if item.status == "PREPARING":
            await item.settled.wait()


def check(gateway: Gateway, specs: Mapping[str, KernelSpec]) -> None:
    sums = sum_of(parse_amounts(specs[token].resources) for token in gateway.tokens())
    assert gateway._sessions.occupied == sums
    assert sums["cpu"] <= 2 and sums["mem"] <= 4 * GIB
    if len(gateway.tokens()) < 4:
        for item in gateway._sessions.queued():
            assert item.amounts, "it asks for nothing, and waits"


# --- without a gateway ---------------------------------------------------------------------------

TOTAL = {"cpu": Decimal(2), "mem": Decimal(4)}
AMOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.decimals("0.01", "2", places=2),
        "mem": st.integers(1, 4).map(Decimal),
    },
)


@given(
    st.lists(st.tuples(AMOUNTS, st.integers(0, 2)), min_size=1, max_size=12),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_all_that_fits_runs_in_the_end(
    asked: list[tuple[dict[str, Decimal], int]], max_sessions: int, random: Random
) -> None:
    runtime = resolve("lua")
    queue, running = StartQueue(), list[QueuedSession]()
    for number, (amounts, priority) in enumerate(asked):
        create = CreateRequest(f"k{number}", replace(LUA, priority=priority))
        queue.add(QueuedSession(RequestedKernel(create, "key", runtime, (), amounts)))
    order = list(queue)
    while len(queue) or running:
        taken = sum_of(item.amounts for item in running)
        free = subtract(TOTAL, taken)
        assert all(amount >= 0 for amount in free.values())
        room = Room(max_sessions - len(running), max_sessions, free, TOTAL)
        item = queue.next(room)
        if item is None:
            assert running, "nothing runs, and others wait"
            if room.sessions and len(queue):
                first = next(iter(queue))
                assert room.missing_for(first.amounts)
            running.remove(random.choice(running))
            continue
        # Those that it has passed need nothing of what it takes.
        before = [other for other in queue if order.index(other) < order.index(item)]
        assert all(other.amounts.keys().isdisjoint(item.amounts) for other in before)
        queue.remove(item)
        running.append(item)


@given(st.lists(st.decimals("0", "9999", places=9).map(lambda n: f"{n:f}"), max_size=30))
def test_sums_come_back_to_nothing(texts: list[str]) -> None:
    amounts = [parse_amounts({"cpu": text}) for text in texts]
    total = sum_of(amounts)
    for item in amounts:
        total = subtract(total, sum_of([item]))
    assert encode_amounts(total) == {"cpu": "0", "mem": "0"}
    assert parse_amounts(encode_amounts(sum_of(amounts))) == {
        slot: amount for slot, amount in sum_of(amounts).items() if amount
    }


@pytest.mark.parametrize(
    ("slot", "amount", "shown"),
    [
        ("cpu", "2.50", "2.5"), ("cpu", "100", "100"), ("cpu", "0", "0"), ("mem", "0", "0"),
        ("mem", str(4 * GIB), "4g"), ("mem", str(GIB + 1), "1g"), ("mem", str(7 << 20), "7m"),
        ("mem", str((7 << 20) + 9), "7m"), ("mem", "2048", "2k"), ("mem", "2049", "2049"),
    ],
)  # fmt: skip
def test_amounts_for_people(slot: str, amount: str, shown: str) -> None:
    assert format_amount(slot, Decimal(amount)) == shown
