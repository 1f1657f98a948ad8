"""Session templates: what servers keep of kernels to create (docs/protocol.md, section 9.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import LocalProtocolError, RemoteProtocolError
from .http import Request
from .json_fields import Fields, decode_json, encode_json, is_deeper
from .kernel_spec import KernelSpec, decode_amount, encode_amount

__all__ = [
    "SessionTemplate",
    "completed_by",
    "decode_created",
    "decode_payload",
    "decode_templates",
    "definition_of",
    "encode_created",
    "encode_templates",
    "filled_in",
    "template_request",
    "templates_request",
]

_PATH = "/template/session"
MAX_LEVELS = 100
"""Lists and objects within each other in a template."""


@dataclass(frozen=True, slots=True)
class SessionTemplate:
    """What a server keeps of kernels to create."""

    template_id: str
    """Its id, 32 hexadecimal digits."""
    name: str
    definition: Mapping[str, Any] = field(repr=False)
    """The kernel, in the server's form. It may hold the password of a repository."""
    project: str = ""
    """The project that its kernels belong to."""
    owner: str = ""
    """E-mail address of the user who has made it."""
    is_own: bool = True
    """Whether that is the user who asks."""
    created_at: str = ""
    """When it was made, as the server writes it."""

    @property
    def image(self) -> str:
        """The image of its kernels."""
        kernel = Fields(self.definition, "template").nested("spec").nested("kernel")
        return kernel.text("image", default="")


# -- the definition -------------------------------------------------------------------------------


def definition_of(name: str, spec: KernelSpec) -> dict[str, object]:
    """The definition of a template.

    Args:
        name: the template's name.
        spec: the kernels that it is for. Its project and domain are no part of the definition.

    Raises:
        LocalProtocolError: it asks for what templates do not hold.
    """
    mounts = spec.mount_points
    for what, asked in (
        ("resource options", spec.resource_opts),
        ("several containers", spec.cluster_size > 1 or spec.cluster_mode != "single-node"),
        ("preopened ports", spec.preopen_ports),
        ("a priority", spec.priority is not None),
        ("dependencies", spec.dependencies),
        ("a callback", spec.callback_url),
        ("another owner", spec.owner),
        ("another template", spec.template),
        ("a mount's permission", any(mount.permission for mount in mounts)),
    ):
        if asked:
            raise LocalProtocolError(
                f"a template does not hold {what}: say it when the kernel is created"
            )
    kernel: dict[str, object] = {"image": spec.runtime}
    if spec.architecture:
        kernel["architecture"] = spec.architecture
    if spec.environ:
        kernel["environ"] = dict(spec.environ)
    if spec.bootstrap_script:
        kernel["run"] = {"bootstrap": spec.bootstrap_script, "startup_command": None}
    place: dict[str, object] = {"session_type": "interactive", "kernel": kernel}
    if mounts:
        place["mounts"] = {m.source: m.absolute_path if m.path else "" for m in mounts}
    if spec.resources:
        place["resources"] = {
            slot: encode_amount(slot, text) for slot, text in spec.resources.items()
        }
    if spec.resource_group:
        place["scaling_group"] = spec.resource_group
    if spec.agents:
        place["agent_list"] = list(spec.agents)
    metadata = {"name": name} | ({"tag": spec.tag} if spec.tag else {})
    return {"apiVersion": "v1", "kind": "taskTemplate", "metadata": metadata, "spec": place}


def completed_by(template: SessionTemplate, spec: KernelSpec) -> KernelSpec:
    """A specification that names a template, with the template's values where it has none.

    Managers have a request for that, too, which fails on all that were tried (docs/protocol.md,
    section 9.4); and it puts the variables, folders and resources of a request in the place of all
    of the template's.

    Args:
        template: the one that is meant.
        spec: the kernel; what it says counts. Each variable, folder and resource counts by itself.

    Raises:
        LocalProtocolError: a folder cannot be mounted; or the template clones a repository.
        RemoteProtocolError: the template is malformed.
    """
    definition = Fields(template.definition, "template")
    place = definition.nested("spec")
    kernel = place.nested("kernel")
    bootstrap = kernel.nested("run").text("bootstrap", default="")
    if kernel.raw("git") is not None:
        raise LocalProtocolError(
            f"the template {template.name!r} clones a repository, which is not done here: "
            "let a bootstrap script do it (--bootstrap-script)"
        )
    resources = {
        slot: decode_amount(slot, text) for slot, text in place.mapping("resources").items()
    }
    own = {mount.source for mount in spec.mount_points}
    mounts = [
        f"{source}:{path}" if path else source
        for source, path in place.mapping("mounts").items()
        if source not in own
    ]
    return replace(
        spec,
        template="",
        runtime=spec.runtime or template.image,
        architecture=spec.architecture or kernel.text("architecture", default=""),
        project=spec.project or ("" if spec.domain else template.project),
        tag=spec.tag or definition.nested("metadata").text("tag", default=""),
        bootstrap_script=spec.bootstrap_script or bootstrap,
        environ=kernel.mapping("environ") | dict(spec.environ),
        resources=resources | dict(spec.resources),
        resource_group=spec.resource_group or place.text("scaling_group", default=""),
        agents=spec.agents or place.texts("agent_list", "agentList"),
        mounts=(*mounts, *spec.mounts),
    )


