"""What a client knows of the kernels that it uses, by any of their names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

import trio

from ..transport.client import Client
from .poll_run import open_poll_run

__all__ = ["KernelRecord", "KernelRecords", "record_of"]


class KernelRecord:
    """What a client knows of one kernel. All its `TrioKernel`s and runs share it.

    It is forgotten when none of these is left, and no run is left in the kernel.

    Attributes:
        kernel_id: the kernel's id; empty while only its token is known.
        turn: the right to run code in the kernel.
        read_ahead: reads the run that has the turn to its end, and keeps the events for the run's
            own reader; None while there is nothing to read.
        changed: where tasks wait for another `read_ahead`.
        is_ready: whether the kernel is known to run code, where its create does not say so (1.x).
    """

    def __init__(self, records: KernelRecords) -> None:
        self.kernel_id = ""
        self.turn = trio.Semaphore(1, max_value=1)
        self.read_ahead: Callable[[], Awaitable[None]] | None = None
        self.changed = trio.lowlevel.ParkingLot()
        self.is_ready = False
        self._records = records
        self._waiting_run: str | None = None
        self._starting: open_poll_run | None = None

    @property
    def waiting_run(self) -> str | None:
        """The id of the run that waits for an answer while nobody reads its output."""
        return self._waiting_run

    @waiting_run.setter
    def waiting_run(self, run_id: str | None) -> None:
        self._waiting_run = run_id
        self._keep()

    @property
    def starting(self) -> open_poll_run | None:
        """The run that shows when the kernel has come up; its reader may have been cancelled."""
        return self._starting

    @starting.setter
    def starting(self, run: open_poll_run | None) -> None:
        self._starting = run
        self._keep()

    def set_read_ahead(self, read_ahead: Callable[[], Awaitable[None]] | None) -> None:
        """Set `read_ahead`, and wake the tasks that wait for that.

        Args:
            read_ahead: of the run that has the turn; None when it gives the turn back.
        """
        self.read_ahead = read_ahead
        self.changed.unpark_all()

    def reset(self) -> None:
        """The kernel was restarted or destroyed: no run is left in it, and it has to come up."""
        self.is_ready = False
        self.waiting_run = None
        if (run := self.starting) is not None:
            self.starting = None
            run.close()

    def _keep(self) -> None:
        """Keep the record as long as a run is left in the kernel."""
        if self._waiting_run is None and self._starting is None:
            self._records.in_use.discard(self)
        else:
            self._records.in_use.add(self)


class KernelRecords:
    """The records of a client; see `Client.extension`.

    Attributes:
        in_use: those of kernels with a run that was left in them.
    """

    def __init__(self) -> None:
        self.in_use: set[KernelRecord] = set()
        self._by_name: WeakValueDictionary[str, KernelRecord] = WeakValueDictionary()

    def of(self, name: str) -> KernelRecord:
        """The record of a kernel.

        Args:
            name: its token or id.
        """
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = KernelRecord(self)
        return found

    def named(self, token: str, kernel_id: str) -> KernelRecord:
        """The record of a kernel, which is found under both names from now on.

        Args:
            token: the kernel's token.
            kernel_id: its id; the token if the id is unknown.
        """
        found = self._by_name.get(kernel_id) or self.of(token)
        if kernel_id != token:
            if found.kernel_id not in ("", kernel_id):  # the token was another kernel's before
                found = KernelRecord(self)
            found.kernel_id = kernel_id
        self._by_name[token] = self._by_name[kernel_id] = found
        return found

    def rename(self, record: KernelRecord, old: str, new: str) -> None:
        """Note that a kernel has another token.

        Args:
            record: the kernel's.
            old: its token before.
            new: its token from now on.
        """
        if self._by_name.get(old) is record:
            del self._by_name[old]
        self._by_name[new] = record


def record_of(client: Client, address: str) -> KernelRecord:
    """What a client knows of a kernel.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
    """
    return client.extension(KernelRecords).of(address)
