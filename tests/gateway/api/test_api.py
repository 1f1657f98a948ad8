"""The gateway's API as foreign clients see it: requests and replies byte by byte."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio

from backendai_trio import (
    Finished,
    GatewayError,
    GatewayOptions,
    InputRequest,
    KernelSpec,
    QuotaExceeded,
    attach_kernel,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.gateway.refusals import refusal_of
from backendai_trio.gateway.storage.database import EndedSession, KeyPair, SqliteStore
from backendai_trio.wire.signing import Signed, sign
from backendai_trio.wire.versions import SEED, SESSION_6, TRANSITION, Era

PROBS = "https://api.backend.ai/probs/"
BOUNDARY = "XXboundaryXX"


@dataclass
class Answer:
    """A reply as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.json()["result"]
        return result

    @property
    def kind(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        text: str = self.json()["type"]
        assert text.startswith(PROBS)
        return text.removeprefix(PROBS)


@dataclass
class Raw:
    """Sends what it is told, signed as client 1.1.1 would."""

    gateway: Gateway
    version: str
    scheme: str = "BackendAI"
    prefix: str = "X-BackendAI"

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = b"",
        *,
        content_type: str | None = None,
        version: str | None = None,
        stop_after: int | None = None,
    ) -> Answer:
        """Send a request on a connection of its own; every reply must be framed by its length."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            content_type = content_type or "application/json"
        content_type = content_type or "application/octet-stream"
        version = version or self.version
        endpoint = self.gateway.config.endpoint
        date = datetime.now(UTC).isoformat()
        header = f"{self.prefix}-Version"
        authorization = sign(
            Signed(
                method,
                path,
                date,
                endpoint.host_header,
                content_type,
                version,
                header.lower(),
                body,
            ),
            access_key=self.gateway.config.access_key,
            secret_key=self.gateway.config.secret_key,
        )
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {endpoint.host_header}\r\nDate: {date}\r\n"
            f"{header}: {version}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Authorization: {self.scheme}{authorization.removeprefix('BackendAI')}\r\n"
            "Connection: close\r\n\r\n"
        )
        return await exchange(self.gateway, head.encode() + body[:stop_after])


async def exchange(gateway: Gateway, request: bytes) -> Answer:
    async with await trio.open_tcp_stream("127.0.0.1", gateway.config.endpoint.port) as stream:
        await stream.send_all(request)
        data = b""
        async for chunk in stream:
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    # Client 1.1.1 requires both in every reply (docs/protocol.md, section 12, item 2).
    assert "content-type" in headers
    assert int(headers["content-length"]) == len(body)
    assert "transfer-encoding" not in headers
    return Answer(int(first.split()[1]), headers, body)


@pytest.fixture
def seed(gateway: Gateway) -> Raw:
    """As client 1.1.1 speaks."""
    return Raw(gateway, "v2.20170315")


@pytest.fixture
def session(gateway: Gateway) -> Raw:
    """As clients from 20.09 on speak."""
    return Raw(gateway, "v6.20200815")


# --- greeting ------------------------------------------------------------------------------------


async def test_greeting_needs_no_signature(gateway: Gateway) -> None:
    for path, version in (("/", "v6.20200815"), ("/v2", "v6.20200815")):
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        answer = await exchange(gateway, request)
        assert answer.status == 200
        assert answer.json()["version"] == version


async def test_unsigned_requests_are_refused(gateway: Gateway) -> None:
    request = b"GET /session/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await exchange(gateway, request)
    assert answer.status == 400
    assert answer.kind == "invalid-auth-params"


# --- the seed's API ------------------------------------------------------------------------------


async def create(raw: Raw, lang: str = "python3", token: str = "mysession01") -> Answer:
    config = {"mounts": None, "envs": {"GREETING": "hi"}}
    body = {"lang": lang, "clientSessionToken": token, "config": config}
    return await raw("POST", "/v2/kernel/create", body)


async def test_seed_creates_and_joins_with_201(seed: Raw) -> None:
    answer = await create(seed)
    assert answer.status == 201
    assert answer.json() == {"kernelId": "mysession01", "created": True}
    answer = await create(seed)
    assert answer.status == 201
    assert answer.json() == {"kernelId": "mysession01", "created": False}


async def test_seed_environment_is_called_envs(seed: Raw) -> None:
    await create(seed)
    code = "import os; print(os.environ['GREETING'])"
    result = await seed_run(seed, "query", code)
    assert result["console"] == [["stdout", "hi\n"]]
    # Null is a normal value for it.
    body: object = {"lang": "python3", "clientSessionToken": "another01", "config": {"envs": None}}
    assert (await seed("POST", "/v2/kernel/create", body)).status == 201


async def test_sorna_names_are_taken(gateway: Gateway) -> None:
    raw = Raw(gateway, "v2.20170315", scheme="Sorna", prefix="X-Sorna")
    assert (await create(raw)).status == 201


async def seed_run(
    seed: Raw, mode: str, code: str, answers: tuple[str, ...] = (), options: object = None
) -> dict[str, Any]:
    """The loop of client 1.1.1: always the same mode, options and run id.

    Source: docs/protocol.md, section 4.5."""
    rest = list(answers)
    console: list[list[str]] = []
    while True:
        body: dict[str, object] = {"mode": mode, "code": code, "runId": "0123456789abcdef"}
        if mode == "batch":
            body["options"] = options or {"build": "*", "buildLog": False, "exec": "*"}
        answer = await seed("POST", "/v2/kernel/mysession01", body)
        assert answer.status == 200
        result = answer.result
        # It indexes these without a thought.
        assert isinstance(result["console"], list)
        result["options"].get("is_password")
        assert result["runId"] == "0123456789abcdef"
        for kind, text in result["console"]:
            if console and console[-1][0] == kind:
                console[-1][1] += text
            else:
                console.append([kind, text])
        if result["status"] == "finished":
            return result | {"console": console, "left": rest}
        match result["status"]:
            case "continued":
                code = ""
            case "build-finished" | "clean-finished":
                console.append(["status", result["status"]])
            case "waiting-input":
                code = rest.pop(0)


async def test_seed_client_repeats_its_mode(seed: Raw) -> None:
    await create(seed)
    code = "import getpass\nprint(input('name? '))\nprint(getpass.getpass('word? '))"
    result = await seed_run(seed, "query", code, ("query", "batch"))
    assert result["console"] == [["stdout", "name? query\nword? batch\n"]]
    assert result["left"] == []
    # The id is forgotten: the same one is a new run.
    result = await seed_run(seed, "query", "print('again')")
    assert result["console"] == [["stdout", "again\n"]]


async def test_seed_batch(seed: Raw) -> None:
    await create(seed)
    assert (
        await upload(seed, "/v2/kernel/mysession01", ("main.py", b"print(input())"))
    ).status == 204
    options = {"build": "echo built", "buildLog": True, "exec": "*"}
    result = await seed_run(seed, "batch", "", ("typed",), options)
    assert result["console"] == [
        ["stdout", "built\n"],
        ["status", "build-finished"],
        ["stdout", "typed\n"],
    ]
    assert result["exitCode"] == 0


async def test_seed_info_restart_interrupt_logs(seed: Raw) -> None:
    await create(seed)
    info = (await seed("GET", "/v2/kernel/mysession01")).json()
    assert info["lang"] == "python"
    for name in ("age", "queryTimeout", "idleTimeout", "memoryLimit", "maxCpuCredit",
                 "numQueriesExecuted", "idle", "memoryUsed", "cpuCreditUsed"):  # fmt: skip
        assert isinstance(info[name], int | float)
    for method, tail in (("PATCH", ""), ("POST", "/interrupt")):
        answer = await seed(method, f"/v2/kernel/mysession01{tail}")
        assert (answer.status, answer.body) == (204, b"")
    assert (await seed("GET", "/v2/kernel/mysession01/logs")).json() == {"result": {"logs": ""}}


async def test_seed_completion(seed: Raw) -> None:
    await create(seed)
    body = {"code": "pri", "options": {"row": 0, "col": 3, "line": "pri", "post": ""}}
    answer = await seed("POST", "/v2/kernel/mysession01/complete", body)
    assert "print" in answer.result["completions"]
    body |= {"mode": "complete"}
    answer = await seed("POST", "/v2/kernel/mysession01", body)
    assert "print" in answer.result["completions"]


async def test_seed_destroy(seed: Raw) -> None:
    await create(seed)
    answer = await seed("DELETE", "/v2/kernel/mysession01")
    assert answer.status == 200
    stats = answer.json()["stats"]
    # Client 1.1.1 prints them with int().
    assert all(isinstance(value, int) for value in stats.values())
    assert {"cpu_used", "mem_max_bytes", "io_read_bytes"} <= set(stats)
    answer = await seed("DELETE", "/v2/kernel/mysession01")
    assert answer.status == 200
    assert answer.json() == {"stats": None}


async def test_seed_authorize_has_a_body(seed: Raw) -> None:
    answer = await seed("GET", "/v2/authorize", {"echo": "hello"})
    assert answer.status == 200
    assert answer.json() == {"authorized": "yes", "echo": "hello"}
    assert (await seed("GET", "/v2/authorize", b"no json")).status == 400


async def test_seed_problems_have_their_detail_in_the_title(seed: Raw) -> None:
    answer = await create(seed, lang="cobol")
    assert answer.status == 404
    assert answer.kind == "image-not-found"
    assert set(answer.json()) == {"type", "title"}
    assert "cobol" in answer.json()["title"]
    for method, path, body, status in (
        ("GET", "/v2/kernel/nothere", b"", 404),
        ("GET", "/v2/nothing/here", b"", 404),
        ("PUT", "/v2/kernel/nothere", b"", 405),
        ("POST", "/v2/kernel/create", b"{", 400),
        ("POST", "/v2/kernel/create", b"[]", 400),
        ("POST", "/v2/kernel/create", b'{"lang": 1, "clientSessionToken": "abcd"}', 400),
        ("POST", "/v2/kernel/create", b'{"lang": "python", "clientSessionToken": "a/b"}', 400),
    ):
        answer = await seed(method, path, body, content_type="application/json")
        assert answer.status == status, (method, path, body)
        assert answer.kind


async def test_seed_clients_async_upload_sends_mixed_and_signs_form_data(gateway: Gateway) -> None:
    """docs/protocol.md, section 5.1: the wire type is multipart/mixed, the signed one
    multipart/form-data."""
    seed = Raw(gateway, "v2.20170315")
    await create(seed)
    body = form(("main.py", b"print(1)"), disposition="attachment")
    endpoint, date = gateway.config.endpoint, datetime.now(UTC).isoformat()
    path = "/v2/kernel/mysession01/upload"
    authorization = sign(
        Signed("POST", path, date, endpoint.host_header, "multipart/form-data", seed.version),
        access_key=gateway.config.access_key,
        secret_key=gateway.config.secret_key,
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {endpoint.host_header}\r\nDate: {date}\r\n"
        f"X-BackendAI-Version: {seed.version}\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: multipart/mixed; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    assert (await exchange(gateway, head.encode() + body)).status == 204


# --- the API of 20.03 and later ------------------------------------------------------------------


async def test_session_api(session: Raw) -> None:
    wanted = {"name": "lab1", "image": "python", "config": {"environ": {"A": "1"}}}
    answer = await session("POST", "/session", wanted)
    assert answer.status == 201
    reply = answer.json()
    assert (reply["sessionName"], reply["status"], reply["created"]) == ("lab1", "RUNNING", True)
    assert reply["servicePorts"] == []
    session_id = reply["sessionId"]
    # Joined: 200, and by its aliases too.
    old = {"clientSessionToken": "lab1", "lang": "python3"}
    answer = await session("POST", "/session/_/create", old)
    assert (answer.status, answer.json()["created"]) == (200, False)
    answer = await session("POST", "/session", wanted | {"reuseIfExists": False})
    assert (answer.status, answer.kind) == (400, "session-already-exists")
    for name in ("lab1", session_id):
        info = (await session("GET", f"/session/{name}")).json()
        assert (info["status"], info["statusInfo"], info["image"]) == ("RUNNING", "None", "python")
    stats = (await session("DELETE", "/session/lab1")).json()["stats"]
    assert stats["cpu_used"]["unit_hint"] == "msec"
    answer = await session("DELETE", "/session/lab1")
    assert (answer.status, answer.kind) == (404, "session-not-found")


@pytest.mark.parametrize("spelling", ["runId", "run_id"])
async def test_either_spelling_of_the_run_id(session: Raw, spelling: str) -> None:
    await session("POST", "/session", {"name": "lab1", "image": "python"})

    async def poll(mode: str, code: str = "") -> dict[str, Any]:
        body = {"mode": mode, "code": code, spelling: "r1"}
        return (await session("POST", "/session/lab1", body)).result

    result = await poll("query", "print(input('? '))")
    while result["status"] == "continued":
        result = await poll("continue")
    assert (result["status"], result["runId"]) == ("waiting-input", "r1")
    assert result["options"] == {"is_password": False}
    result = await poll("input", "answer")
    console = result["console"]
    while result["status"] == "continued":
        result = await poll("continue")
        console += result["console"]
    assert (result["status"], result["exitCode"]) == ("finished", 0)
    assert console == [["stdout", "answer\n"]]


async def test_server_chooses_a_run_id(session: Raw) -> None:
    await session("POST", "/session", {"name": "lab1", "image": "python"})
    body = {"mode": "query", "code": "input()", "runId": None}
    result = (await session("POST", "/session/lab1", body)).result
    assert result["runId"]
    answer = await session("POST", "/session/lab1", {"mode": "continue", "runId": "unheard-of"})
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    bad: list[object] = [
        {"mode": "dance"},
        {"mode": 1},
        {"runId": 7},
        {"options": []},
        {"code": {}},
    ]
    for wrong in bad:
        answer = await session("POST", "/session/lab1", wrong)
        assert (answer.status, answer.kind) == (400, "invalid-api-params"), wrong


async def test_end_of_a_run_is_told_again(session: Raw) -> None:
    """The reply that told it may have been lost on its way."""
    await session("POST", "/session", {"name": "lab1", "image": "python"})
    body = {"mode": "query", "code": "raise SystemExit(3)", "runId": "r1"}
    result = (await session("POST", "/session/lab1", body)).result
    while result["status"] == "continued":
        result = (await session("POST", "/session/lab1", body | {"mode": "continue"})).result
    assert (result["status"], result["exitCode"]) == ("finished", 3)
    result = (await session("POST", "/session/lab1", body | {"mode": "continue"})).result
    assert (result["status"], result["exitCode"]) == ("finished", 3)


@pytest.mark.parametrize("version", ["v7.20990101", "v6", "nonsense"])
async def test_unknown_versions_are_refused(session: Raw, version: str) -> None:
    answer = await session("GET", "/session/lab1", version=version)
    assert (answer.status, answer.kind) == (400, "generic-bad-request")
    assert "v6.20200815" in answer.body.decode()


async def test_version_5_is_spoken_beside_6(session: Raw) -> None:
    answer = await session(
        "POST", "/session", {"name": "lab1", "image": "python"}, version="v5.20191215"
    )
    assert answer.status == 201


async def test_version_4_is_spoken_beside_6(session: Raw) -> None:
    """In the path it is `/kernel`; what both have goes by the version in the header."""
    version = "v4.20190615"
    body = {"lang": "python", "clientSessionToken": "lab1", "config": {}}
    made = await session("POST", "/kernel/create", body, version=version)
    assert (made.status, made.json()["kernelId"]) == (201, "lab1")
    assert (await session("GET", "/kernel/lab1", version=version)).status == 200
    missing = await session("GET", "/kernel/lab2", version=version)
    assert (missing.status, missing.kind) == (404, "kernel-not-found")
    for own in ("v4.20181215", "v6.20200815"):
        assert (await session("GET", "/folders", version=own)).json() == []


async def test_authorization_test(session: Raw) -> None:
    for method, path in (("GET", "/auth"), ("POST", "/auth"), ("POST", "/auth/test")):
        answer = await session(method, path, {"echo": "x"})
        assert answer.json() == {"authorized": "yes", "echo": "x"}


async def test_head_and_body_of_all_sorts_of_errors(session: Raw) -> None:
    for method, path in (("GET", "/nothing"), ("PUT", "/session"), ("DELETE", "/"), ("GET", "//")):
        answer = await session(method, path)
        assert answer.status in (404, 405)
        assert answer.kind
        assert answer.json()["title"]


async def test_detail_of_problems_is_apart(session: Raw) -> None:
    answer = await session("POST", "/session", {"name": "lab1", "image": "cobol"})
    problem = answer.json()
    assert (answer.status, answer.kind) == (404, "image-not-found")
    assert "cobol" not in problem["title"]
    assert "cobol" in problem["msg"]


async def test_only_the_asked_for_eras_are_served(gateway_parent: Path) -> None:
    async with open_gateway(GatewayOptions(eras=(TRANSITION,))) as gateway:
        raw = Raw(gateway, "v4.20190615")
        body = {"lang": "python", "clientSessionToken": "lab1", "config": {}}
        assert (await raw("POST", "/kernel/create", body)).status == 201
        assert (await raw("GET", "/session/lab1")).status == 404
        assert (await raw("GET", "/v2/kernel/lab1")).status == 404


# --- GraphQL -------------------------------------------------------------------------------------


PS = (
    "query($status:String) {"
    "  compute_sessions(status:$status) {"
    "    id lang created_at terminated_at status mem_slot cpu_slot gpu_slot"
    "  }"
    "}"
)


async def test_graphql_as_client_111_asks(seed: Raw) -> None:
    await create(seed)
    # The variable `ak` is sent and not declared.
    body = {"query": PS, "variables": {"status": "RUNNING", "ak": None}}
    answer = await seed("POST", "/v2/admin/graphql", body)
    assert answer.status == 200
    # The bare data object; the client prints the values in the order of its query.
    (row,) = answer.json()["compute_sessions"]
    assert list(row) == [
        "id", "lang", "created_at", "terminated_at", "status", "mem_slot", "cpu_slot", "gpu_slot",
    ]  # fmt: skip
    assert (row["lang"], row["status"]) == ("python", "RUNNING")
    query = PS.replace("{  compute", "{ compute").replace("mem_slot cpu_slot", "cpu_slot mem_slot")
    (row,) = (await seed("POST", "/v2/admin/graphql", body | {"query": query})).json()[
        "compute_sessions"
    ]
    assert list(row)[-3:] == ["cpu_slot", "mem_slot", "gpu_slot"]
    body["variables"] = {"status": "TERMINATED"}
    assert (await seed("POST", "/v2/admin/graphql", body)).json() == {"compute_sessions": []}


async def test_graphql_of_another_access_key_is_empty(seed: Raw) -> None:
    await create(seed)
    query = "query($ak:String) { compute_sessions(access_key:$ak) { sess_id } }"
    body = {"query": query, "variables": {"ak": "AKIAOTHER00000000000"}}
    assert (await seed("POST", "/v2/admin/graphql", body)).json() == {"compute_sessions": []}
    body["variables"] = {"ak": seed.gateway.config.access_key}
    rows = (await seed("POST", "/v2/admin/graphql", body)).json()["compute_sessions"]
    assert rows == [{"sess_id": "mysession01"}]


async def test_graphql_vfolders(seed: Raw) -> None:
    body = {"query": "query { vfolders { name created_at last_used max_files max_size } }"}
    assert (await seed("POST", "/v2/admin/graphql", body)).json() == {"vfolders": []}


async def test_graphql_pages(session: Raw) -> None:
    for number in range(5):
        await session("POST", "/session", {"name": f"lab{number}", "image": "python"})
    query = (
        "query($limit:Int!, $offset:Int!, $status:String) {"
        " compute_session_list(limit:$limit, offset:$offset, status:$status)"
        " { items { name status session_id } total_count } }"
    )

    async def page(limit: int, offset: int, status: str | None) -> dict[str, Any]:
        variables = {"limit": limit, "offset": offset, "status": status}
        body = {"query": query, "variables": variables}
        answer = await session("POST", "/admin/graphql", body)
        found: dict[str, Any] = answer.json()["compute_session_list"]
        return found

    found = await page(2, 1, "RUNNING,PENDING")
    assert [row["name"] for row in found["items"]] == ["lab3", "lab2"]
    assert found["total_count"] == 5
    assert (await page(2, 9, None))["items"] == []
    assert (await page(2, 0, "TERMINATED"))["total_count"] == 0
    await session("DELETE", "/session/lab4")
    assert [row["name"] for row in (await page(9, 0, "TERMINATED"))["items"]] == ["lab4"]
    assert (await page(9, 0, None))["total_count"] == 5


async def test_graphql_errors(seed: Raw, session: Raw) -> None:
    body = {"query": "query { nonsense }"}
    answer = await session("POST", "/admin/graphql", body)
    assert (answer.status, answer.kind) == (400, "graphql-error")
    assert "nonsense" in answer.body.decode()
    answer = await seed("POST", "/v2/admin/graphql", body)
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    for wrong in ({"query": "{"}, {"query": 1}, {}, {"query": "{vfolders{id}}", "variables": []}):
        assert (await session("POST", "/admin/graphql", wrong)).status == 400


# --- uploads -------------------------------------------------------------------------------------


def form(*files: tuple[str, bytes], disposition: str = "form-data", end: bool = True) -> bytes:
    """A form with these file names put in as they are."""
    body = b""
    for name, data in files:
        body += (
            f"--{BOUNDARY}\r\n"
            f'Content-Disposition: {disposition}; name="src"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode("utf-8", "surrogateescape")
        body += data + b"\r\n"
    return body + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


async def upload(raw: Raw, kernel: str, *files: tuple[str, bytes]) -> Answer:
    return await upload_form(raw, kernel, form(*files))


async def upload_form(raw: Raw, kernel: str, body: bytes) -> Answer:
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    return await raw("POST", f"{kernel}/upload", body, content_type=content_type)


@pytest.fixture
async def work(gateway: Gateway, gateway_parent: Path, session: Raw) -> Path:
    """The work folder of a kernel called lab1."""
    assert (await session("POST", "/session", {"name": "lab1", "image": "python"})).status == 201
    return work_folder(gateway_parent)


def work_folder(gateway_parent: Path) -> Path:
    """Of the only kernel there is."""
    (folder,) = gateway_parent.glob("*/*/work")
    return folder


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_upload(session: Raw, work: Path) -> None:
    files = [("main.py", b"print(1)\r\n"), ("deep/er/ünï.txt", b""), ("binary", bytes(range(256)))]
    answer = await upload(session, "/session/lab1", *files)
    assert (answer.status, answer.body) == (204, b"")
    assert files_below(work) == ["binary", "deep/er/ünï.txt", "main.py"]
    for name, data in files:
        assert (work / name).read_bytes() == data
    # Again: it replaces.
    assert (await upload(session, "/session/lab1", ("main.py", b"2"))).status == 204
    assert (work / "main.py").read_bytes() == b"2"


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "a\\..\\evil",
        "C:evil",
        "a\x01b",
        "",
        ".",
        "a/",
        "..",
    ],
)
async def test_hostile_names_are_refused(
    session: Raw, work: Path, gateway_parent: Path, name: str
) -> None:
    before = files_below(gateway_parent)
    answer = await upload(session, "/session/lab1", ("fine", b"x"), (name, b"evil"))
    assert answer.status in (400, 500)
    assert answer.kind
    # Not the good file of that form either.
    assert files_below(gateway_parent) == before
    assert files_below(work) == []


async def test_names_that_are_no_utf8_are_refused(session: Raw, work: Path) -> None:
    answer = await upload(session, "/session/lab1", ("\udcff", b"x"))
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert files_below(work) == []


async def test_symbolic_links_of_the_kernel_lead_nowhere(
    session: Raw, work: Path, tmp_path: Path
) -> None:
    (work / "out").symlink_to(tmp_path)
    (work / "link").symlink_to(tmp_path / "target")
    answer = await upload(session, "/session/lab1", ("out/evil", b"x"))
    assert (answer.status, answer.kind) == (500, "kernel-execution-failed")
    assert not (tmp_path / "evil").exists()
    # A link in the file's own place is replaced, not followed.
    assert (await upload(session, "/session/lab1", ("link", b"x"))).status == 204
    assert not (tmp_path / "target").exists()
    assert not (work / "link").is_symlink()


async def test_half_a_form_leaves_nothing(session: Raw, work: Path, gateway_parent: Path) -> None:
    before = files_below(gateway_parent)
    whole = form(("one", b"1"), ("two", b"2"))
    answers = [
        await upload_form(session, "/session/lab1", whole[: len(whole) // 2]),
        await upload_form(session, "/session/lab1", form(("one", b"1"), end=False)),
        await upload_form(session, "/session/lab1", b"no form at all"),
        await upload_form(session, "/session/lab1", b""),
    ]
    for answer in answers:
        assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert files_below(gateway_parent) == before


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No process can write longer files: an error of the disk that needs no full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_disk_that_fails_during_an_upload(
    session: Raw, work: Path, gateway_parent: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets the cause, nothing is stored, and the gateway goes on."""
    before = files_below(gateway_parent)
    with files_of_at_most(100_000):
        answer = await upload(session, "/session/lab1", ("small", b"x"), ("large", bytes(500_000)))
    assert (answer.status, answer.kind) == (500, "internal-server-error")
    assert "'large': File too large" in answer.body.decode()
    assert files_below(gateway_parent) == before
    assert (await upload(session, "/session/lab1", ("fine", b"x"))).status == 204
    assert not [record for record in caplog.records if record.exc_info]


