"""Gateways of each era, and the output of code in their kernels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backendai_trio import (
    Finished,
    GatewayOptions,
    Stderr,
    Stdout,
    TrioKernel,
    open_gateway,
)
from backendai_trio.gateway import Gateway
from backendai_trio.wire.versions import ERAS, SESSION_6, Era

__all__ = ["era", "gateway", "newest", "output_of"]

# For what does not depend on the era.
newest = pytest.mark.parametrize("era", [SESSION_6], ids=lambda era: era.name)


@pytest.fixture(params=ERAS, ids=lambda era: era.name)
def era(request: pytest.FixtureRequest) -> Era:
    """One generation of servers after the other."""
    chosen: Era = request.param
    return chosen


@pytest.fixture
async def gateway(era: Era, gateway_parent: Path) -> AsyncIterator[Gateway]:
    """A gateway that speaks this era's API and no other."""
    async with open_gateway(GatewayOptions(eras=(era,))) as opened:
        yield opened


async def output_of(kernel: TrioKernel, code: str) -> str:
    """What `code` prints; it must not fail."""
    printed = ""
    async with kernel.execute(code) as execution:
        async for event in execution:
            match event:
                case Stdout(text):
                    printed += text
                case Stderr(text):
                    pytest.fail(text)
                case Finished(exit_code):
                    assert exit_code == 0
                    return printed
    raise AssertionError("the run ended without a Finished event")
