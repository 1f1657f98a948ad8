"""The API of the seed era, byte by byte, as client 1.1.1 and older ones use it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from backendai_trio.gateway import Gateway
from backendai_trio.wire.signing import Signed, sign

from .raw_client import BOUNDARY, Raw, create, exchange, form, upload


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
