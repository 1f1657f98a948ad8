"""`backend.ai events`."""

from __future__ import annotations

import json
from datetime import datetime

import click

from backendai_trio import Client, NotFound, SessionEvent, find_kernel, open_client, open_events

from .. import exit_codes
from ..console import Status, printable
from ..parameters import NAME
from ..server import configured_server
from ..termination import cancel_on_signals, run_async

__all__ = ["command"]

_RECONNECTED = "stream_reconnected"


@click.command("events")
@click.argument("session", metavar="[ID]", required=False, type=NAME)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each event.")
def command(session: str | None, as_json: bool) -> int:
    """Follow the events of the key pair's sessions, until Ctrl-C.

    With ID, the token or id of a session ('backend.ai ps'), only the events of that session are
    shown, and the command ends when the session does. A broken connection is replaced; events may
    then be missing, and a line 'stream_reconnected' says so.

    \b
    Examples:
      backend.ai events
      backend.ai events lab1 --json
    """
    return run_async(_follow, session, as_json)


async def _follow(session: str | None, as_json: bool) -> int:
    config = configured_server("follow events")
    status = Status()
    async with (
        cancel_on_signals(),
        open_client(config) as client,
        open_events(client, token=session) as events,
    ):
        if session is not None:
            await find_kernel(client, session)  # a session that is gone would never have an event
        status.info("Following events. Ctrl-C ends it.")
        async for event in events:
            click.echo(_as_json(event) if as_json else _as_line(event))  # flushes
            if session is not None:
                if event.ends_session:
                    return 0
                if event.name == _RECONNECTED and not await _is_there(client, session):
                    status.info("The session ended while the connection was broken.")
                    return 0
    status.warn("The server closed the stream of events.")
    return 0 if session is None else exit_codes.FAILED


async def _is_there(client: Client, session: str) -> bool:
    try:
        await find_kernel(client, session)
    except NotFound:
        return False
    return True


def _as_line(event: SessionEvent) -> str:
    words = [_now(), event.name, event.token or "-", event.reason]
    if event.exit_code is not None:
        words.append(f"(exit code {event.exit_code})")
    return " ".join(printable(word) for word in words if word)


def _as_json(event: SessionEvent) -> str:
    return json.dumps(
        {
            "time": _now(),
            "name": event.name,
            "session_id": event.session_id,
            "token": event.token,
            "reason": event.reason,
            "exit_code": event.exit_code,
            "data": dict(event.data),
        }
    )


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
