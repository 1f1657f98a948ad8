"""Handlers of requests about session templates (docs/protocol.md, section 9.4)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from ...wire.json_fields import Fields, encode_json
from ...wire.session_templates import (
    SessionTemplate,
    decode_payload,
    decode_templates,
    encode_created,
    encode_templates,
    filled_in,
)
from ...wire.uuids import is_same_uuid
from ..refusals import Refused
from .handlers import Answer, Call, Handler, create_of

__all__ = ["ROUTES", "create_from_template"]

_TEMPLATES = "session-templates"
"""Name of the setting that holds a key pair's templates."""
_MAX_BYTES = 256 * 1024


async def create_from_template(call: Call) -> Answer:
    """``POST /session/_/create-from-template``."""
    fields = Fields.parse(call.body, "create request")
    template = _at(_templates(call), fields.text("template_id", "templateId"))
    return await create_of(call, filled_in(template, call.body))


def get_all(call: Call) -> Answer:
    """``GET /template/session``."""
    return Answer(encode_templates(_templates(call)))


def get(call: Call) -> Answer:
    """``GET /template/session/{id}``."""
    template = _at(_templates(call), call.request.path_params["id"])
    told = {"name": template.name, "template": dict(template.definition)}
    return Answer(encode_json(told))


def create(call: Call) -> Answer:
    """``POST /template/session``."""
    project = Fields.parse(call.body, "template").text(
        "group", "groupName", "group_name", default="default"
    )
    made = [
        SessionTemplate(
            uuid.uuid4().hex,
            name,
            definition,
            project,
            call.access_key,
            created_at=datetime.now(UTC).isoformat(),
        )
        for name, definition in decode_payload(call.body)
    ]
    _store(call, [*_templates(call), *made])
    return Answer(encode_created([item.template_id for item in made], call.access_key))


def replace_one(call: Call) -> Answer:
    """``PUT /template/session/{id}``."""
    templates = _templates(call)
    old = _at(templates, call.request.path_params["id"])
    for name, definition in decode_payload(call.body):
        new = replace(old, name=name, definition=definition)
        _store(call, [new if item is old else item for item in templates])
    return Answer(encode_json({"success": True}))


def delete(call: Call) -> Answer:
    """``DELETE /template/session/{id}``."""
    templates = _templates(call)
    old = _at(templates, call.request.path_params["id"])
    _store(call, [item for item in templates if item is not old])
    return Answer(encode_json({"success": True}))


def _templates(call: Call) -> list[SessionTemplate]:
    text = call.sessions.store.setting(call.access_key, _TEMPLATES)
    return decode_templates(text.encode()) if text else []


def _at(templates: Sequence[SessionTemplate], template_id: str) -> SessionTemplate:
    for item in templates:
        if is_same_uuid(item.template_id, template_id):
            return item
    raise Refused(404, "task-template-not-found", "No such task template.", template_id)


def _store(call: Call, templates: Sequence[SessionTemplate]) -> None:
    data = encode_templates(templates)
    if len(data) > _MAX_BYTES:
        detail = f"templates may have {_MAX_BYTES} bytes in all"
        raise Refused(400, "invalid-api-params", "No room for the template", detail)
    call.sessions.store.set_setting(call.access_key, _TEMPLATES, data.decode())


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/template/session", get_all),
    ("POST", "/template/session", create),
    ("GET", "/template/session/{id}", get),
    ("PUT", "/template/session/{id}", replace_one),
    ("DELETE", "/template/session/{id}", delete),
)
"""Of all versions from 20.03 on."""
