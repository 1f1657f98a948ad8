"""pytest fixtures for programs that use Backend.AI: a real gateway in place of a mock.

In a ``conftest.py``::

    pytest_plugins = ["backendai_trio.testing"]

and in a test, be it blocking, of asyncio or of Trio::

    def test_something(backendai_gateway, monkeypatch):
        for name, value in backendai_gateway.environ.items():
            monkeypatch.setenv(name, value)
        ...
        assert backendai_gateway.tokens() == []

The gateway needs Linux; elsewhere tests that ask for it are skipped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from .config import Config
from .gateway import Faults, Gateway, GatewayOptions, open_gateway

__all__ = ["TestGateway", "backendai_gateway", "gateway_in_thread"]


class TestGateway:
    """A gateway that runs in a thread of its own. Made by `gateway_in_thread`.

    Attributes:
        config: settings for a client of it, for ``open_client(gateway.config)``.
        faults: what it does wrong on purpose; may be changed at any time.
    """

    __test__ = False  # pytest takes classes of this name for tests

    def __init__(self, gateway: Gateway, portal: BlockingPortal) -> None:
        self.config: Config = gateway.config
        self.faults: Faults = gateway.faults
        self._gateway = gateway
        self._portal = portal

    def __repr__(self) -> str:
        return f"<TestGateway at {self.config.endpoint.url}>"

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that lead to it, for `monkeypatch.setenv` or a child process."""
        return {
            "BACKEND_ENDPOINT": self.config.endpoint.url,
            "BACKEND_ACCESS_KEY": self.config.access_key,
            "BACKEND_SECRET_KEY": self.config.secret_key,
        }

    def tokens(self) -> list[str]:
        """The tokens of the kernels that run now, newest first. Returns at once, in any loop."""
        return self._portal.call(self._gateway.tokens)


@contextmanager
def gateway_in_thread(options: GatewayOptions | None = None) -> Iterator[TestGateway]:
    """A gateway that ends with the block, with its kernels; for fixtures of another scope or kind.

    Args:
        options: how it is set up.

    Raises:
        GatewayError: see `open_gateway`.
    """
    with (
        start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(open_gateway(options)) as gateway,
    ):
        yield TestGateway(gateway, portal)


@pytest.fixture
def backendai_gateway() -> Iterator[TestGateway]:
    """A fresh gateway: real kernels, as local processes, until the test ends."""
    if sys.platform != "linux":
        pytest.skip("the embedded gateway needs Linux")
    with gateway_in_thread() as gateway:
        yield gateway
