"""The terminal of a kernel: one shell after the other, for one client after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio

from ..limits import GatewayLimits
from ..processes.process_host import KernelHost
from .terminal import TerminalSession, run_terminal

__all__ = ["KernelTerminal"]


class KernelTerminal:
    """A kernel's terminal. The kernel's nursery owns its shells."""

    def __init__(
        self,
        host: KernelHost,
        environ: Mapping[str, str],
        nursery: trio.Nursery,
        limits: GatewayLimits,
        check_alive: Callable[[], None],
    ) -> None:
        """
        Args:
            host: the kernel's process host.
            environ: the environment of the kernel's programs.
            nursery: the shells' tasks live in it.
            limits: time limits and sizes.
            check_alive: raises `Refused` when the kernel has ended, and its nursery is closed.
        """
        self._host = host
        self._environ = environ
        self._nursery = nursery
        self._limits = limits
        self._check_alive = check_alive
        self._lock = trio.Lock()
        self._current: TerminalSession | None = None
        self._last: TerminalSession | None = None
        """The last one whose shell has ended, for a client that was away then."""

    @property
    def attached(self) -> bool:
        """Whether a client is attached."""
        return self._current is not None and self._current.attached

    async def open(
        self, term: str, *, client: str = "", position: int = 0
    ) -> TerminalSession | None:
        """The terminal. If no shell runs, one is started.

        A client that comes back gets the shell it had, also when that has ended meanwhile.

        Args:
            term: TERM of the shell, if one is started.
            client: a name that the client has made up; empty for none.
            position: how much output the client has.

        Returns:
            None if the client's shell has ended, and its output is gone.

        Raises:
            GatewayError: the shell could not be started.
            Refused: 404, the kernel has ended.
        """
        async with self._lock:
            self._check_alive()
            if client and position > 0:
                return self._of_client(client)
            if self._current is None:
                self._current = await self._nursery.start(
                    run_terminal,
                    self._host,
                    {**self._environ, "TERM": term},
                    self._limits,
                    self._ended,
                )
            return self._current

    def restart(self) -> None:
        """Kill the shell; a client that is attached gets a new one."""
        if self._current is not None:
            self._current.restart()

    def _of_client(self, client: str) -> TerminalSession | None:
        """The terminal that a client was attached to, unless nothing of it is left."""
        if (terminal := self._current) is not None and terminal.was_attached(client):
            return terminal
        if (ended := self._last) is not None and ended.was_attached(client):
            return ended if ended.output.start < ended.output.end else None
        return None

    def _ended(self) -> None:
        self._last, self._current = self._current, None
