"""The pytest plugin: fixtures for programs that use Backend.AI.

pytest loads it by its entry point at each start, so it imports nothing that takes time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .gateway_thread import FaultyGateway, TestGateway

__all__ = ["backendai_faulty_gateway", "backendai_gateway"]


@pytest.fixture
def backendai_gateway() -> Iterator[TestGateway]:
    """A new gateway, with real kernels as local processes, until the test ends."""
    _skip_elsewhere()
    from .gateway_thread import gateway_in_thread

    with gateway_in_thread() as gateway:
        yield gateway


@pytest.fixture
def backendai_faulty_gateway() -> Iterator[FaultyGateway]:
    """A new gateway behind a network that does wrong to order, until the test ends."""
    _skip_elsewhere()
    from .gateway_thread import faulty_gateway_in_thread

    with faulty_gateway_in_thread() as gateway:
        yield gateway


def _skip_elsewhere() -> None:
    """Skip the test where there is no gateway: a program's tests may run on other systems, too."""
    if sys.platform != "linux":
        pytest.skip("the embedded gateway needs Linux")
