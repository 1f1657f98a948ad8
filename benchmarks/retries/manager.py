"""A model of a manager: how many requests it takes, and how it fails."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import outcome
import trio

from backendai_trio.errors import ApiError, BackendError, ConnectionFailed, api_error

__all__ = ["Ask", "Manager", "Scenario"]

_REFUSAL_COST = 0.1
"""What a refused request takes of the work of an answered one: it is parsed, and counted."""


@dataclass(frozen=True)
class Scenario:
    """What happens to a manager. Times are in seconds from the beginning."""

    name: str
    seconds: float
    """How long it is watched."""
    step: float = 0.02
    """What arrives within one step is taken in the order of the clients' numbers, so that a
    simulation comes out the same every time. A request takes one step at least."""
    clients: int = 10_000
    think_seconds: float = 20.0
    """Between an answer and the client's next request, on average."""
    busy: tuple[float, float] = (0.0, 0.0)
    """From when to when its clients think for `busy_think_seconds` only."""
    busy_think_seconds: float = 20.0
    capacity: float = 1_000.0
    """Requests that it answers in a second when it is warm."""
    queue: int = 1_000
    """Requests that may wait; it answers further ones with 503."""
    patience_seconds: float = 60.0
    """For the answer to a request. The work for one whose client has left is done all the same."""
    lost: float = 0.05
    """Share of connections that break: half of them before the manager has the request, and half
    after it has done what it asks."""
    restart_at: float | None = None
    down_seconds: float = 20.0
    """It refuses connections for so long."""
    cold: float = 0.25
    """Share of its capacity with which it comes back."""
    cold_seconds: float = 10.0
    """It stays like that for so long, and is warm after as long again."""
    limit: int | None = None
    """Requests that a key pair may send within `window_seconds`. Those refused count, too
    (docs/protocol.md, section 10)."""
    window_seconds: float = 900.0
    clients_of_key: int = 100
    """Clients that share a key pair."""
    retry_after: float = 0.0
    """What the answers 429 and 503 ask for, in seconds; managers themselves ask for nothing."""

    def with_clients(self, clients: int) -> Scenario:
        """The same with another number of clients, and a manager as large for each of them."""
        scale = clients / self.clients
        return replace(
            self, clients=clients, capacity=scale * self.capacity, queue=round(scale * self.queue)
        )

    @property
    def up_at(self) -> float:
        """When it is back from its restart."""
        return 0.0 if self.restart_at is None else self.restart_at + self.down_seconds

    @property
    def calm_at(self) -> float:
        """When what happens to it is over."""
        return max(self.up_at, self.busy[1])

    def think_seconds_at(self, now: float) -> float:
        """How long clients think, on average."""
        start, end = self.busy
        return self.busy_think_seconds if start <= now < end else self.think_seconds

    def capacity_at(self, now: float) -> float:
        """Requests that it answers in a second; 0 while it is down."""
        if self.restart_at is None or now < self.restart_at:
            return self.capacity
        warming = now - self.up_at
        if warming < 0:
            return 0.0
        share = self.cold + (1 - self.cold) * (warming / self.cold_seconds - 1)
        return self.capacity * min(1.0, max(self.cold, share))


@dataclass(eq=False)
class Ask:
    """One request on its way."""

    client: int
    operation: int
    """What the user has asked for: each of its requests has the same number."""
    luck: float
    """Between 0 and 1: whether the connection breaks."""
    repeatable: bool = True
    streams: bool = False
    """Whether the answer stays open, until the manager ends it."""
    arrived_at: float = 0.0
    gone: bool = False
    """Whether its client waits no more."""
    task: trio.lowlevel.Task | None = None

    def answer(self, error: BackendError | None = None) -> None:
        """Let its client go on."""
        self.gone = True
        if (task := self.task) is not None:
            self.task = None
            result = outcome.Value(None) if error is None else outcome.Error(error)
            trio.lowlevel.reschedule(task, result)


