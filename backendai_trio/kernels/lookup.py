"""Whether a kernel is there, asked in the ways that a server has."""

from __future__ import annotations

from datetime import UTC, datetime

from ..errors import (
    ApiError,
    NotFound,
    RemoteProtocolError,
    ServerError,
)
from ..transport.client import Client
from ..transport.graphql import ask, call_again
from ..transport.own_account import own_access_key
from ..transport.retry import is_refusal
from ..wire.admin_lists import SessionRow, listing, only_living
from ..wire.http import Request
from ..wire.kernel_states import DEAD, KernelState, state_query
from ..wire.kernels import KernelInfo
from ..wire.versions import SESSION_5, TRANSITION

__all__ = ["kernel_info", "kernel_state", "listed_kernel", "living_state"]

_PAGE = 100


async def kernel_info(client: Client, address: str) -> KernelInfo:
    """What the server says of a kernel.

    Args:
        client: of the kernel's server.
        address: its token or id.

    Raises:
        NotFound: there is no such kernel.
        ApiError, ConnectionFailed: the server does not say.

    Endpoint: ``GET /session/{name}``; where that always fails (19.09 to 20.03), GraphQL
    ``compute_session_list`` (docs/protocol.md, sections 3.5 and 8.3).
    """
    request = Request("GET", client.era.session_path(address))
    try:
        return KernelInfo.decode((await call_again(client, request)).body)
    except ServerError:
        if client.era.name not in (TRANSITION.name, SESSION_5.name):
            raise
    row = await listed_kernel(client, address)
    if row is None:
        raise NotFound(404, title=f"There is no kernel {address!r}", request=str(request))
    return KernelInfo(row.runtime, row.status, _age_ms(row.created_at))


def _age_ms(created_at: str) -> int:
    """Milliseconds since a time in ISO 8601; 0 if it is none."""
    try:
        moment = datetime.fromisoformat(created_at)
    except ValueError:
        return 0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, int((datetime.now(UTC) - moment).total_seconds() * 1000))


async def kernel_state(client: Client, token: str, kernel_id: str) -> KernelState:
    """The state of a kernel on a manager of 20.09 or later, also of one that has ended.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        kernel_id: its id; the token if the id is unknown.

    Raises:
        ApiError, ConnectionFailed: the server does not say.

    Endpoint: GraphQL ``compute_session`` (docs/protocol.md, section 8.3): other than ``GET
    /session/{name}`` it shows sessions that have ended, and 23.09.10 does not become slower by it
    (section 3.5).
    """
    if kernel_id == token:
        row = await listed_kernel(client, token)
        return KernelState() if row is None else KernelState(row.status.upper())
    # The position first: some users may not read the node that tells it.
    for with_position in (True, False) if client.hello.tells_position else (False,):
        query = state_query(kernel_id, with_position=with_position)
        try:
            return KernelState.decode(await ask(client, query, repeat=True))
        except ApiError as exc:
            if not is_refusal(exc):
                raise
            # There is no such query, or it is not for this user.
    try:
        return (await kernel_info(client, kernel_id)).state
    except NotFound:
        return KernelState()


async def listed_kernel(client: Client, *addresses: str) -> SessionRow | None:
    """The kernel in the server's own list of the key pair's sessions that have not ended.

    Tokens of different key pairs may be the same. A server that does not say whose key pair it sees
    may list everybody's sessions: there, a kernel is found by its id only.

    Args:
        client: of the kernel's server.
        addresses: its token, its id, or both.

    Raises:
        ApiError: the server has no such list, or fails to give it.
        ConnectionFailed: it could not be reached.

    Endpoint: GraphQL ``compute_session_list``; before 19.03 ``compute_sessions``
    (docs/protocol.md, sections 8.2 and 8.3).
    """
    arguments: dict[str, str] = {}
    ids_only = False
    try:
        access_key = await own_access_key(client)
    except (ApiError, RemoteProtocolError) as exc:
        if isinstance(exc, ApiError) and not is_refusal(exc):
            raise
        ids_only = True
    else:
        arguments = {} if access_key is None else {"access_key": access_key}
    question = listing("sessions", client.era, client.hello)
    given, filter = only_living(question, client.era, arguments, "")
    seen = 0
    while True:
        query = question.query(offset=seen, limit=_PAGE, arguments=given, filter=filter)
        rows, total = question.decode(await ask(client, query, repeat=True))
        seen += len(rows)
        for row in map(SessionRow.decode, rows):
            named = row.session_id in addresses or (row.token in addresses and not ids_only)
            if named and row.status.upper() not in DEAD:
                return row
        if not rows or seen >= total:
            return None


async def living_state(client: Client, token: str, kernel_id: str) -> str | None:
    """The state of a kernel that the server has said is not there; None if nothing speaks for it.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        kernel_id: its id; the token where the server gives none.

    Raises:
        ApiError: the server fails to say. That it refuses to is no sign of the kernel.
        ConnectionFailed: it could not be reached.
    """
    for address in {token, kernel_id} if client.era.takes_ids else ():
        try:
            status = (await kernel_info(client, address)).status.upper()
        except ApiError as exc:
            if not is_refusal(exc):
                raise
        else:
            if status not in DEAD:
                return status
    try:
        row = await listed_kernel(client, token, kernel_id)
    except ApiError as exc:
        if not is_refusal(exc):
            raise
        return None
    return None if row is None else row.status
