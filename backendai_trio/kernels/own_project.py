"""The project of kernels that name none: the user's only one, where the server's default is not."""

from __future__ import annotations

from dataclasses import replace

from ..errors import ApiError, RemoteProtocolError
from ..transport.client import Client
from ..wire.graphql import decode_answer
from ..wire.http import JSON, Request
from ..wire.kernel_spec import KernelSpec
from ..wire.own_projects import OWN_PROJECTS, OwnProjects
from .refused_creates import is_refused_place

__all__ = ["with_known_project", "with_own_project"]

_DEFAULT = "default"
"""What managers take a project or a domain for that is not named."""


class _Known:
    """What was found out for a client: its user's domain and projects."""

    def __init__(self) -> None:
        self.own = OwnProjects("", ())


def with_known_project(client: Client, spec: KernelSpec) -> KernelSpec:
    """A specification with the user's domain, and the only project there if it names none, as far
    as an earlier create has found them out."""
    own = client.extension(_Known).own
    if spec.domain or not own.domain:
        return spec
    if spec.project:
        return replace(spec, domain=own.domain) if spec.project in own.names else spec
    if len(own.names) != 1:
        return spec
    return replace(spec, domain=own.domain, project=own.names[0])


async def with_own_project(
    client: Client, spec: KernelSpec, refusal: ApiError
) -> KernelSpec | None:
    """What to create instead, after a create was refused.

    Managers take a project and a domain that are not named for the ones called ``default``, which
    need not be the user's (docs/protocol.md, section 3.3).

    Args:
        client: of the server.
        spec: what was to be created.
        refusal: the server's. If the user has several projects, its advice names them.

    Returns:
        The same with the user's domain and, if it named no project, the only one there; None if
        that was not the matter, or does not help.

    Raises:
        ConnectionFailed: the server could not be reached.

    Endpoint: ``POST /admin/gql`` (docs/protocol.md, section 8.3).
    """
    if spec.domain or not is_refused_place(refusal):
        return None
    path = client.era.graphql_path
    request = Request("POST", path, (), OWN_PROJECTS.encode(), JSON)
    try:
        reply = await client.call(request)
        own = OwnProjects.decode(decode_answer(reply.body, f"POST {path}"))
    except (ApiError, RemoteProtocolError):
        return None  # the refusal says what is wrong, too
    client.extension(_Known).own = own
    other = with_known_project(client, spec)
    if other == spec and own.names:
        refusal.advice = (
            f"your projects in the domain {own.domain} are {', '.join(own.names)}: name one with "
            "-g, BACKEND_GROUP or KernelSpec.project"
        )
    return None if other == spec or _asked_already(spec, other) else other


def _asked_already(spec: KernelSpec, other: KernelSpec) -> bool:
    """Whether the second create would ask for the same as the first."""
    return (spec.project or _DEFAULT, _DEFAULT) == (other.project, other.domain)
