"""`backend.ai ps`, and the list that it shares with `admin sessions`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import click

from backendai_trio import list_kernels, read_config
from backendai_trio.admin import SessionRow

from ..console import Status
from ..server import call_server
from ..tables import show_rows

__all__ = ["command", "list_sessions"]

_TITLES = {
    "token": "Token",
    "session_id": "Session ID",
    "runtime": "Runtime",
    "status": "Status",
    "created_at": "Created at",
    "terminated_at": "Terminated at",
    "slots": "Slots",
}


@click.command("ps")
@click.option("-a", "--all", "everything", is_flag=True, help="List kernels that have ended, too.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(everything: bool, as_json: bool) -> None:
    """List the running kernels of the key pair, newest first.

    \b
    Examples:
      backend.ai ps
      backend.ai ps --all --json
    """
    list_sessions(None if everything else "RUNNING", None, as_json=as_json)


def list_sessions(
    status: str | None, access_key: str | None, *, everybody: bool = False, as_json: bool
) -> None:
    """Print kernels, newest first.

    Args:
        status: name of their status; None for any.
        access_key: access key of their owner; None for the user's own.
        everybody: list those of all owners that the user may see.
        as_json: print JSON.
    """
    config = read_config()
    if config is None:
        Status(quiet=as_json).info("No server is configured (BACKEND_ENDPOINT).")
    rows: list[SessionRow] = []
    if config is not None:
        rows = call_server(
            config, partial(list_kernels, status=status, access_key=access_key, everybody=everybody)
        )
    titles = {
        key: title
        for key, title in _TITLES.items()
        # Not all servers send all of them.
        if key in ("token", "runtime", "status") or any(getattr(row, key) for row in rows)
    }
    running = "currently running" if status == "RUNNING" else "to list"
    show_rows(
        [asdict(row) for row in rows],
        titles,
        as_json=as_json,
        empty=f"There are no compute sessions {running}.",
    )
