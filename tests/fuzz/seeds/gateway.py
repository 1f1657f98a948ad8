"""Seeds of requests to a gateway, and of what is in them."""

from __future__ import annotations

import json

from backendai_trio.wire.multipart import encode_part_head, part_end

from ..targets.archives import BOUNDARY
from .chosen import Seeds, chosen
from .messages import TEMPLATE


def queries() -> Seeds:
    def query(text: str, **variables: object) -> bytes:
        return chosen(json.dumps({"query": text, "variables": variables}))

    page = "query($n: Int!) { vfolder_list(limit: $n, offset: 0) { items { name } total_count } }"
    doubled = "{...A ...A} " + " ".join(
        f"fragment {one} on Query {{...{two} ...{two}}}" for one, two in ("AB", "BC", "CD", "DE")
    )
    return {
        "page": query(page, n=20),
        "alias": query(
            '{a: agents {id} b: agents(status: "ALIVE") {...F}} fragment F on Agent {id}'
        ),
        "many": query("{" + " ".join(f"a{i}: agents {{id}}" for i in range(20)) + "}"),
        "deep": query("{agents" + "{compute_containers" * 10 + "{id}" + "}" * 11),
        "nested": query("{agents(status: " + "[" * 60 + "]" * 60 + ") {id}}"),
        "doubled": query(f"{doubled} fragment E on Query {{agents {{id}}}}"),
        "circle": query("{...A} fragment A on Query {...B} fragment B on Query {...A}"),
        "inline": query("{... @skip(if: false) {... on Query {users {id username}}}}"),
        "introspection": query("{__schema {types {name fields {name}}} __typename}"),
        "mutation": query('mutation {create_domain(name: "a", props: {}) {ok msg}}'),
    }


def requests() -> Seeds:
    calls: list[tuple[int, str, object]] = [
        (
            0,
            "POST /session",
            {"name": "lab1", "image": "python", "config": {"environ": {"A": "b"}}},
        ),
        (1, "POST /v2/kernel/create", {"lang": "python", "clientSessionToken": "lab1"}),
        (0, "GET /session/lab1", ""),
        (0, "POST /session/lab1", {"mode": "query", "code": "1", "runId": "a"}),
        (0, "POST /session/lab1/rename?name=lab2", ""),
        (0, "POST /session/lab1/download", {"files": ["a"]}),
        (0, "GET /session/lab1/files?path=.", ""),
        (0, "POST /admin/graphql", {"query": "{users {id}}", "variables": {}}),
        (
            0,
            "POST /admin/graphql",
            {
                "query": "query($f: String) {vfolder_list(limit: 9, offset: 0, filter: $f)"
                " {total_count}}",
                "variables": {"f": 'name like "%a"'},
            },
        ),
        (2, "POST /admin/graphql", {"query": "{agents {id}}"}),
        (0, "POST /folders", {"name": "data", "host": "local"}),
        (3, "POST /folders", {"name": "more"}),
        (0, "GET /folders", ""),
        (0, "GET /folders/data", ""),
        (0, "POST /folders/data/mkdir", {"path": "a/b", "parents": True}),
        (0, "GET /folders/data/files?path=a", ""),
        (0, "POST /folders/data/request-upload", {"path": "x", "size": 5}),
        (0, "POST /folders/data/request-download", {"file": "x", "archive": True}),
        (0, "POST /folders/data/move-file", {"src": "a", "dst": "c"}),
        (0, "DELETE /folders/data/delete-files", {"files": ["a"], "recursive": True}),
        (0, "POST /folders/data/clone", {"target_name": "copy", "cloneable": True}),
        (0, "POST /folders/data/update-options", {"cloneable": True, "permission": "ro"}),
        (0, "POST /folders/data/rename", {"new_name": "data2"}),
        (0, "POST /folders/data/share", {"emails": ["a"], "permission": "rw"}),
        (0, "POST /folders/invitations/accept", {"inv_id": "a"}),
        (0, "DELETE /folders/data", ""),
        (0, "GET /events/session?sessionName=*", ""),
        (0, "GET /events/background-task?taskId=a", ""),
        (0, "POST /user-config/dotfiles", {"path": ".bashrc", "data": "x", "permission": "644"}),
        (0, "GET /user-config/dotfiles", ""),
        (0, "POST /resource/check-presets", {"scaling_group": "default", "group": "default"}),
        (0, "POST /template/session", {"payload": json.dumps([TEMPLATE])}),
        (0, "GET /template/session", ""),
        (0, "POST /session/_/create-from-template", {"template_id": "a", "name": "lab3"}),
        (0, "POST /auth", {"echo": "a"}),
        (0, "GET /auth/ssh-keypair", ""),
        (0, "GET /", ""),
    ]
    form = encode_part_head("a/b", BOUNDARY) + b"x" + part_end(BOUNDARY, last=True)
    found = {
        f"{number:02}": chosen(f"{line}\napplication/json\n{json.dumps(body) if body else ''}", era)
        for number, (era, line, body) in enumerate(calls)
    }
    return found | {
        "form": chosen(
            f"POST /folders/data/upload\nmultipart/form-data; boundary={BOUNDARY}\n".encode()
            + form,
            1,
        ),
        "cut-short": chosen('POST /auth\napplication/json\n{"echo": 1}', 0, 0, 3),
        "unsigned": chosen('POST /folders\napplication/json\n{"name": "x"}', 0, 1),
        "patch": chosen("PATCH /storage/upload?token=a\napplication/offset+octet-stream\nhello"),
    }


def filters() -> Seeds:
    return {
        "compare": chosen('status == "RUNNING" & (num >= 2 | !name contains "lab")', 0),
        "in": chosen('name in ["a", "b"] | created_at == null', 0),
        "like": chosen('name ilike "%LAB_%"', 0),
        "many-percents": chosen('name like "%b%b%b%b%b%b%b%b%b%c"', 0),
        "order": chosen("-num,+name,-num", 1),
    }
