"""Session templates: definitions, messages both ways, and what a template adds to a kernel."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backendai_trio import KernelSpec, LocalProtocolError, RemoteProtocolError
from backendai_trio.gateway.kernel_limits import parse_bytes
from backendai_trio.wire.kernel_spec import WORK_FOLDER, encode_amount
from backendai_trio.wire.kernels import CreateRequest
from backendai_trio.wire.session_templates import (
    SessionTemplate,
    completed_by,
    decode_created,
    decode_payload,
    decode_templates,
    definition_of,
    encode_created,
    encode_templates,
    filled_in,
    template_request,
    templates_request,
)

_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_SPECS = st.builds(
    KernelSpec,
    runtime=_NAMES,
    environ=st.dictionaries(_NAMES, _TEXTS, max_size=3),
    mounts=st.lists(_NAMES, max_size=3, unique=True).map(tuple),
    resources=st.dictionaries(_NAMES, st.sampled_from(["1", "2g", "0.5"]), max_size=3),
    resource_group=st.just("") | _NAMES,
    architecture=st.sampled_from(["", "x86_64", "aarch64"]),
    bootstrap_script=_TEXTS,
    tag=_TEXTS,
    agents=st.lists(_NAMES, max_size=2).map(tuple),
)


def template(definition: dict[str, Any], **more: Any) -> SessionTemplate:
    return SessionTemplate("ab" * 16, "lab", definition, **more)


@given(_SPECS)
def test_a_kernel_of_a_template_is_what_it_was_made_of(spec: KernelSpec) -> None:
    kept = template(definition_of("lab", spec))
    assert completed_by(kept, KernelSpec(runtime="", template="lab")) == spec
    (told,) = decode_templates(encode_templates([kept]))
    assert told == kept and told.image == spec.runtime
    body = template_request("POST", "lab", kept.definition).body
    assert decode_payload(body) == [("lab", kept.definition)]


@given(_SPECS)
def test_a_gateway_fills_in_the_same(spec: KernelSpec) -> None:
    kept = template(definition_of("lab", spec))
    asked = json.dumps({"name": "a-token", "template_id": kept.template_id}).encode()
    create = CreateRequest.decode(filled_in(kept, asked))
    assert (create.token, create.job) == ("a-token", None)
    assert create.spec == spec


def test_what_a_kernel_says_counts() -> None:
    kept = template(
        definition_of(
            "lab",
            KernelSpec(
                runtime="python:3.11",
                environ={"A": "1", "B": "1"},
                mounts=("data:/mnt/data", "more"),
                resources={"cpu": "1", "mem": "1g"},
                tag="one",
            ),
        ),
        project="lab",
    )
    spec = KernelSpec(
        runtime="lua",
        template="lab",
        environ={"B": "2", "C": "2"},
        mounts=(f"data:{WORK_FOLDER}/here",),
        resources={"mem": "2g"},
        tag="two",
    )
    found = completed_by(kept, spec)
    assert found.runtime == "lua" and found.tag == "two" and found.template == ""
    assert found.environ == {"A": "1", "B": "2", "C": "2"}
    assert found.mounts == ("more", f"data:{WORK_FOLDER}/here")
    assert found.resources == {"cpu": "1", "mem": "2g"}
    assert found.project == "lab"
    assert completed_by(kept, replace(spec, project="mine")).project == "mine"
    # A project of the template is one of its own domain.
    assert completed_by(kept, replace(spec, domain="other")).project == ""


def test_memory_without_a_unit() -> None:
    """In a specification it is MiB, and on a server bytes."""
    spec = KernelSpec(runtime="python", resources={"cpu": "2", "mem": "512"})
    definition = definition_of("lab", spec)
    create = CreateRequest.decode(filled_in(template(definition), b'{"name": "a-token"}'))
    assert create.spec.resources == {"cpu": "2", "mem": "512m"}
    assert completed_by(template(definition), KernelSpec(runtime="", template="lab")).resources == {
        "cpu": "2",
        "mem": "512m",
    }


@given(st.integers(0, 2**60))
@example(512 * 2**20)
def test_memory_of_a_template_in_bytes(size: int) -> None:
    definition = definition_of("lab", KernelSpec(runtime="python"))
    definition["spec"]["resources"] = {"mem": size}  # type: ignore[index]
    found = completed_by(template(definition), KernelSpec(runtime="", template="lab"))
    assert parse_bytes(encode_amount("mem", found.resources["mem"])) == size


def test_what_managers_tell() -> None:
    # As 23.9.10 and 26.9.6 write it: what was not said is null.
    definition = {
        "kind": "taskTemplate",
        "spec": {
            "kernel": {
                "git": None,
                "run": None,
                "image": "python",
                "environ": None,
                "architecture": "x86_64",
            },
            "mounts": {},
            "resources": None,
            "agent_list": None,
            "session_type": "interactive",
            "scaling_group": None,
        },
        "metadata": {"tag": None, "name": "lab"},
        "api_version": "v1",
    }
    (told,) = decode_templates(
        json.dumps(
            [
                {
                    "name": "lab",
                    "id": "ab" * 16,
                    "created_at": "2026-11-30 12:03:49",
                    "is_owner": False,
                    "user": None,
                    "group": None,
                    "user_email": None,
                    "group_name": None,
                    "template": definition,
                }
            ]
        ).encode()
    )
    assert not told.is_own and told.owner == told.project == ""
    found = completed_by(told, KernelSpec(runtime="", template="lab"))
    assert found == KernelSpec(runtime="python", architecture="x86_64")


def test_a_repository_is_not_cloned_in_silence() -> None:
    definition = definition_of("lab", KernelSpec(runtime="python"))
    definition["spec"]["kernel"]["git"] = {"repository": "https://x/y"}  # type: ignore[index]
    with pytest.raises(LocalProtocolError, match=r"'lab' clones a repository.*--bootstrap-script"):
        completed_by(template(definition), KernelSpec(runtime="", template="lab"))


@pytest.mark.parametrize(
    "more",
    [
        {"resource_opts": {"shmem": "1g"}},
        {"cluster_size": 2},
        {"cluster_mode": "multi-node"},
        {"preopen_ports": (8000,)},
        {"priority": 0},
        {"dependencies": ("x",)},
        {"callback_url": "http://x"},
        {"owner": "AK"},
        {"template": "other"},
        {"mounts": ("data:ro",)},
    ],
)
def test_what_templates_do_not_hold(more: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=r"a template does not hold .*: say it when"):
        definition_of("lab", KernelSpec(runtime="python", **more))


def test_a_kernel_needs_a_runtime_or_a_template() -> None:
    with pytest.raises(LocalProtocolError, match="needs a runtime"):
        KernelSpec(runtime="")


def test_requests() -> None:
    assert templates_request().target == "/template/session"
    request = template_request(
        "PUT", "lab", {"kind": "x"}, template_id="ab", project="p", domain="d"
    )
    assert (request.method, request.target) == ("PUT", "/template/session/ab")
    body = json.loads(request.body)
    assert json.loads(body.pop("payload")) == [{"name": "lab", "template": {"kind": "x"}}]
    assert body == {"group": "p", "domain": "d"}
    request = template_request("DELETE", template_id="ab")
    assert (request.method, request.target, request.body) == ("DELETE", "/template/session/ab", b"")


def test_ids_of_new_templates() -> None:
    assert decode_created(encode_created(["ab"], "me")) == "ab"
    assert decode_created(b'{"id": "ab"}') == "ab"
    for body in (b"[]", b'[{"id": "a"}, {"id": "b"}]', b"[1]", b"{}", b""):
        with pytest.raises(RemoteProtocolError):
            decode_created(body)


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{}",
        "[1]",
        "[{}]",
        '[{"template": {}}]',
        '[{"template": {"apiVersion": "v1", "metadata": {"name": "a"}, "spec": {"kernel": {}}}}]',
        '[{"template": {"apiVersion": "v1", "metadata": {}, "spec": {"kernel": {"image": "a"}}}}]',
        "a: yaml",
    ],
)
def test_malformed_payloads_are_refused(payload: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_payload(json.dumps({"payload": payload}).encode())


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[{}]", b'[{"id": "a", "name": 1}]'])
def test_malformed_lists_are_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_templates(body)