@dataclass
class Manager:
    """The manager of a scenario. `run` drives it; clients call `send`."""

    scenario: Scenario
    arrivals: Counter[int] = field(default_factory=Counter)
    """Requests of each second; those that find nobody included."""
    refused: int = 0
    """Requests that were answered with 429 or 503."""
    done: Counter[int] = field(default_factory=Counter)
    """How often each operation that must not be repeated was carried out."""
    _arriving: list[Ask] = field(default_factory=list)
    _waiting: deque[Ask] = field(default_factory=deque)
    _streams: dict[Ask, None] = field(default_factory=dict)
    _sent: dict[int, deque[float]] = field(default_factory=dict)
    _credit: float = 0.0
    _start: float = field(default_factory=trio.current_time)

    async def send(self, ask: Ask) -> None:
        """Send a request, and wait for its answer; for that of a stream, until it has begun.

        Raises:
            ConnectionFailed: the manager is down, the connection has broken, or the answer takes
                too long.
            ApiError: it answers 429 or 503.
        """
        ask.task = trio.lowlevel.current_task()
        self._arriving.append(ask)
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

    async def wait_broken(self, ask: Ask) -> None:
        """Wait until a stream breaks.

        Raises:
            ConnectionFailed: it has.
        """
        ask.task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

    async def run(self) -> None:
        """Work until the scenario's end."""
        step = self.scenario.step
        for number in range(1, round(self.scenario.seconds / step) + 1):
            await trio.sleep_until(self._start + number * step)
            self._step(number * step)

    def _step(self, now: float) -> None:
        arriving = sorted(self._arriving, key=lambda ask: ask.client)
        self._arriving.clear()
        self.arrivals[int(now)] += len(arriving)
        capacity = self.scenario.capacity_at(now)
        if not capacity:
            self._break_off(arriving)
            return
        self._credit = min(self._credit, 0.0) + capacity * self.scenario.step
        for ask in arriving:
            self._take(ask, now)
        while self._credit > 0 and self._waiting:
            ask = self._waiting.popleft()
            self._credit -= 1
            self._carry_out(ask)
        for ask in self._waiting:  # in the order of their arrival
            if now - ask.arrived_at < self.scenario.patience_seconds:
                break
            if not ask.gone:
                ask.answer(ConnectionFailed("no answer in time"))

    def _break_off(self, arriving: Sequence[Ask]) -> None:
        self._credit = 0.0
        broken = [*self._waiting, *self._streams, *arriving]
        self._waiting.clear()
        self._streams.clear()
        self._sent.clear()
        for ask in broken:
            ask.answer(ConnectionFailed("refused"))

    def _take(self, ask: Ask, now: float) -> None:
        scenario = self.scenario
        ask.arrived_at = now
        if ask.luck < scenario.lost / 2:
            ask.answer(ConnectionFailed("reset"))
        elif self._is_over_limit(ask.client, now):
            self._refuse(ask, api_error(429, kind="rate-limit-exceeded"))
        elif len(self._waiting) >= scenario.queue:
            self._refuse(ask, api_error(503))
        else:
            self._waiting.append(ask)

    def _refuse(self, ask: Ask, error: ApiError) -> None:
        self.refused += 1
        self._credit -= _REFUSAL_COST
        error.retry_after = self.scenario.retry_after
        ask.answer(error)

    def _is_over_limit(self, client: int, now: float) -> bool:
        scenario = self.scenario
        if scenario.limit is None:
            return False
        sent = self._sent.setdefault(client // scenario.clients_of_key, deque())
        sent.append(now)
        while sent[0] <= now - scenario.window_seconds:
            sent.popleft()
        return len(sent) > scenario.limit

    def _carry_out(self, ask: Ask) -> None:
        if not ask.repeatable:
            self.done[ask.operation] += 1
        if ask.gone:
            return
        if ask.luck < self.scenario.lost:
            ask.answer(ConnectionFailed("reset"))
            return
        if ask.streams:
            self._streams[ask] = None
        ask.answer()