def filled_in(template: SessionTemplate, body: bytes) -> bytes:
    """A create request in which a template's values stand where it has none of its own.

    Args:
        template: the template that it names.
        body: the request.

    Returns:
        A request without a template.

    Raises:
        RemoteProtocolError: one of them is malformed.
    """
    asked = Fields.parse(body, "create request")
    definition = Fields(template.definition, "template")
    spec = definition.nested("spec")
    kernel = spec.nested("kernel")
    run = kernel.nested("run")
    mounts = spec.mapping("mounts")
    values: dict[str, object] = {
        "image": kernel.text("image", default=""),
        "architecture": kernel.text("architecture", default=""),
        "group": template.project,
        "tag": definition.nested("metadata").text("tag", default=""),
        "bootstrap_script": run.text("bootstrap", default=""),
        "startupCommand": run.text("startup_command", "startup", "startupCommand", default=""),
        "type": spec.text("session_type", "sessionType", "type", default="interactive"),
    }
    config: dict[str, object] = {
        "environ": kernel.mapping("environ"),
        "mounts": list(mounts),
        "mount_map": {name: path for name, path in mounts.items() if path},
        "resources": spec.mapping("resources"),
        "scaling_group": spec.text("scaling_group", default=""),
        "agent_list": list(spec.texts("agent_list", "agentList")),
    }
    own = asked.nested("config").everything()
    merged = {key: value for key, value in values.items() if value} | dict(asked.everything())
    merged["config"] = {key: value for key, value in config.items() if value} | dict(own)
    merged.pop("template_id", None)
    merged.pop("templateId", None)
    return encode_json(merged)


# -- requests -------------------------------------------------------------------------------------


def templates_request() -> Request:
    """The request for all templates that the user may see."""
    return Request("GET", _PATH)


def template_request(
    method: str,
    name: str = "",
    definition: Mapping[str, Any] | None = None,
    *,
    template_id: str = "",
    project: str = "",
    domain: str = "",
) -> Request:
    """The request that makes a template (``POST``), replaces it (``PUT``) or removes it
    (``DELETE``).

    Args:
        method: of the request.
        name: the template's.
        definition: what it is to hold.
        template_id: of the one that is there.
        project: of its kernels; empty for the one named ``default``.
        domain: of the project; empty for the one named ``default``.
    """
    path = f"{_PATH}/{template_id}" if template_id else _PATH
    if definition is None:
        return Request(method, path)
    payload = encode_json([{"name": name, "template": definition}]).decode()
    body = {"payload": payload, "group": project, "domain": domain}
    return Request.of_json(method, path, {key: value for key, value in body.items() if value})


def decode_payload(body: bytes) -> list[tuple[str, Mapping[str, Any]]]:
    """Names and definitions in a request.

    Args:
        body: of the request.

    Raises:
        RemoteProtocolError: it is malformed, or a definition lacks what templates must have. YAML,
            which managers take, too, is not read.
    """
    payload = Fields.parse(body, "template").text("payload")
    rows = decode_json(payload.encode("utf-8", "surrogatepass"), "payload of a template")
    if not isinstance(rows, list):
        raise RemoteProtocolError("payload of a template: expected a list")
    found = []
    for row in rows:
        fields = Fields(row, "template")
        definition = fields.nested("template")
        if is_deeper(definition.everything(), MAX_LEVELS):
            raise RemoteProtocolError(f"template: it has more than {MAX_LEVELS} levels")
        definition.text("apiVersion", "api_version")
        name = definition.nested("metadata").text("name")
        spec = definition.nested("spec")
        spec.nested("kernel").text("image")
        spec.mapping("mounts"), spec.mapping("resources")
        found.append((fields.text("name", default=name), definition.everything()))
    return found


# -- replies --------------------------------------------------------------------------------------


def encode_created(template_ids: Iterable[str], user: str) -> bytes:
    """The body of the answer to a request that made templates.

    Args:
        template_ids: of the templates.
        user: id of the user whose they are.
    """
    return encode_json([{"id": template_id, "user": user} for template_id in template_ids])


def decode_created(body: bytes) -> str:
    """The id of the template that was made.

    Args:
        body: JSON: a list of one, or that one.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    rows = decode_json(body, "template")
    if isinstance(rows, list):
        if len(rows) != 1:
            raise RemoteProtocolError(f"template: expected one, got {len(rows)}")
        rows = rows[0]
    return Fields(rows, "template").text("id")


def encode_templates(templates: Iterable[SessionTemplate]) -> bytes:
    """The body of the answer to `templates_request`.

    Args:
        templates: in any order.
    """
    return encode_json(
        [
            {
                "name": item.name,
                "id": item.template_id,
                "created_at": item.created_at,
                "is_owner": item.is_own,
                "user_email": item.owner,
                "group_name": item.project,
                "template": dict(item.definition),
            }
            for item in templates
        ]
    )


def decode_templates(body: bytes) -> list[SessionTemplate]:
    """Read the answer to `templates_request`.

    Args:
        body: JSON.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    rows = decode_json(body, "templates")
    if not isinstance(rows, list):
        raise RemoteProtocolError(f"templates: expected a list, got {type(rows).__name__}")
    found = []
    for row in rows:
        fields = Fields(row, "template")
        found.append(
            SessionTemplate(
                fields.text("id"),
                fields.text("name"),
                fields.nested("template").everything(),
                fields.text("group_name", default=""),
                fields.text("user_email", default=""),
                fields.flag("is_owner", default=True),
                fields.text("created_at", default=""),
            )
        )
    return found
