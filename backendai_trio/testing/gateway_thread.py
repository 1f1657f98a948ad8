"""A gateway in a thread of its own, for tests that are blocking, or use asyncio or Trio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from threading import Thread
from typing import NamedTuple

import trio

from ..config.settings import Config
from ..gateway.faults import Faults
from ..gateway.server import Gateway, open_gateway
from ..gateway.settings import GatewayOptions
from .faulty_network import FaultyNetwork
from .opening import open_faulty_network

__all__ = ["FaultyGateway", "TestGateway", "faulty_gateway_in_thread", "gateway_in_thread"]


class _Running(NamedTuple):
    """The gateway in the thread, as soon as it is open."""

    gateway: Gateway
    network: FaultyNetwork | None
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
        return f"<{type(self).__name__} at {self.config.endpoint.url}>"

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


class FaultyGateway(TestGateway):
    """A gateway behind a network with faults. Made by `faulty_gateway_in_thread`.

    Attributes:
        config: settings for a client whose requests go through the network.
        direct_config: settings for a client whose requests do not.
        network: the network; tell it what to do wrong with `FaultyNetwork.inject`.
    """

    __test__ = False

    def __init__(self, running: _Running) -> None:
        super().__init__(running)
        assert running.network is not None
        self.network: FaultyNetwork = running.network
        self.direct_config: Config = self.config
        self.config = self.network.config


@contextmanager
def gateway_in_thread(options: GatewayOptions | None = None) -> Iterator[TestGateway]:
    """Run a gateway in a thread until the block ends; for fixtures of other scopes.

    Args:
        options: the gateway's options; default: `GatewayOptions()`.

    Raises:
        GatewayError: the gateway cannot be opened; see `open_gateway`.
    """
    with _running(options, with_network=False) as running:
        yield TestGateway(running)


@contextmanager
def faulty_gateway_in_thread(options: GatewayOptions | None = None) -> Iterator[FaultyGateway]:
    """Run a gateway behind a network with faults, as `gateway_in_thread` runs one without.

    Args:
        options: the gateway's options, without a certificate; default: `GatewayOptions()`.

    Raises:
        GatewayError: the gateway cannot be opened; see `open_gateway`.
        ValueError: it has a certificate.
    """
    with _running(options, with_network=True) as running:
        yield FaultyGateway(running)


@contextmanager
def _running(options: GatewayOptions | None, *, with_network: bool) -> Iterator[_Running]:
    opened: Future[_Running] = Future()
    closed: Future[None] = Future()
    thread = Thread(
        target=trio.run,
        args=(_serve, options, with_network, opened, closed),
        name="backendai-gateway",
        daemon=True,  # if the test run is killed, it must not wait; kernels end by themselves
    )
    thread.start()
    running = opened.result()
    try:
        yield running
    finally:
        try:
            running.token.run_sync_soon(running.stop.set)
        except trio.RunFinishedError:
            pass  # it has failed, and `closed` has the error
        thread.join()
    closed.result()


async def _serve(
    options: GatewayOptions | None,
    with_network: bool,
    opened: Future[_Running],
    closed: Future[None],
) -> None:
    """Run a gateway until `stop` is set; errors leave this thread through the futures only."""
    try:
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(open_gateway(options))
            network: FaultyNetwork | None = None
            if with_network:
                network = await stack.enter_async_context(open_faulty_network(gateway.config))
            stop = trio.Event()
            token = trio.lowlevel.current_trio_token()
            opened.set_result(_Running(gateway, network, token, stop))
            await stop.wait()
    except BaseException as exc:  # noqa: ASYNC103 (the block's thread raises it)
        (closed if opened.done() else opened).set_exception(exc)
    else:
        closed.set_result(None)
