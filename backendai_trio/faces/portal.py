"""One Trio thread a process, in which the blocking and the asyncio face run the Trio library.

The thread and its event loop are anyio's (`start_blocking_portal`). They start with the first call
and end at the interpreter's exit, after all threads that the interpreter waits for: such a thread
can still make calls when the main one has ended, and all that lives here has its orderly end before
the interpreter's. Calls are in `calls.py`. They do not go through `BlockingPortal.call`, which
takes twice as long (255 us against 134, Python 3.11, 2 cores) and cannot join what it cancels.
"""

from __future__ import annotations

import atexit
import contextvars
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import trio
from anyio.abc import TaskStatus
from anyio.from_thread import start_blocking_portal

from .._groups import one_error
from ..config.settings import Config
from ..errors import PortalError
from ..transport.client import Client
from .default_client import open_default_client

__all__ = ["Portal", "running_portal"]


class Portal:
    """The Trio thread, and the clients that live in it: one for each server that is used.

    Attributes:
        calls: nursery of the calls; None once they are cancelled, at the end.
    """

    def __init__(self) -> None:
        self.calls: trio.Nursery | None = None
        self._ending = threading.Event()
        self._token: trio.lowlevel.TrioToken
        self._thread_id: int
        self._context: contextvars.Context
        self._clients: dict[Config | None, Client] = {}
        self._opening: defaultdict[Config | None, trio.Lock] = defaultdict(trio.Lock)
        self._keepers: trio.Nursery
        self._thread = ExitStack()
        portal = self._thread.enter_context(start_blocking_portal("trio"))
        # In an empty context: what lives here belongs to no caller.
        self._main_task, _ = contextvars.Context().run(portal.start_task, self._main)

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Run a function in the thread, in the order of the posts. Signal-safe; does not wait.

        Raises:
            trio.RunFinishedError: the thread has ended.
        """
        self._token.run_sync_soon(function, *args)

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in the thread itself."""
        return threading.get_ident() == self._thread_id

    @property
    def has_ended(self) -> bool:
        """Whether it can do no more calls: it was closed, or a client has failed."""
        return self._main_task.done()

    def ended(self) -> PortalError:
        """The error of calls that have no thread to run in."""
        if self._main_task.done() and (cause := self._main_task.exception()) is not None:
            error = PortalError("the Trio thread has failed, and the call with it; call again")
            error.__cause__ = cause
            return error
        return PortalError("the interpreter is ending, and calls end with it")

    async def client(self, config: Config | None) -> Client:
        """The client of a server, opened when a call first needs it.

        Args:
            config: the server's settings; None for a gateway in this thread, which ends with it.
        """
        async with self._opening[config]:
            if config not in self._clients:
                with one_error():
                    async with trio.open_nursery() as nursery:
                        # In the portal's context: the client outlives the call, whose context
                        # variables are its caller's.
                        self._context.run(nursery.start_soon, self._open_client, config)
        return self._clients[config]

    async def _open_client(self, config: Config | None) -> None:
        self._clients[config] = await self._keepers.start(self._keep_client, config)

    async def _keep_client(
        self, config: Config | None, *, task_status: trio.TaskStatus[Client]
    ) -> None:
        async with open_default_client(config) as client:
            task_status.started(client)
            await trio.sleep_forever()

    async def _main(self, *, task_status: TaskStatus[None]) -> None:
        threading.current_thread().name = "backendai-trio"
        self._thread_id = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()
        self._context = contextvars.copy_context()
        # Calls end before the clients that they clean up with.
        async with trio.open_nursery() as self._keepers:
            async with trio.open_nursery() as calls:
                self.calls = calls
                task_status.started()
                try:
                    await trio.to_thread.run_sync(self._ending.wait, abandon_on_cancel=True)
                finally:
                    self.calls = None
                calls.cancel_scope.cancel()
            # In Python 3.12 no thread starts once the interpreter is ending. One is at hand, in
            # which `_ending` was waited for, and so everything goes through it.
            trio.to_thread.current_default_thread_limiter().total_tokens = 1
            self._keepers.cancel_scope.cancel()

    def close(self) -> None:
        """Cancel the calls, close the clients, and join the thread; may be repeated."""
        self._ending.set()
        self._thread.close()


# --- the process's portal ------------------------------------------------------------------------

_lock = threading.Lock()
_portal: Portal | None = None
_forked = False
_exiting = False


def running_portal() -> Portal:
    """The portal of this process, started if need be.

    Raises:
        PortalError: this process was forked from one that had it, the interpreter is ending, or
            this is the portal's own thread.
    """
    global _portal
    if _forked:
        raise PortalError(
            "this process was forked from one that had used Backend.AI, and the thread that does "
            "the calls exists only there; fork before the first use, or start worker processes "
            'with multiprocessing.get_context("spawn")'
        )
    portal = _portal
    if portal is None or portal.has_ended:
        with _lock:
            portal = _portal
            if _exiting:
                raise PortalError("the interpreter is ending; make calls before that")
            if portal is not None and portal.has_ended:
                portal.close()
                portal = None
            if portal is None:
                portal = _portal = Portal()
                _close_with_worker_process()
    if portal.is_here:
        raise PortalError(
            "a blocking call in the Trio thread that would have to do its work; use the Trio API"
        )
    return portal


def _close_at_exit() -> None:
    global _exiting
    _exiting = True
    threading.excepthook = partial(_report_unless_ended, threading.excepthook)
    if _portal is not None:
        _portal.close()


def _report_unless_ended(
    report: Callable[[threading.ExceptHookArgs], object], failed: threading.ExceptHookArgs
) -> None:
    """Report a thread's error, unless it is that of a daemon thread whose call has ended with us.

    The interpreter does not wait for such a thread. While the thread prints, the main thread can
    find the lock of standard error taken, and abort the process ("could not acquire lock ... at
    interpreter shutdown").

    Args:
        report: what reported errors of threads before the interpreter's end.
        failed: the thread and its error.
    """
    is_daemon = failed.thread is not None and failed.thread.daemon
    if not (is_daemon and failed.exc_value is not None and _is_ours(failed.exc_value)):
        report(failed)


def _is_ours(error: BaseException) -> bool:
    """Whether an error is a `PortalError`, or a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_ours, error.exceptions))
    return isinstance(error, PortalError)


def _close_with_worker_process() -> None:
    """Close the portal of a forked multiprocessing worker, which ends without atexit."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _close_at_exit, exitpriority=-1)


def _after_fork() -> None:
    global _forked, _lock
    # The lock may have been held by a thread that the child does not have.
    _forked, _lock = _forked or _portal is not None or _lock.locked(), threading.Lock()
    if _forked:  # it would wait for the thread, which only the parent has
        atexit.unregister(_close_at_exit)


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
