"""Session templates: what a server keeps of kernels to create."""

from __future__ import annotations

import trio

from ..errors import LocalProtocolError, NotFound
from ..transport.client import Client
from ..wire.http import Request
from ..wire.kernel_spec import KernelSpec, check_spec
from ..wire.session_templates import (
    SessionTemplate,
    completed_by,
    decode_created,
    decode_templates,
    definition_of,
    template_request,
    templates_request,
)
from ..wire.uuids import is_same_uuid
from .defaults import complete_spec

__all__ = [
    "create_template",
    "delete_template",
    "get_template",
    "list_templates",
    "prepare_spec",
    "replace_template",
]


async def list_templates(client: Client) -> list[SessionTemplate]:
    """List the session templates that the user may see.

    Args:
        client: of the server.

    Returns:
        The templates, other users' among them.

    Raises:
        LocalProtocolError: the server is older than 20.03.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /template/session`` (docs/protocol.md, section 9.4).
    """
    _check(client)
    return decode_templates((await client.call(templates_request())).body)


async def get_template(client: Client, template: str) -> SessionTemplate:
    """Get a session template that the user may see.

    Args:
        client: of the server.
        template: its id, or its name: of several of that name, the user's own.

    Returns:
        The template.

    Raises:
        NotFound: there is no such template.
        LocalProtocolError: the server is older than 20.03, or several are called so.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /template/session`` (docs/protocol.md, section 9.4).
    """
    return await _find(client, template, own=False)


async def create_template(client: Client, name: str, spec: KernelSpec) -> str:
    """Keep a specification on the server, for kernels that name it (`KernelSpec.template`).

    Args:
        client: of the server.
        name: of the template. A server takes a name that is there already once more.
        spec: what its kernels get; without a project, that of the settings (`Config.project`).

    Returns:
        The template's id.

    Raises:
        LocalProtocolError: the server is older than 20.03; or the specification asks for what
            templates do not hold, such as ports.
        ApiError: the server refuses.
        ConnectionFailed: it cannot be reached.

    Cancellation:
        The template may be there or not.

    Endpoint: ``POST /template/session`` (docs/protocol.md, section 9.4).
    """
    return decode_created((await client.call(_request(client, "POST", name, spec))).body)


async def replace_template(client: Client, template: str, spec: KernelSpec) -> None:
    """Replace what a template of the user says. Kernels that exist stay as they are.

    Args:
        client: of the server.
        template: its name or id.
        spec: what its kernels get.

    Raises:
        NotFound: there is no such template.
        LocalProtocolError, ApiError, ConnectionFailed: as for `create_template`.

    Cancellation:
        The template may be replaced or not.

    Endpoint: ``PUT /template/session/{id}`` (docs/protocol.md, section 9.4).
    """
    found = await _find(client, template, own=True)
    await client.call(_request(client, "PUT", found.name, spec, found.template_id))


async def delete_template(client: Client, template: str) -> None:
    """Delete a template of the user. Kernels that exist stay.

    Args:
        client: of the server.
        template: its name or id.

    Raises:
        NotFound: there is no such template.
        LocalProtocolError: the server is older than 20.03, or several are called so.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``DELETE /template/session/{id}`` (docs/protocol.md, section 9.4).
    """
    found = await _find(client, template, own=True)
    await client.call(template_request("DELETE", template_id=found.template_id))


async def prepare_spec(client: Client, spec: KernelSpec) -> KernelSpec:
    """A specification as it is sent: with its template looked up, and completed by the settings.

    Args:
        client: of the server.
        spec: what is to be created.

    Raises:
        NotFound: there is no such template.
        LocalProtocolError: the server's release cannot do what `spec` asks for.
        ConfigError: a virtual folder of the settings cannot be mounted.
        ApiError, ConnectionFailed: the templates cannot be listed.

    Endpoint: ``GET /template/session``, if it names a template (docs/protocol.md, section 9.4).
    """
    check_spec(client.hello, spec)
    if spec.template:
        spec = completed_by(await _find(client, spec.template, own=False), spec)
    else:
        await trio.lowlevel.checkpoint()
    return complete_spec(spec, client.config, client.hello)


async def _find(client: Client, text: str, *, own: bool) -> SessionTemplate:
    """The template of an id or a name; of several of one name, the user's own.

    Args:
        client: of the server.
        text: id or name.
        own: whether other users' do not count.
    """
    templates = [item for item in await list_templates(client) if item.is_own or not own]
    if found := [item for item in templates if is_same_uuid(item.template_id, text)]:
        return found[0]
    named = [item for item in templates if item.name == text]
    named = [item for item in named if item.is_own] or named
    if not named:
        missing = NotFound(
            404,
            kind="task-template-not-found",
            title=f"No template {text!r}",
            request=str(templates_request()),
        )
        missing.advice = "'backend.ai template list' lists those that you may use"
        raise missing
    if len(named) > 1:
        ids = ", ".join(item.template_id for item in named)
        raise LocalProtocolError(
            f"{len(named)} templates are called {text!r}: name one by id: {ids}"
        )
    return named[0]


def _request(
    client: Client, method: str, name: str, spec: KernelSpec, template_id: str = ""
) -> Request:
    _check(client)
    if not name:
        raise LocalProtocolError("a template needs a name")
    project = spec.project or (client.config.project if not spec.domain else "")
    return template_request(
        method,
        name,
        definition_of(name, spec),
        template_id=template_id,
        project=project,
        domain=spec.domain or client.config.domain,
    )


def _check(client: Client) -> None:
    if not client.era.names_session:
        raise LocalProtocolError(
            f"{client.hello.name} has no templates; managers have them from 20.03 on"
        )
