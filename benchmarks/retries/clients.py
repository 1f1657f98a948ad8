"""Clients of the simulation: what they do, and how they repeat what fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import trio

from backendai_trio.errors import ApiError, BackendError, api_error
from backendai_trio.transport.event_source import FOLLOWED, EventSource
from backendai_trio.transport.rate_limit import RateLimitPauses
from backendai_trio.transport.retry import CHANCE, RATE_LIMITED, REPEATED, RetryPolicy, with_retries
from backendai_trio.wire.events import CONTENT_TYPE
from backendai_trio.wire.http import Request

from .manager import Ask, Manager

__all__ = ["NAIVE", "OURS", "Behaviour", "Clients", "Operation"]

FOLLOWING = 0.3
"""Share of clients that follow events over a connection that stays open."""
CHANGING = 0.25
"""Share of the others' requests that must not be repeated, such as those that begin a run."""


@dataclass(frozen=True)
class Behaviour:
    """How clients repeat what fails.

    Args:
        name: for tables and plots.
        policy: for requests.
        events: for connections that events are followed over.
        rate_limit: for requests beyond the rate limit, if it is `careful`.
        careful: whether it is this library: it repeats only what may be repeated, and waits
            out rate limits. Naive clients repeat everything, whatever the failure.
    """

    name: str
    policy: RetryPolicy
    events: RetryPolicy
    rate_limit: RetryPolicy = RATE_LIMITED
    careful: bool = False


def _naive(name: str, policy: RetryPolicy) -> Behaviour:
    return Behaviour(name, policy, policy)


OURS = Behaviour("ours", REPEATED, FOLLOWED, careful=True)
NAIVE = (
    _naive("no retry", RetryPolicy(0.0, 0.0, jitter=0.0, retries=0)),
    _naive("at once, 10 times", RetryPolicy(0.0, 0.0, jitter=0.0, retries=10)),
    _naive("each second for 60 s", RetryPolicy(1.0, 1.0, jitter=0.0, seconds=60.0)),
    _naive("doubling from 1 s for 60 s", RetryPolicy(1.0, 60.0, jitter=0.0, seconds=60.0)),
)


@dataclass(eq=False)
class Operation:
    """What a user has asked for; it takes one request or more. Times are since the beginning."""

    number: int
    begin: float
    repeatable: bool
    end: float | None = None
    """None if it had no result when the simulation ended."""
    failed: bool = False


@dataclass
class Clients:
    """The clients of one simulation. `run` is one of them."""

    manager: Manager
    behaviour: Behaviour
    seed: int
    operations: list[Operation] = field(default_factory=list)
    requests: int = 0
    _start: float = field(default_factory=trio.current_time)

    async def run(self, number: int) -> None:
        """A client, for ever: it follows events, or asks and thinks in turns.

        Args:
            number: from 0.
        """
        random = Random(f"{self.seed} {number}")
        CHANCE.set(random.uniform)
        scenario = self.manager.scenario
        act = self._follow if random.random() < FOLLOWING else self._ask
        await trio.sleep(random.uniform(0, scenario.think_seconds))
        while True:
            await act(number, random)
            think_seconds = scenario.think_seconds_at(trio.current_time() - self._start)
            await trio.sleep(random.expovariate(1 / think_seconds))

    async def _ask(self, number: int, random: Random) -> None:
        with self._operation(random.random() >= CHANGING) as operation:
            attempt = partial(self._send, number, random, operation)
            if self.behaviour.careful and not operation.repeatable:
                await attempt()
            else:
                await with_retries(attempt, policy=self.behaviour.policy)

    async def _follow(self, number: int, random: Random) -> None:
        """Follow events until their connection is lost for good."""

        @asynccontextmanager
        async def request(*_: object, **__: object) -> AsyncIterator[SimpleNamespace]:
            ask = await self._send(number, random, operation, streams=True)

            async def receive_some() -> bytes:
                await self.manager.wait_broken(ask)
                return b""

            yield SimpleNamespace(content_type=CONTENT_TYPE, receive_some=receive_some)

        client: Any = SimpleNamespace(request=request)
        source = EventSource(client, Request("GET", "/events"), policy=self.behaviour.events)
        async with aclosing(source):
            connect = partial(with_retries, source.connect, policy=self.behaviour.events)
            with self._operation(repeatable=True) as operation:
                await (source.connect() if self.behaviour.careful else connect())
            while not operation.failed:
                await source.next_message()
                with self._operation(repeatable=True) as operation:
                    await (source.reconnect() if self.behaviour.careful else connect())

    async def _send(
        self, number: int, random: Random, operation: Operation, *, streams: bool = False
    ) -> Ask:
        """Send a request as `Client.call` does."""

        async def attempt() -> Ask:
            ask = Ask(number, operation.number, random.random(), operation.repeatable, streams)
            self.requests += 1
            try:
                await self.manager.send(ask)
            except ApiError as exc:
                if self.behaviour.careful:
                    raise
                raise api_error(exc.status) from None  # it looks at nothing else
            return ask

        if not self.behaviour.careful:
            return await attempt()
        policy = self.behaviour.rate_limit
        pauses = RateLimitPauses("the manager", policy.seconds, policy=policy)
        return await pauses.wait_out(attempt)

    @contextmanager
    def _operation(self, repeatable: bool) -> Iterator[Operation]:
        now = trio.current_time() - self._start
        operation = Operation(len(self.operations), now, repeatable)
        self.operations.append(operation)
        try:
            yield operation
        except BackendError:
            operation.failed = True
        operation.end = trio.current_time() - self._start
