"""Seeds of the API's messages."""

from __future__ import annotations

import json

from backendai_trio.wire.events import KEEPALIVE, Message, SessionEvent, encode_message
from backendai_trio.wire.execution import ExecuteReply, ExecuteRequest
from backendai_trio.wire.kernel_spec import KernelSpec
from backendai_trio.wire.kernels import CreateRequest
from backendai_trio.wire.manager_streams import Resize, Stdin, encode_typed, encode_typed_out
from backendai_trio.wire.resumable import (
    Ack,
    Control,
    EndOfInput,
    Input,
    InputSeen,
    Mark,
    Output,
    encode_frame,
    encode_record,
)
from backendai_trio.wire.versions import SESSION_6

from ..targets.http import ACCESS_KEY
from ..targets.messages import DECODERS
from .chosen import Seeds, chosen

TEMPLATE: dict[str, object] = {
    "template": {
        "apiVersion": "6",
        "kind": "taskTemplate",
        "metadata": {"name": "t"},
        "spec": {"kernel": {"image": "python", "environ": {"A": "b"}}, "mounts": {"data": "d"}},
    }
}


_BODIES: dict[str, object] = {
    "graphql": {"query": "{agents{id}}", "variables": {"status": None}},
    "paths": {"files": ["a", "b/c"]},
    "mkdir": {"path": "a/b", "parents": True, "exist_ok": False},
    "remove": {"files": ["a"], "recursive": True},
    "move": {"src": "a", "dst": "b"},
    "rename": {"target_path": "a/b", "new_name": "c"},
    "file": {"file": "a", "archive": True},
    "archive": {"files": ["a"], "name": "b.zip"},
    "create folder": {"name": "data", "host": "local", "usage_mode": "general", "quota": "10"},
    "clone": {"target_name": "copy", "target_host": "local", "cloneable": True},
    "options": {"cloneable": True, "permission": "ro"},
    "invite": {"perm": "rw", "emails": ["a@b.c"]},
    "login": {"username": "a", "password": "b", "otp": "123456"},
    "service": {"app": "jupyter", "port": 8080, "arguments": "{}", "envs": "{}"},
    "batch job": {"sessionType": "batch", "startupCommand": "true", "config": {}},
    "service options": {"arguments": '{"--a": "b"}', "envs": '{"A": "b"}'},
    "shutdown": {"service_name": "sshd"},
    "hello": {"version": "v6.20200815", "manager": "20.09.0"},
    "info": {"lang": "python", "status": "RUNNING", "age": 1000, "memoryLimit": 1024},
    "created": {"sessionId": "token", "created": True, "status": "RUNNING", "servicePorts": []},
    "statistics": {"stats": {"cpu_used": 1.5, "mem_max_bytes": 1024}},
    "answer": {"data": {"agents": []}, "errors": [{"message": "no permission"}]},
    "listing": {"files": '[{"mode": "-rw-r--r--", "size": 1, "filename": "a"}]', "errors": ""},
    "digests": {"files": [["a", 1, "0" * 64]]},
    "ticket": {"token": "abc", "url": "http://127.0.0.1:6021/upload"},
    "cloned": {"id": "a", "name": "b", "bgtask_id": "c"},
    "hosts": {"default": "local", "allowed": ["local"]},
    "types": ["user", "group"],
    "apps": [{"name": "jupyter", "protocol": "http", "ports": [8080]}],
    "matches": {"matches": [{"id": "a", "name": "b", "status": "RUNNING"}]},
    "dotfiles": [{"path": ".bashrc", "perm": "644", "data": "x"}],
    "announcement": {"enabled": True, "message": "hello"},
    "keypair": {"ssh_public_key": "ssh-rsa A", "ssh_private_key": "B"},
    "login reply": {"authenticated": True, "data": {"access_key": ACCESS_KEY}},
    "service address": {"token": "a", "wsproxy_addr": "http://127.0.0.1:5050"},
    "presets": {"group": "default", "scaling_group": "default"},
    "cluster": {"keypair_limits": {"cpu": "4"}, "presets": [], "scaling_groups": {}},
    "limits": {"keypair_resource_policy": {"max_concurrent_sessions": 5}},
    "folder": {"name": "a", "id": "b", "host": "local", "permission": "rw", "numFiles": 3},
    "invitation": {"id": "a", "inviter": "b", "vfolder_name": "c", "perm": "ro"},
    "session": {"session_id": "a", "name": "b", "status": "RUNNING", "image": "c"},
    "state": {"compute_session": {"status": "PENDING", "status_data": "{}"}},
    "containers": {"compute_session": {"containers": [{"id": "a", "cluster_idx": 1}]}},
    "projects": {"user": {"groups": [{"id": "a", "name": "default"}]}},
    "status": {"scheduler": {"failed_predicates": [{"name": "a", "msg": "b"}], "retries": 3}},
    "template": {"payload": json.dumps([TEMPLATE]), "group": "default"},
    "templates": [{"id": "a", "name": "t", "group_name": "default", **TEMPLATE}],
    "template made": [{"id": "a", "user": "b"}],
    "problem": {"type": "https://api.backend.ai/probs/x", "title": "x", "msg": "y"},
    "task": {"task_id": "a", "current_progress": 1, "total_progress": 2, "message": "x"},
}


