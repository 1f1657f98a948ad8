"""The project of kernels that name none: the user's only one, where the server's default is not."""

from __future__ import annotations

from dataclasses import replace

import trio

from ..errors import ApiError, RemoteProtocolError
from ..transport.client import Client
from ..transport.own_account import known_projects, own_projects
from ..wire.kernel_spec import KernelSpec
from ..wire.own_projects import DEFAULT_PROJECT
from .refused_creates import is_refused_place

__all__ = ["with_known_project", "with_own_project"]


def with_known_project(client: Client, spec: KernelSpec) -> KernelSpec:
    """A specification with the user's domain, and the only project there if it names none.

    Args:
        client: of the server.
        spec: what is to be created.

    Returns:
        The same, as far as the domain and the projects are not known: no request is sent.
    """
    own = known_projects(client)
    if own is None or spec.domain or not own.domain:
        return spec
    if spec.project:
        return replace(spec, domain=own.domain) if spec.project in own.names else spec
    if len(own.names) != 1:
        return spec
    return replace(spec, domain=own.domain, project=own.names[0])


async def with_own_project(
    client: Client, spec: KernelSpec, sent: KernelSpec, refusal: ApiError
) -> KernelSpec | None:
    """What to create instead, after a create was refused.

    Managers take a project and a domain that are not named for the ones called ``default``, which
    need not be the user's (docs/protocol.md, section 3.3).

    Args:
        client: of the server.
        spec: what was to be created.
        sent: the same as `with_known_project` had completed it: what was refused.
        refusal: the server's. If the user has several projects, its advice names them.

    Returns:
        The same with the user's domain and, if it named no project, the only one there; None if
        that was not the matter, or does not help.

    Raises:
        ConnectionFailed: the server could not be reached.

    Endpoint: GraphQL ``user`` (docs/protocol.md, section 8.3).
    """
    if spec.domain or not is_refused_place(refusal):
        await trio.lowlevel.checkpoint()
        return None
    try:
        # Anew: the refusal may be the sign that the user is in other projects by now.
        own = await own_projects(client, since=trio.current_time())
    except (ApiError, RemoteProtocolError):
        return None  # the refusal says what is wrong, too
    other = with_known_project(client, spec)
    if other == spec and own.names:
        refusal.advice = (
            f"your projects in the domain {own.domain} are {', '.join(own.names)}: name one with "
            "-g, BACKEND_GROUP or KernelSpec.project"
        )
    return None if other in (spec, sent) or _asked_already(spec, other) else other


def _asked_already(spec: KernelSpec, other: KernelSpec) -> bool:
    """Whether the second create would ask for the same as the first."""
    return (spec.project or DEFAULT_PROJECT, DEFAULT_PROJECT) == (other.project, other.domain)
