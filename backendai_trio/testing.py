"""pytest fixtures for programs that use Backend.AI: a real gateway instead of a mock.

In a ``conftest.py``::

    pytest_plugins = ["backendai_trio.testing"]

and in a test, which may be blocking or use asyncio or Trio::

    def test_something(backendai_gateway, monkeypatch):
        for name, value in backendai_gateway.environ.items():
            monkeypatch.setenv(name, value)
        ...
        assert backendai_gateway.tokens() == []

The gateway needs Linux; on other systems tests that use the fixture are skipped.
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
    """The gateway in the thread, as soon as it is open."""

    gateway: Gateway
    token: trio.lowlevel.TrioToken
    stop: trio.Event


class TestGateway:
    """A gateway that runs in a thread. Made by `gateway_in_thread`.

    Attributes:
        config: settings for a client of it, for ``open_client(gateway.config)``.
        faults: what the gateway does wrong on purpose; may be changed at any time.
    """

    __test__ = False  # pytest would collect a class of this name

    def __init__(self, running: _Running) -> None:
        self.config: Config = running.gateway.config
        self.faults: Faults = running.gateway.faults
        self._running = running

    def __repr__(self) -> str:
        return f"<TestGateway at {self.config.endpoint.url}>"

    @property
    def environ(self) -> Mapping[str, str]:
        """Environment variables for its clients: for `monkeypatch.setenv` or a child process."""
        return {
            "BACKEND_ENDPOINT": self.config.endpoint.url,
            "BACKEND_ACCESS_KEY": self.config.access_key,
            "BACKEND_SECRET_KEY": self.config.secret_key,
        }

    def tokens(self) -> list[str]:
        """The tokens of the running kernels, newest first.

        It does no I/O, so it may be called in any event loop.

        Raises:
            trio.RunFinishedError: the gateway has ended.
        """
        # Not anyio's portal or `trio.from_thread`: both refuse callers that run in Trio.
        answer: Future[list[str]] = Future()

        def set_answer() -> None:
            answer.set_result(self._running.gateway.tokens())

        self._running.token.run_sync_soon(set_answer)
        return answer.result()


@contextmanager
def gateway_in_thread(options: GatewayOptions | None = None) -> Iterator[TestGateway]:
    """Run a gateway in a thread until the block ends; for fixtures of other scopes.

    Args:
        options: the gateway's options; default: `GatewayOptions()`.

    Raises:
        GatewayError: the gateway cannot be opened; see `open_gateway`.
    """
    opened: Future[_Running] = Future()
    closed: Future[None] = Future()
    thread = Thread(
        target=trio.run,
        args=(_serve, options, opened, closed),
        name="backendai-gateway",
        daemon=True,  # if the test run is killed, it must not wait; kernels end by themselves
    )
    thread.start()
    running = opened.result()
    try:
        yield TestGateway(running)
    finally:
        try:
            running.token.run_sync_soon(running.stop.set)
        except trio.RunFinishedError:
            pass  # it has failed, and `closed` has the error
        thread.join()
    closed.result()


async def _serve(
    options: GatewayOptions | None, opened: Future[_Running], closed: Future[None]
) -> None:
    """Run a gateway until `stop` is set; errors leave this thread through the futures only."""
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
    """A new gateway, with real kernels as local processes, until the test ends."""
    if sys.platform != "linux":  # a test of somebody's program, who may run it elsewhere as well
        pytest.skip("the embedded gateway needs Linux")
    with gateway_in_thread() as gateway:
        yield gateway