def json_bodies() -> Seeds:
    reply = ExecuteReply("finished", "run", (("stdout", "hi"), ("media", ("image/png", "AA=="))))
    raw = {
        "execute": ExecuteRequest("query", "run", "print(1)", {"tty": [24, 80]}).encode(),
        "execution": reply.encode(),
        "create": CreateRequest("token", KernelSpec(runtime="python")).encode(SESSION_6),
    }
    names = list(DECODERS)
    found = {}
    for name in names:
        body = raw.get(name) or json.dumps(_BODIES[name]).encode()
        found[name.replace(" ", "-")] = chosen(body, names.index(name))
    return found


def websocket_messages() -> Seeds:
    frames: dict[str, tuple[int, str | bytes]] = {
        "input": (0, encode_frame(Input(7, b"typed"))),
        "ack": (0, encode_frame(Ack(9))),
        "eof": (0, encode_frame(EndOfInput(12))),
        "control": (0, encode_frame(Control({"resize": [24, 80], "interrupts": 1}))),
        "output": (1, encode_frame(Output("stderr", 5, b"hello"))),
        "mark": (1, encode_frame(Mark(6, {"status": "finished", "exitCode": 0}))),
        "input-seen": (1, encode_frame(InputSeen(5))),
        "stdin": (2, encode_typed(Stdin(b"ls\r"))),
        "resize": (2, encode_typed(Resize(24, 80))),
        "out": (3, encode_typed_out(b"hello\r\n")),
        "start": (4, json.dumps({"mode": "query", "code": "1", "options": {}})),
        "reply": (5, json.dumps({"status": "finished", "console": [["stdout", "x"]]})),
        "records": (7, encode_record("html", "<b>") + encode_record("media", ["image/png", "A"])),
    }
    return {
        name: chosen(frame, kind, isinstance(frame, str)) for name, (kind, frame) in frames.items()
    }


def event_streams() -> Seeds:
    event = SessionEvent("session_started", "id", "token", "user-requested", 0)
    close = encode_message(Message("server_close", "{}"))
    crlf = b"retry: 500\r\nevent: x\r\ndata: a\r\ndata: b\r\n\r\n"
    return {
        "session": chosen(event.encode(SESSION_6) + KEEPALIVE + close),
        "lines": chosen(crlf),
        "returns": chosen(crlf.replace(b"\r\n", b"\r"), 2, 5, 0, 9, 0),
        "mark": chosen(b"\xef\xbb\xbfdata:x\n\n: comment\nid: 3\ndata\n\n"),
        "task": chosen(b'event: bgtask_done\ndata: {"task_id": "a", "message": ""}\n\n'),
    }
