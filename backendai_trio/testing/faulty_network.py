"""What a network on loopback does wrong, and to which requests."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import trio

from ..config.settings import Config, Endpoint
from .network_faults import Fault

__all__ = ["FaultyNetwork", "NetworkState"]


@dataclass
class _Rule:
    """A fault that was injected, and which requests it is still for."""

    fault: Fault
    matching: re.Pattern[str]
    skip: int
    left: float


class NetworkState:
    """What the connections of a network share.

    Args:
        target: the server.

    Attributes:
        rules: the faults, in the order in which they were injected.
        requests: method and target of each request that came.
        hits: those of them that met a fault.
    """

    def __init__(self, target: Endpoint) -> None:
        self.rules: list[_Rule] = []
        self.requests: list[str] = []
        self.hits: list[str] = []
        self._target = target
        self._connections = 0
        self._vanished = 0.0  # connections up to this number
        self._passed = trio.Event()  # for the next answer that has passed

    def take_fault(self, line: str) -> Fault | None:
        """The fault that a request meets, if any.

        Args:
            line: its method and target.
        """
        self.requests.append(line)
        for rule in self.rules:
            if rule.left and rule.matching.search(line):
                if rule.skip:
                    rule.skip -= 1
                    continue
                rule.left -= 1
                self.hits.append(line)
                return rule.fault
        return None

    def number_connection(self) -> int:
        """Number a connection that was taken, from 1 on."""
        self._connections += 1
        return self._connections

    def vanish(self, *, reachable: bool) -> None:
        """As `Vanish` says."""
        self._vanished = self._connections if reachable else math.inf

    def come_back(self) -> None:
        """New connections reach the server."""
        self._vanished = min(self._vanished, self._connections)

    async def wait_unless_vanished(self, number: int) -> None:
        """Wait for good if the connection of this number carries nothing any more."""
        if number <= self._vanished:
            await trio.sleep_forever()

    async def connect(self) -> trio.SocketStream:
        """Connect to the server.

        Raises:
            OSError: it is not there.
        """
        return await trio.open_tcp_stream(self._target.host, self._target.port)

    def note_passed(self) -> None:
        """An answer has passed."""
        self._passed.set()
        self._passed = trio.Event()

    async def wait_passed(self) -> None:
        """Wait until an answer has passed."""
        await self._passed.wait()


class FaultyNetwork:
    """The way to a server, which does wrong to order. Made by `open_faulty_network`.

    Its methods may be called from any thread.

    Attributes:
        config: settings for a client whose requests take this way.
        requests: method and target of each request that came, e.g. ``GET /session?x=1``.
        hits: those of them that met a fault.
    """

    def __init__(self, config: Config, state: NetworkState) -> None:
        self.config = config
        self.requests = state.requests
        self.hits = state.hits
        self._state = state

    def inject(
        self, fault: Fault, *, times: int | None = 1, skip: int = 0, matching: str = ""
    ) -> None:
        """Do wrong to requests that come from now on.

        Of several faults for one request, the one that was injected first is used.

        Args:
            fault: what to do.
            times: to how many requests; None for all.
            skip: how many requests pass before them.
            matching: regular expression that is searched for in method and target, for example
                ``^POST .*/session``; requests without it are neither harmed nor counted.
        """
        left = math.inf if times is None else times
        self._state.rules.append(_Rule(fault, re.compile(matching), skip, left))

    def clear(self) -> None:
        """Do nothing wrong to requests that come from now on.

        Connections that have vanished stay so; new ones reach the server.
        """
        self._state.rules = []
        self._state.come_back()
