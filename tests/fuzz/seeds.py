"""Writes the seeds of the corpus: ``python -m tests.fuzz.seeds``.

They are messages as the library itself, and the clients and servers that it speaks to, write them.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from backendai_trio.files.archives import archive, sealed
from backendai_trio.wire.archives import END, Entry, encode_entry, padding
from backendai_trio.wire.events import KEEPALIVE, Message, SessionEvent, encode_message
from backendai_trio.wire.execution import ExecuteReply, ExecuteRequest
from backendai_trio.wire.kernel_spec import KernelSpec
from backendai_trio.wire.kernels import CreateRequest
from backendai_trio.wire.manager_streams import Resize, Stdin, encode_typed, encode_typed_out
from backendai_trio.wire.multipart import encode_part_head, part_end
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
from backendai_trio.wire.storage_proxy import PatchHead
from backendai_trio.wire.versions import SESSION_6

from .choices import TAIL_BYTES
from .registry import CORPUS
from .targets.archives import BOUNDARY
from .targets.http import ACCESS_KEY, SECRET_KEY
from .targets.messages import DECODERS
from .targets.uploads import TAIL_BYTES as TUS_BYTES

_Seeds = dict[str, bytes]


def chosen(message: bytes | str, *choices: int) -> bytes:
    """A seed whose harness makes these choices.

    Args:
        message: the message.
        choices: in order; those that are not given are the first.
    """
    raw = message if isinstance(message, bytes) else message.encode()
    return raw + bytes(choices).ljust(TAIL_BYTES, b"\0")


def http_responses() -> _Seeds:
    ok = b"HTTP/1.1 200 OK\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n"
    reply = ok + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    return {
        "length": chosen(reply),
        "chunks": chosen(ok + chunked + b"\r\n5;a=b\r\nhello\r\n0\r\nETag: x\r\n\r\n"),
        "until-close": chosen(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello", 0, 1),
        "early-hints": chosen(b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + reply),
        "head": chosen(b"HTTP/1.1 404 Not Found\r\nContent-Length: 20\r\n\r\n", 1),
        "no-content": chosen(b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"),
        "two-at-once": chosen(reply + reply),
        "both-framings": chosen(ok + b"Content-Length: 5\r\n" + chunked + b"\r\n0\r\n\r\n"),
    }


def signatures() -> _Seeds:
    signature = "0" * 64
    header = f"BackendAI signMethod=HMAC-SHA256, credential={ACCESS_KEY}:{signature}"
    return {
        "header": chosen(header, 0),
        "sorna": chosen(header.replace("BackendAI", "Sorna"), 0),
        "sha512": chosen(header.replace("SHA256", "SHA512"), 0),
        "method": chosen("post", 1),
        "target": chosen("/session?a=b&c=d", 2),
        "date": chosen("Mon, 30 Nov 2026 12:00:00 GMT", 3),
        "date-zone": chosen("2026-11-30T21:00:00.123456+09:00", 3),
        "host": chosen("manager.example.com", 4),
        "type": chosen("multipart/form-data", 5),
        "version": chosen("v6.20200815", 6),
        "body": chosen('{"a": 2}', 7),
        "key": chosen("AKIAIOSFODNN7EXAMPLF", 8),
    }


def content_codings() -> _Seeds:
    text = b"hello " * 20
    raw = zlib.compressobj(wbits=-15)
    return {
        "gzip": chosen(gzip.compress(text, mtime=0), 0),
        "members": chosen(gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0), 0, 1, 9),
        "zlib": chosen(zlib.compress(text), 1),
        "deflate": chosen(raw.compress(text) + raw.flush(), 1),
        "bomb": chosen(gzip.compress(bytes(2_000_000), mtime=0), 0),
        "identity": chosen(text, 2),
    }


_TEMPLATE: dict[str, object] = {
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
    "template": {"payload": json.dumps([_TEMPLATE]), "group": "default"},
    "templates": [{"id": "a", "name": "t", "group_name": "default", **_TEMPLATE}],
    "template made": [{"id": "a", "user": "b"}],
    "problem": {"type": "https://api.backend.ai/probs/x", "title": "x", "msg": "y"},
    "task": {"task_id": "a", "current_progress": 1, "total_progress": 2, "message": "x"},
}


def json_bodies() -> _Seeds:
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


def websocket_messages() -> _Seeds:
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


def event_streams() -> _Seeds:
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


def tar_archives() -> _Seeds:
    with TemporaryDirectory() as made:
        folder = Path(made) / "folder"
        folder.mkdir()
        (folder / "file").write_bytes(b"hello")
        (folder / ("long" * 30)).write_bytes(b"x")
        (folder / "link").symlink_to("file")
        for path in (*folder.iterdir(), folder):
            os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
        whole = b"".join(sealed(archive([(folder, "folder")])))
    linked = encode_entry(Entry("a", "file", 5)) + b"hello" + padding(5)
    hard = bytearray(encode_entry(Entry("b", "symlink", target="a")))
    hard[156:157] = b"1"
    out = encode_entry(Entry("l", "symlink", target="../../outside"))
    through = encode_entry(Entry("l/x", "file", 1)) + b"x" + padding(1)
    more = encode_entry(Entry("a", "file", 3, more=True)) + b"abc" + padding(3)
    climbing = bytearray(encode_entry(Entry("aaaa", "file", 1)))
    climbing[:4] = b"../a"
    device = bytearray(encode_entry(Entry("dev", "file")))
    device[156:157] = b"3"
    pax = b"25 path=../../outside/pw\n"
    header = bytearray(encode_entry(Entry("p", "file", len(pax))))
    header[156:157] = b"x"
    # All but the first have checksums that the harness repairs.
    return {
        "sealed": chosen(whole, 1, 1, 0),
        "hard-link": chosen(linked + hard + END, 0, 0, 1),
        "link-out": chosen(out + through + END, 0, 0, 1),
        "goes-on": chosen(linked + more + END, 0, 0, 1, 1, 30),
        "climbs": chosen(bytes(climbing) + b"x" + padding(1) + END, 0, 0, 1),
        "device": chosen(bytes(device) + END, 0, 0, 1),
        "pax": chosen(bytes(header) + pax + padding(len(pax)) + out + END, 0, 0, 1),
    }


def tar_headers() -> _Seeds:
    return {
        "file": chosen(encode_entry(Entry("a", "file", 5, executable=True, modified=1))),
        "large": chosen(encode_entry(Entry("b", "file", 8**12))),
        "link": chosen(encode_entry(Entry("c", "symlink", target="a"))),
    }


def zip_archives() -> _Seeds:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(zipfile.ZipInfo("a/b"), b"hello")
    end = b"PK\x05\x06" + b"\xff" * 16 + b"\0\0"
    locator = b"PK\x06\x07" + bytes(12) + b"\x01\0\0\0"
    far = b"PK\x06\x06" + bytes(52)
    return {
        "small": buffer.getvalue(),
        "empty": end.replace(b"\xff", b"\0"),
        "64": far + locator + end,
        "disks": far + locator.replace(b"\x01", b"\x02") + end,
    }


def forms() -> _Seeds:
    def form(*files: tuple[str, bytes]) -> bytes:
        body = b""
        for number, (name, content) in enumerate(files, start=1):
            body += encode_part_head(name, BOUNDARY) + content
            body += part_end(BOUNDARY, last=number == len(files))
        return body

    climbing = form(("a/b", b"x")).replace(b"a/b", b"../../outside/secret")
    encoded = form(("a/b", b"x")).replace(b'"a/b"', b'"..%2Fb"')
    extended = form(("a", b"x")).replace(b'filename="a"', b"filename*=utf-8''%2e%2e%2fb")
    return {
        "two": chosen(form(("a", b"hello"), ("folder/b", b"\r\n--XX")), 0),
        "limited": chosen(form(("a", b"x" * 150)), 1),
        "replaces": chosen(form(("file", b"new"), ("file", b"newer")), 0, 1, 40),
        "climbs": chosen(climbing, 0),
        "encoded": chosen(encoded, 0),
        "extended": chosen(extended, 0),
        "through-a-link": chosen(form(("out/x", b"x")), 0),
        "clash": chosen(form(("b", b"x"), ("b/c", b"x")), 0),
    }


def downloads() -> _Seeds:
    packed = gzip.compress(b"hello", mtime=0)
    head = f"--{BOUNDARY}\r\nContent-Type: application/x-tar\r\nContent-Encoding: ".encode()
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    return {
        "identity": chosen(head + b"identity\r\n\r\nhello" + end),
        "gzip": chosen(head + b"gzip\r\n\r\n" + packed + end, 2, 60, 0, 90, 0),
        "two": chosen(head + b"deflate\r\n\r\n" + zlib.compress(b"a") + end[:-4] + b"\r\n" + end),
    }


def tus_uploads() -> _Seeds:
    # Size, number of steps, and for each step its kind, start and length.
    def upload(path: str, content: bytes, *steps: tuple[int, int, int]) -> bytes:
        numbers = [len(content), 0, len(steps)]
        for kind, start, length in steps:
            numbers += [kind, start, 0, length, 0]
        return path.encode() + b"\n" + content + bytes(numbers).ljust(TUS_BYTES, b"\0")

    return {
        "whole": upload("a/b", b"hello", (0, 0, 5)),
        "parts": upload("a", b"hello world", (0, 0, 5), (2, 0, 3)),
        "damaged": upload("a", b"hello world", (4, 0, 5), (3, 2, 5), (6, 0, 2)),
        "wrong-place": upload("a", b"hello", (0, 0, 2), (1, 9, 3)),
        "too-much": upload("a", b"hello", (5, 0, 0)),
        "empty": upload("a", b""),
        "climbs": upload("../outside/secret", b"hello", (0, 0, 5)),
    }


def tus_headers() -> _Seeds:
    digest = PatchHead(3, bytes(32)).encode()["Upload-Checksum"]
    return {
        "patch": chosen(f"3\n{digest}", 0),
        "state": chosen("3\n100", 1),
        "content-range": chosen("bytes 0-99/100", 2),
        "range": chosen("bytes=10-19", 3, 100),
        "suffix": chosen("bytes=-5", 3, 100),
    }


def names() -> _Seeds:
    given = [
        "a/b\nc", "deep/er", "../x", "out/x", "deep/out/secret", "/home/work/file", "up/work/file",
        "loop/x", "chain/secret", "ok/er/\nfile", ".", "\ud55c\uad6d/\u00fc", "a//./b/", "secret",
    ]  # fmt: skip
    return {
        f"{kind}-{number:02}": chosen(name, kind)
        for number, name in enumerate(given)
        for kind in (number % 10, (number + 5) % 10)
    }


def streams() -> _Seeds:
    # Number of writes; for each its kind and size; then the choices of the connections.
    return {
        "plain": bytes([3, 0, 50, 1, 20, 3, 0]),
        "breaks": bytes([4, 0, 50, 0, 9, 4, 0, 2, 30, 5, 10, 0, 10, 1, 7, 9, 2, 3, 30]),
        "again": bytes([2, 0, 59, 0, 59, 0, 20, 4, 50, 20, 2, 9, 4, 99, 0]),
    }


def hostile_streams() -> _Seeds:
    return {
        "gap": bytes(40) + bytes([0, 10, 0, 10, 0, 90, 0, 5]),
        "lost-mark": bytes(40) + bytes([0, 10, 0, 10, 3, 90, 0]),
        "backwards": bytes(40) + bytes([0, 50, 0, 50, 3, 9, 0, 4, 1, 0, 5]),
        "text": b'{"end": -1, "mark": {}}'.ljust(40) + bytes([6, 2, 0]),
    }


def dotenvs() -> _Seeds:
    plain = f"BACKEND_ENDPOINT=http://127.0.0.1:8081\nBACKEND_ACCESS_KEY={ACCESS_KEY}\n"
    plain += f"BACKEND_SECRET_KEY={SECRET_KEY}\n"
    return {
        "plain": plain.encode(),
        "export": f"export BACKEND_SECRET_KEY='{SECRET_KEY}' # mine\r\nexport A B\r\n".encode(),
        "quotes": f'A="one\nBACKEND_SECRET_KEY={SECRET_KEY}\ntwo"\n'.encode(),
        "open": f'BACKEND_SECRET_KEY="{SECRET_KEY}\n'.encode(),
        "utf-16": plain.encode("utf-16"),
        "latin-1": "NAME=\u00fc\nB=c\n".encode("latin-1"),
        "sorna": f"SORNA_ACCESS_KEY={ACCESS_KEY}\nBACKEND_VFOLDER_MOUNTS=a,b\n".encode(),
    }


def profile_files() -> _Seeds:
    text = f'[default]\nendpoint = "https://a.example"\naccess_key = "{ACCESS_KEY}"\n'
    text += f'secret_key = "{SECRET_KEY}"\n'
    return {
        "plain": text.encode(),
        "two": f'{text}\n[lab]\nendpoint = "http://[::1]:80"\nread_timeout = "3"\n'.encode(),
        "wrong-type": b"[default]\nread_timeout = 3\n",
        "not-toml": f'[default\nsecret_key = "{SECRET_KEY}"'.encode(),
        "unknown": f'[default]\nsecret = "{SECRET_KEY}"\n'.encode(),
    }


def queries() -> _Seeds:
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


def requests() -> _Seeds:
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
        (0, "POST /template/session", {"payload": json.dumps([_TEMPLATE])}),
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


def filters() -> _Seeds:
    return {
        "compare": chosen('status == "RUNNING" & (num >= 2 | !name contains "lab")', 0),
        "in": chosen('name in ["a", "b"] | created_at == null', 0),
        "like": chosen('name ilike "%LAB_%"', 0),
        "many-percents": chosen('name like "%b%b%b%b%b%b%b%b%b%c"', 0),
        "order": chosen("-num,+name,-num", 1),
    }


SEEDS = {
    "http_response": http_responses,
    "signatures": signatures,
    "content_coding": content_codings,
    "json": json_bodies,
    "websocket": websocket_messages,
    "sse": event_streams,
    "tar": tar_archives,
    "tar_header": tar_headers,
    "zip_archive": zip_archives,
    "multipart": forms,
    "parts": downloads,
    "tus": tus_uploads,
    "tus_headers": tus_headers,
    "paths": names,
    "resumable": streams,
    "resumable_hostile": hostile_streams,
    "dotenv": dotenvs,
    "profiles": profile_files,
    "requests": requests,
    "graphql": queries,
    "graphql_filter": filters,
}


def seeds() -> Iterator[tuple[Path, bytes]]:
    """Path and content of each seed."""
    for target, made in SEEDS.items():
        for name, content in made().items():
            yield CORPUS / target / f"seed-{name}", content


def main() -> None:
    """Write the seeds. Inputs that have been found are kept."""
    for old in CORPUS.glob("*/seed-*"):
        old.unlink()
    for path, content in seeds():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
