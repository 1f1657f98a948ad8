"""Fixtures of the tests of the API: a client of each era."""

from __future__ import annotations

import pytest

from backendai_trio.gateway import Gateway

from .raw_client import Raw


@pytest.fixture
def seed(gateway: Gateway) -> Raw:
    """As client 1.1.1 speaks."""
    return Raw(gateway, "v2.20170315")


@pytest.fixture
def session(gateway: Gateway) -> Raw:
    """As clients from 20.09 on speak."""
    return Raw(gateway, "v6.20200815")
