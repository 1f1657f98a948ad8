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
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import NamedTuple

import pytest
import trio

from .config.settings import Config
from .gateway.faults import Faults
from .gateway.server import Gateway, open_gateway
from .gateway.settings import GatewayOptions

__all__ = ["TestGateway", "backendai_gateway", "gateway_in_thread"]


class _Running(NamedTuple):
    """What the gateway's thread tells about itself once it is up."""

    gateway: Gateway
    token: trio.lowlevel.TrioToken
    stop: trio.Event


class TestGateway:
    """A gateway that runs in a thread of its own. Made by `gateway_in_thread`.

    Attributes:
        config: settings for a client of it, for ``open_client(gateway.config)``.
        faults: what it does wrong on purpose; may be changed at any time.
    """

    __test__ = False  # pytest takes classes of such a name for tests

    def __init__(self, running: _Running) -> None:
        self.config: Config = running.gateway.config
        self.faults: Faults = running.gateway.faults
        self._running = running

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
        """The tokens of the kernels that run now, newest first. Waits for no I/O: fit for any loop.

        Raises:
            trio.RunFinishedError: the gateway has ended.
        """
        # Not anyio's portal, nor `trio.from_thread`: both refuse a caller that runs in Trio itself.
        answer: Future[list[str]] = Future()

        def ask() -> None:
            answer.set_result(self._running.gateway.tokens())

        self._running.token.run_sync_soon(ask)
        return answer.result()


@contextmanager
def gateway_in_thread(options: GatewayOptions | None = None) -> Iterator[TestGateway]:
    """A gateway that ends with the block, with its kernels; for fixtures of another scope or kind.

    Args:
        options: how it is set up.

    Raises:
        GatewayError: see `open_gateway`.
    """
    opened: Future[_Running] = Future()
    closed: Future[None] = Future()
    thread = Thread(
        target=trio.run,
        args=(_serve, options, opened, closed),
        name="backendai-gateway",
        daemon=True,  # a test run that is killed must not wait; kernels notice it by themselves
    )
    thread.start()
    running = opened.result()
    try:
        yield TestGateway(running)
    finally:
        try:
            running.token.run_sync_soon(running.stop.set)
        except trio.RunFinishedError:
            pass  # it has failed; `closed` says how
        thread.join()
    closed.result()


async def _serve(
    options: GatewayOptions | None, opened: Future[_Running], closed: Future[None]
) -> None:
    """Hold a gateway open until told to stop; no error leaves this thread but by the futures."""
    try:
        async with open_gateway(options) as gateway:
            stop = trio.Event()
            opened.set_result(_Running(gateway, trio.lowlevel.current_trio_token(), stop))
            await stop.wait()
    except BaseException as exc:  # noqa: ASYNC103 (the block's thread raises it)
        (closed if opened.done() else opened).set_exception(exc)
    else:
        closed.set_result(None)


@pytest.fixture
def backendai_gateway() -> Iterator[TestGateway]:
    """A fresh gateway: real kernels, as local processes, until the test ends."""
    if sys.platform != "linux":
        pytest.skip("the embedded gateway needs Linux")
    with gateway_in_thread() as gateway:
        yield gateway
