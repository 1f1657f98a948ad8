"""`backend.ai rm`."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from backendai_trio import BackendError, find_kernel, list_kernels
from backendai_trio.admin import LIVE

from ..confirmation import check_can_ask, confirm, yes_option
from ..console import Status, count
from ..errors import report_error
from ..list_options import ALL, check_statuses
from ..options import quiet_option
from ..parameters import NAME
from ..server import call_server, configured_server
from ..tables import show_rows, statistics_lines

if TYPE_CHECKING:
    import trio

    from backendai_trio import Client, Config
    from backendai_trio.admin import SessionRow

__all__ = ["command"]

_AT_ONCE = 4
"""Kernels that are ended at the same time: each takes seconds on a manager."""
_COLUMNS = {"token": "Token", "session_id": "Session ID", "runtime": "Runtime", "status": "Status"}


@click.command("rm")
@click.argument("kernels", nargs=-1, metavar="[ID]...", type=NAME)
@click.option(
    "--status",
    metavar="NAME",
    callback=check_statuses,
    help=f"End those of this status, as of 'ps'; {ALL} and {LIVE} are all that have not ended.",
)
@click.option("--name", metavar="PATTERN", type=NAME, help="End those of such tokens, as 'lab*'.")
@yes_option
@click.option(
    "-f",
    "--force",
    "--forced",
    is_flag=True,
    help="In any state, also if the server has lost track of it.",
)
@click.option("-r", "--recursive", is_flag=True, help="And the sessions that depend on them.")
@click.option("-s", "--stats", is_flag=True, help="Show their resource usage.")
@quiet_option
def command(
    kernels: tuple[str, ...],
    status: str | None,
    name: str | None,
    yes: bool,
    force: bool,
    recursive: bool,
    stats: bool,
    quiet: bool,
) -> int:
    """End kernels. An ID is a token or session id ('backend.ai ps').

    In place of IDs, --status and --name choose among your kernels; it shows them, and asks.
    A failure does not keep the other kernels from being ended. The exit code is that of the first
    failure.

    \b
    Examples:
      backend.ai rm lab1 lab2
      backend.ai rm --stats lab1
      backend.ai rm --status PENDING
      backend.ai rm --name 'night-*' --yes
      backend.ai rm --force lab1
    """
    chosen = status is not None or name is not None
    if chosen == bool(kernels):
        raise click.UsageError("name kernels, or choose them with --status and --name")
    if chosen:
        check_can_ask("The kernels that --status and --name choose are about to be ended.", yes=yes)
    config = configured_server("end kernels")
    shown = Status(quiet=quiet)
    if chosen:
        rows = _choose(config, status, name)
        if not rows:
            shown.info("There are no such kernels.")
            return 0
        _confirm(list(rows.values()), yes=yes)
        labels = {key: row.token for key, row in rows.items()}
    else:
        labels = {kernel: kernel for kernel in kernels}
    ending = _Ending(labels, shown, force=force, recursive=recursive, stats=stats)
    call_server(config, ending.end_all)
    return ending.exit_code()


def _choose(config: Config, status: str | None, name: str | None) -> dict[str, SessionRow]:
    """Own kernels by what stands for them in requests: the id, where the server takes ids."""

    async def choose(client: Client) -> dict[str, SessionRow]:
        rows = await list_kernels(client, status=LIVE if status in (None, ALL) else status)
        return {
            row.session_id if client.era.takes_ids else row.token: row
            for row in rows
            if name is None or fnmatchcase(row.token, name)
        }

    return call_server(config, choose)


def _confirm(rows: list[SessionRow], *, yes: bool) -> None:
    if not yes:
        values = [{key: getattr(row, key) for key in _COLUMNS} for row in rows]
        show_rows(values, _COLUMNS, as_json=False, empty="", to_stderr=True)
    chosen = "This kernel is" if len(rows) == 1 else f"These {count(len(rows), 'kernel')} are"
    confirm(f"{chosen} about to be ended.", yes=yes)


class _Ending:
    """Kernels that are ended, several at the same time."""

    def __init__(
        self, labels: dict[str, str], status: Status, *, force: bool, recursive: bool, stats: bool
    ) -> None:
        """
        Args:
            labels: the kernels by token or id, and what they are called.
            status: where to report.
            force: see `TrioKernel.destroy`.
            recursive: see `TrioKernel.destroy`.
            stats: whether to show what they have used.
        """
        self._labels = labels
        self._status = status
        self._force = force
        self._recursive = recursive
        self._stats = stats
        self._failures: dict[str, int] = {}

    def exit_code(self) -> int:
        """That of the first kernel that could not be ended."""
        return next((self._failures[name] for name in self._labels if name in self._failures), 0)

    async def end_all(self, client: Client) -> None:
        """End them, and say how many of several there were."""
        import trio

        at_once = trio.CapacityLimiter(_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for name in self._labels:
                nursery.start_soon(self._end, client, name, at_once)
        if (total := len(self._labels)) > 1:
            ended = total - len(self._failures)
            of_all = f" of {total:,}" if self._failures else ""
            self._status.info(f"{ended:,}{of_all} kernels ended.")

    async def _end(self, client: Client, name: str, at_once: trio.CapacityLimiter) -> None:
        async with at_once:
            try:
                kernel = await find_kernel(client, name)
                used = await kernel.destroy(force=self._force, recursive=self._recursive)
            except BackendError as exc:
                self._failures[name] = report_error(exc)
                return
        self._status.done(f"Ended the kernel {self._labels[name]}.")
        if self._stats:
            for line in statistics_lines(used):
                Status().info(line)  # the user asked for it: shown also when quiet
