"""One Trio thread a process, which the blocking and the asyncio face run the Trio library in.

It starts with the first call, and ends when it is the last thing that keeps the interpreter
running: it is an ordinary thread, which the interpreter joins at its exit, and it watches the
others. So threads that outlive the main one can still make calls, and what lives here has its
orderly end before the interpreter's. Calls are `_jobs.py`.

anyio's portal (`start_blocking_portal`) is no such thread: it comes from a pool that joins it
before anybody can tell it to end. Its calls outlive the object they work on, and an interrupted one
leaves its task behind. And starting a task waits for the other thread, with an asyncio loop
standing still meanwhile: 250-290 us a call, against 130 us here (Python 3.11, 2 cores).
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

import trio

from ..config.settings import Config
from ..errors import PortalError
from ..transport.client import Client
from .default_client import open_default_client

__all__ = ["Crew", "Portal", "Work", "running_portal"]

_MOST_IDLE = 8
"""How many tasks of a crew wait for work; the others end with theirs."""


class Work(Protocol):
    """What a crew does."""

    async def do(self, scope: trio.CancelScope) -> None:
        """Do it; nothing but `trio.Cancelled` comes out.

        Args:
            scope: cancels it, until `end`.
        """

    async def undo(self) -> None:
        """It was cancelled: take back what came of it all the same, if anything; never raises."""

    def end(self) -> None:
        """It is over, be it because the crew is."""


class Crew:
    """Tasks of a nursery that work one after another, each piece under a cancel scope.

    A task and a scope for each piece of work would be a fifth of a short call's time.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self._idle: list[tuple[trio.lowlevel.Task, list[Work]]] = []

    def start(self, work: Work) -> None:
        """Have it done, at once. It ends with the nursery."""
        if self._idle:
            task, hand = self._idle.pop()
            hand.append(work)
            trio.lowlevel.reschedule(task)
        else:
            self.nursery.start_soon(self._serve, work)

    async def _serve(self, work: Work | None) -> None:
        try:
            while work is not None:
                with trio.CancelScope() as scope:
                    while work is not None:
                        await work.do(scope)
                        if scope.cancel_called:
                            break
                        work.end()
                        work = None  # not to be kept while there is nothing to do
                        work = await self._next()
                if work is not None:
                    await work.undo()
                    work.end()
                    work = None
                    work = await self._next()
        finally:
            if work is not None:
                work.end()

    async def _next(self) -> Work | None:
        """The next work; None when there are enough who wait for it."""
        if len(self._idle) >= _MOST_IDLE:
            return None
        hand: list[Work] = []
        place = trio.lowlevel.current_task(), hand
        self._idle.append(place)

        def leave(_: object) -> trio.lowlevel.Abort:
            self._idle.remove(place)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)
        return hand[0]


class Portal:
    """The Trio thread, and the clients that live in it: one for each server that is used."""

    def __init__(self) -> None:
        self.crew: Crew | None = None
        """Who does the calls; None before the start and once the end has begun."""
        self.over = False
        self._token: trio.lowlevel.TrioToken
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backendai-trio")
        self._clients: dict[Config | None, Client] = {}
        self._opening: defaultdict[Config | None, trio.Lock] = defaultdict(trio.Lock)
        self._keepers: trio.Nursery

    def start(self) -> None:
        """Start the thread; for `running_portal`."""
        self._thread.start()
        self._ready.wait()

    def post(self, function: Callable[[], object]) -> None:
        """Run a function in the thread, in the order of the posts. Signal-safe; does not wait.

        Raises:
            trio.RunFinishedError: the thread has ended.
        """
        self._token.run_sync_soon(function)

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in the thread itself."""
        return threading.get_ident() == self._thread.ident

    async def client(self, config: Config | None) -> Client:
        """The client of a server, opened when it is first asked for.

        Args:
            config: its settings; None for a gateway in this thread, which ends with it.
        """
        async with self._opening[config]:
            if config not in self._clients:
                self._clients[config] = await self._keepers.start(self._keep, config)
        return self._clients[config]

    async def _keep(self, config: Config | None, *, task_status: trio.TaskStatus[Client]) -> None:
        async with open_default_client(config) as client:
            task_status.started(client)
            await trio.sleep_forever()

    def _run(self) -> None:
        try:
            trio.run(self._main)
        finally:
            self.over = True
            self._ready.set()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        # Calls end before the clients that they clean up with.
        async with trio.open_nursery() as self._keepers:
            try:
                async with trio.open_nursery() as calls:
                    self.crew = Crew(calls)
                    self._ready.set()
                    await trio.to_thread.run_sync(
                        _join_others, self._thread, abandon_on_cancel=True
                    )
                    calls.cancel_scope.cancel()
            finally:
                self.crew = None
            # From Python 3.12 on no thread starts once the interpreter is ending. One is at hand,
            # that which has just watched the others, and so everything goes through it.
            trio.to_thread.current_default_thread_limiter().total_tokens = 1
            self._keepers.cancel_scope.cancel()


def _join_others(portal_thread: threading.Thread) -> None:
    """Wait for the main thread, and for all others that the interpreter waits for at its exit."""
    threading.main_thread().join()
    while others := [
        thread
        for thread in threading.enumerate()
        if thread.is_alive() and not thread.daemon and thread is not portal_thread
    ]:
        others[0].join()


# --- the process's portal ------------------------------------------------------------------------

_lock = threading.Lock()
_portal: Portal | None = None
_forked = False


def running_portal() -> Portal:
    """The portal of this process, started if need be.

    Raises:
        PortalError: this process was forked from one that had it, or this is its own thread.
    """
    global _portal
    if _forked:
        raise PortalError(
            "this process was forked from one that had used Backend.AI, and the thread which that "
            "needs is not there any more; fork before the first use, or start worker processes "
            'with multiprocessing.get_context("spawn")'
        )
    portal = _portal
    if portal is None or portal.over:
        with _lock:
            portal = _portal
            if portal is None or portal.over:
                portal = Portal()
                portal.start()
                _portal = portal
    if portal.is_here:
        raise PortalError("a blocking call in the thread that would do its work; use the Trio API")
    return portal


def _after_fork() -> None:
    global _forked, _lock
    # The lock may have been held by a thread that is not there any more.
    _forked, _lock = _forked or _portal is not None or _lock.locked(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