async def test_connection_that_breaks_during_an_upload(
    session: Raw, work: Path, gateway_parent: Path
) -> None:
    before = files_below(gateway_parent)
    body = form(("one", bytes(500_000)), ("two", bytes(500_000)))
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    endpoint, date = session.gateway.config.endpoint, datetime.now(UTC).isoformat()
    path = "/session/lab1/upload"
    authorization = sign(
        Signed("POST", path, date, endpoint.host_header, content_type, session.version),
        access_key=session.gateway.config.access_key,
        secret_key=session.gateway.config.secret_key,
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {endpoint.host_header}\r\nDate: {date}\r\n"
        f"X-BackendAI-Version: {session.version}\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with await trio.open_tcp_stream("127.0.0.1", endpoint.port) as stream:
        await stream.send_all(head.encode() + body[:700_000])
    # The gateway is well, and in the end nothing is left of it.
    while files_below(gateway_parent) != before:  # noqa: ASYNC110 (nobody tells)
        await trio.sleep(0.01)
    assert (await upload(session, "/session/lab1", ("fine", b"x"))).status == 204
    assert files_below(work) == ["fine"]


@pytest.mark.parametrize(("era", "most"), [(SEED, 19), (SESSION_6, 20)], ids=["seed", "session-6"])
async def test_limits_of_an_upload(gateway_parent: Path, era: Era, most: int) -> None:
    async with open_gateway(GatewayOptions(manager_limits=True)) as gateway:
        await check_limits(gateway_parent, gateway, era, most)


async def check_limits(gateway_parent: Path, gateway: Gateway, era: Era, most: int) -> None:
    raw = Raw(gateway, era.version)
    kernel = era.session_path("mysession01")
    await create(Raw(gateway, SEED.version))
    work = work_folder(gateway_parent)
    for count in (most + 1, 40):
        files = [(f"f{number}", b"x") for number in range(count)]
        answer = await upload(raw, kernel, *files)
        assert (answer.status, answer.kind) == (400, "invalid-api-params")
        assert "Too many files" in answer.body.decode()
        assert files_below(work) == []
    assert (await upload(raw, kernel, *files[:most])).status == 204
    assert len(files_below(work)) == most
    answer = await upload(raw, kernel, ("large", bytes(1_048_576)))
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert "Too large file" in answer.body.decode()
    assert (await upload(raw, kernel, ("largest", bytes(1_048_575)))).status == 204
    assert (work / "largest").stat().st_size == 1_048_575
    assert not (work / "large").exists()


async def test_parts_without_a_file_name_are_refused(session: Raw, work: Path) -> None:
    body = form(("x", b"1")).replace(b'; filename="x"', b"")
    answer = await upload_form(session, "/session/lab1", body)
    assert (answer.status, answer.kind) == (400, "invalid-api-params")


@pytest.mark.parametrize(
    ("number", "status", "text"),
    [
        (errno.ENOSPC, 507, "'name': No space left on device; remove files"),
        (errno.EDQUOT, 507, "'name': Disk quota exceeded; remove files"),
        (errno.EIO, 500, "'name': Input/output error"),
    ],
)
def test_answer_to_an_error_of_the_disk(number: int, status: int, text: str) -> None:
    problem = refusal_of(OSError(number, os.strerror(number), "/secret/path"), "name").problem
    assert problem.status == status
    assert problem.detail.startswith(text)
    assert "secret" not in problem.detail


# --- limits of the gateway -----------------------------------------------------------------------


@pytest.mark.parametrize("limits", [GatewayLimits(max_body_bytes=1000)])
async def test_body_that_is_too_large(session: Raw) -> None:
    answer = await session("POST", "/session", b" " * 1001)
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert (await session("POST", "/auth", {"echo": "x"})).status == 200


async def test_idle_kernel_ends() -> None:
    async with (
        open_gateway(GatewayOptions(idle_seconds=0.3)) as gateway,
        open_client(gateway.config) as client,
    ):
        await attach_kernel(client, KernelSpec(runtime="python"), token="idle")
        assert gateway.tokens() == ["idle"]
        with trio.fail_after(20):
            while gateway.tokens():  # noqa: ASYNC110 (nobody tells)
                await trio.sleep(0.02)


async def test_kernel_that_runs_code_is_not_idle() -> None:
    async with (
        open_gateway(GatewayOptions(idle_seconds=0.3)) as gateway,
        open_client(gateway.config) as client,
    ):
        kernel = await attach_kernel(client, KernelSpec(runtime="python"), token="busy")
        (session,) = gateway._sessions.running()
        async with kernel.execute("input()") as execution:
            assert await anext(execution) == InputRequest()
            # Twice, the idle time ends while the code runs, and begins anew.
            for _ in range(2):
                before = session.last_used
                while session.last_used == before:  # noqa: ASYNC110 (there is no event for it)
                    assert gateway.tokens() == ["busy"]
                    await trio.sleep(0.01)
            await execution.send_input("")
            assert [event async for event in execution] == [Finished(0)]
        assert gateway.tokens() == ["busy"]


async def test_no_more_kernels_than_allowed() -> None:
    spec = KernelSpec(runtime="python")
    async with (
        open_gateway(GatewayOptions(max_sessions=2)) as gateway,
        open_client(gateway.config) as client,
    ):
        one = await attach_kernel(client, spec, token="one")
        await attach_kernel(client, spec, token="two")
        with pytest.raises(QuotaExceeded, match="at most 2") as caught:
            async with open_kernel(client, spec):
                pass
        assert (caught.value.status, caught.value.kind) == (412, "quota-exceeded")
        assert sorted(gateway.tokens()) == ["one", "two"]
        await one.destroy()
        async with open_kernel(client, spec):
            assert len(gateway.tokens()) == 2


async def test_limit_holds_for_creates_at_once() -> None:
    refused = 0
    async with (
        open_gateway(GatewayOptions(max_sessions=3)) as gateway,
        open_client(gateway.config) as client,
    ):

        async def attach(number: int) -> None:
            nonlocal refused
            try:
                await attach_kernel(client, KernelSpec(runtime="python"), token=f"t{number}")
            except QuotaExceeded:
                refused += 1

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(attach, number)
        assert len(gateway.tokens()) == 3
        assert refused == 7


async def test_one_kernel_however_many_want_the_token_of_one_that_ends(gateway: Gateway) -> None:
    spec = KernelSpec(runtime="python")
    found: set[str] = set()
    async with open_client(gateway.config) as client:
        old = await attach_kernel(client, spec, token="abc")

        async def attach() -> None:
            found.add((await attach_kernel(client, spec, token="abc")).kernel_id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(old.destroy)
            while not found - {old.kernel_id}:
                nursery.start_soon(attach)
                await trio.sleep(0.01)
        assert len(found - {old.kernel_id}) == 1
        assert gateway.tokens() == ["abc"]
        await (await attach_kernel(client, spec, token="abc")).destroy()
    assert gateway.tokens() == []


# --- opening -------------------------------------------------------------------------------------


async def test_addresses_that_cannot_be_served(gateway: Gateway) -> None:
    taken = gateway.config.endpoint.port
    for options, message in (
        (GatewayOptions(host="0.0.0.0"), "certificate"),
        (GatewayOptions(host="::"), "certificate"),
        (GatewayOptions(host="localhost"), "not an IP address"),
        (GatewayOptions(port=taken), "cannot serve"),
        (GatewayOptions(port=70000), "cannot serve"),
        (GatewayOptions(host="203.0.113.1"), "certificate"),
    ):
        with pytest.raises(GatewayError, match=message):
            async with open_gateway(options):
                pass


async def test_everything_ends_with_the_gateway(gateway_parent: Path) -> None:
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        await attach_kernel(client, KernelSpec(runtime="python"), token="left")
        assert files_below(gateway_parent) == []
        (work_folder(gateway_parent) / "file").write_text("left")
        assert files_below(gateway_parent) != []
    assert not any(await trio.Path(gateway_parent).iterdir())


async def test_error_of_the_block_comes_out_as_it_is() -> None:
    error = ValueError("of the user")
    with pytest.raises(ValueError, match="of the user") as caught:
        async with open_gateway():
            raise error
    assert caught.value is error


# --- what it remembers ---------------------------------------------------------------------------


@pytest.fixture
async def remembering(tmp_path: Path) -> AsyncIterator[GatewayOptions]:
    """Options of a gateway that remembers."""
    yield GatewayOptions(data=tmp_path / "some" / "where")


async def test_key_pair_and_history_survive(remembering: GatewayOptions) -> None:
    async with open_gateway(remembering) as first, open_client(first.config) as client:
        kernel = await attach_kernel(client, KernelSpec(runtime="python"), token="ended")
        await kernel.destroy()
    async with open_gateway(remembering) as second:
        assert second.config.access_key == first.config.access_key
        assert second.config.secret_key == first.config.secret_key
        raw = Raw(second, SEED.version)
        query = '{ compute_sessions(status: "TERMINATED") { sess_id status terminated_at } }'
        answer = await raw("POST", "/v2/admin/graphql", {"query": query})
        (row,) = answer.json()["compute_sessions"]
        assert (row["sess_id"], row["status"]) == ("ended", "TERMINATED")
        assert row["terminated_at"]


def test_files_of_the_store_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    store = SqliteStore(folder)
    store.keypair()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert len(list(folder.iterdir())) > 1  # the write-ahead log as well
    store.close()
    store.close()


def test_key_pairs_of_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    made = store.keypair()
    assert store.keypair() == made
    assert store.secret_key_of(made.access_key) == made.secret_key
    assert store.secret_key_of("AKIAOTHER00000000000") is None
    assert made.secret_key not in repr(made)
    other = store.keypair("AKIAOTHER00000000000")
    assert other.secret_key != made.secret_key
    assert store.secret_key_of(made.access_key) == made.secret_key
    changed = store.keypair("AKIAOTHER00000000000", "s" * 40)
    assert changed == KeyPair("AKIAOTHER00000000000", "s" * 40)
    store.close()
    store = SqliteStore(tmp_path)
    assert store.keypair() == changed
    assert store.keypair(made.access_key) == made
    store.close()


def test_ended_sessions_of_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    sessions = [
        EndedSession(f"id{number}", f"token{number}", owner, "python", "2026", "2027", number)
        for number, owner in enumerate(["me", "you", "me"])
    ]
    for item in sessions:
        store.add_ended(item)
    store.close()
    store = SqliteStore(tmp_path)
    assert store.ended("me") == [sessions[2], sessions[0]]
    assert store.ended("you") == [sessions[1]]
    assert store.ended("nobody") == []
    for number in range(1100):
        store.add_ended(EndedSession(f"x{number}", "t", "many", "python", "2026", "2027", 0))
    assert len(store.ended("many")) == 1000
    store.close()


@pytest.mark.parametrize("fault", ["file-in-the-way", "no-database"])
def test_store_that_cannot_be_opened(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "data"
    if fault == "file-in-the-way":
        folder.write_text("x")
    else:
        folder.mkdir()
        (folder / "gateway.sqlite3").write_text("this is no database" * 100)
    with pytest.raises(GatewayError, match=r"gateway\.sqlite3"):
        SqliteStore(folder)
