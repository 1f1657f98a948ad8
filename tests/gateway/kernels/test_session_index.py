"""Kernels are found by token and by id, however many there are."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest

from backendai_trio import (
    GatewayOptions,
    KernelSpec,
    attach_kernel,
    open_client,
    open_gateway,
)
from backendai_trio.gateway.kernels.registry import SessionRegistry
from backendai_trio.gateway.refusals import Refused
from backendai_trio.kernels import enqueue_kernel

PYTHON = KernelSpec(runtime="python")


def calls_of(action: Callable[[], object]) -> int:
    """How many functions an action calls."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


async def test_finding_a_kernel_by_its_id_costs_the_same_among_many() -> None:
    """Every request of our own clients names its kernel by id."""
    # They all wait: no process is started.
    options = GatewayOptions(max_sessions=0, release="23.09")
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        key = gateway.config.access_key
        registry = gateway._sessions
        found = []
        for count in (2, 50):
            for number in range(len(registry.queued()), count):
                kernel = await enqueue_kernel(client, PYTHON, token=f"kernel-{number}")
            assert len(registry.queued()) == count
            assert registry.find_any(key, kernel.kernel_id).token == kernel.token

            def find(kernel_id: str = kernel.kernel_id) -> object:
                return registry.find_any(key, kernel_id)

            found.append(calls_of(find))
        assert found[0] == found[1]


async def test_ids_of_kernels_from_create_to_end() -> None:
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        key = gateway.config.access_key
        registry = gateway._sessions
        kernel = await attach_kernel(client, PYTHON, token="first")
        session = registry.find(key, kernel.kernel_id)
        assert session is registry.find(key, "first")
        registry.rename(session, "renamed")
        assert registry.find(key, kernel.kernel_id) is registry.find(key, "renamed") is session
        for name in ("first", str(uuid.uuid4())):
            assert is_unknown(registry, key, name)
        assert is_unknown(registry, "AKIAOTHEROTHEROTHERX", kernel.kernel_id)
        await kernel.destroy()
        assert is_unknown(registry, key, kernel.kernel_id)


def is_unknown(registry: SessionRegistry, key: str, name: str) -> bool:
    """Whether no kernel of a key pair has a name."""
    with pytest.raises(Refused, match="No such kernel") as failure:
        registry.find(key, name)
    return failure.value.problem.status == 404


PATTERNS = """
import trio
from backendai_trio import GatewayOptions, KernelSpec, open_client, open_gateway
from backendai_trio.kernels import enqueue_kernel

async def main():
    options = GatewayOptions(max_sessions=0, release="22.03")
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        key = gateway.config.access_key
        for token in ("lab1", "lab1x", "other"):
            await enqueue_kernel(client, KernelSpec(runtime="python"), token=token)

        def tokens(name):
            return sorted(item.token for item in gateway._sessions.beginning_with(key, name))

        # No id, which is hexadecimal, holds an "l" or an "x".
        print(tokens("lab"), tokens("l_b1"), tokens("%x"), tokens("lab[0-9x]"), tokens("*"))
        for name in ("%" * 40 + "!", "%a" * 63 + "!", "%a" * 4000, "_%" * 60 + "!"):
            print(tokens(name))

trio.run(main)
"""


def test_names_as_patterns() -> None:
    """None takes long, whatever its wildcards."""
    done = subprocess.run(
        [sys.executable, "-c", PATTERNS], capture_output=True, text=True, check=True, timeout=60
    )
    first, *others = done.stdout.splitlines()
    assert first == "['lab1', 'lab1x'] ['lab1', 'lab1x'] ['lab1x'] [] []"
    assert others == ["[]"] * 4
