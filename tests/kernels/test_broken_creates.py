"""Creates that break half-way: what the client says of a kernel that may be left."""

from __future__ import annotations

import warnings

import pytest

from backendai_trio import (
    BackendError,
    KernelLeftBehindWarning,
    attach_kernel,
)

from .one_session import FAILED, FAILURES, PYTHON, Manager, client_of

NOTHING = b""
"""The connection ends."""


@pytest.mark.parametrize("answer", [NOTHING, FAILURES["gone away"]], ids=["broken", "failed"])
async def test_kernel_that_may_be_left_by_a_join_is_told(answer: bytes) -> None:
    """It may be somebody else's, so it is not destroyed."""
    manager = Manager(create_answer=answer)
    async with client_of(manager) as client:
        with (
            pytest.warns(KernelLeftBehindWarning, match=r"lists it as PENDING.*backend.ai rm abc"),
            pytest.raises(BackendError),
        ):
            await attach_kernel(client, PYTHON, token="abc")
    assert manager.asked("DELETE") == []


async def test_join_that_broke_half_way_is_told_even_if_nothing_is_seen_of_it() -> None:
    """It may come into being yet: managers go on with a create whose client has gone."""
    manager = Manager("TERMINATED", states=["TERMINATED"], create_answer=NOTHING)
    async with client_of(manager) as client:
        with (
            pytest.warns(KernelLeftBehindWarning, match="broke half-way"),
            pytest.raises(BackendError),
        ):
            await attach_kernel(client, PYTHON, token="abc")


async def test_join_that_has_failed_and_left_nothing_is_no_warning() -> None:
    manager = Manager("TERMINATED", states=["TERMINATED"], create_answer=FAILED)
    async with client_of(manager) as client:
        with warnings.catch_warnings(), pytest.raises(BackendError):
            warnings.simplefilter("error")
            await attach_kernel(client, PYTHON, token="abc")
