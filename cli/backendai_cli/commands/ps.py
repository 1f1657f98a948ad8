"""`backend.ai ps`, and the list that it shares with `admin sessions`."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Literal

import click

from backendai_trio import list_kernels
from backendai_trio.admin import LIVE, SessionRow, lists_everybody

from ..configuration import command_config
from ..console import Status
from ..list_options import ALL, Columns, Page, column_options, page_options, status_option
from ..server import call_server

if TYPE_CHECKING:
    from backendai_trio import Client

__all__ = ["command", "list_sessions"]

_TITLES = {
    "token": "Token",
    "session_id": "Session ID",
    "access_key": "Access key",
    "runtime": "Runtime",
    "status": "Status",
    "reason": "Reason",
    "created_at": "Created at",
    "terminated_at": "Terminated at",
    "slots": "Slots",
}
_ALWAYS = ("token", "runtime", "status")


@click.command("ps")
@click.option("-a", "--all", "everybody", is_flag=True, help="List those of everybody you may see.")
@status_option
@page_options
@column_options
def command(everybody: bool, status: str, page: Page, columns: Columns) -> None:
    """List the kernels of the key pair, newest first: those that run, and those that wait, with the
    reason.

    Columns are token, session_id, access_key, runtime, status, reason, created_at, terminated_at,
    slots, project, resource_group and tag. The server's names for --filter and --order are others,
    e.g. name, image, status and created_at.

    \b
    Examples:
      backend.ai ps
      backend.ai ps --status ALL --limit 20 --order -created_at
      backend.ai ps -f token,status,reason --json
    """
    list_sessions(status, None, page, columns, everybody=everybody)


def list_sessions(
    status: str,
    access_key: str | None,
    page: Page,
    columns: Columns,
    *,
    everybody: bool | Literal["where listed"] = False,
) -> None:
    """Print kernels.

    Args:
        status: names of their status, or what stands for several.
        access_key: access key of their owner; None for the user's own.
        page: which of them.
        columns: what to show of them.
        everybody: list those of all owners that the user may see; the user's own where a server
            has no such list, if ``"where listed"``.
    """
    columns.check([field.name for field in fields(SessionRow)])
    config = command_config()
    if config is None:
        Status(quiet=columns.as_json).info("No server is configured (BACKEND_ENDPOINT).")
    rows: list[SessionRow] = []
    if config is not None:

        async def ask(client: Client) -> list[SessionRow]:
            return await list_kernels(
                client,
                status=None if status == ALL else status,
                access_key=access_key,
                everybody=lists_everybody(client) if everybody == "where listed" else everybody,
                **page.arguments(),
            )

        rows = call_server(config, ask)
    # Without what no row has.
    has = {name for name in _TITLES if any(getattr(row, name) for row in rows)}
    shown = has - {"access_key"} if not everybody else has
    running = "currently running" if status in (LIVE, "RUNNING") else "to list"
    columns.show(
        [asdict(row) for row in rows],
        {name: title for name, title in _TITLES.items() if name in shown or name in _ALWAYS},
        empty=f"There are no compute sessions {running}.",
    )
