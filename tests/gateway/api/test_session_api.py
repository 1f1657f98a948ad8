"""The API of 20.03 and later, byte by byte, and the greeting of all eras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backendai_trio import GatewayOptions, open_gateway
from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.wire.versions import TRANSITION

from .raw_client import Raw, exchange


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


@pytest.mark.parametrize("path", ["/session/", "/session/x/", "/folders/", "/v2/kernel/x/"])
async def test_nothing_is_redirected(gateway: Gateway, path: str) -> None:
    """Nor is the client's Host header repeated to it."""
    for method in ("GET", "POST"):
        head = f"{method} {path} HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n"
        answer = await exchange(gateway, head.encode())
        assert (answer.status, answer.kind) == (404, "generic-not-found")
        assert b"elsewhere" not in answer.body


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
    for searched, found in (("lab", ["lab1"]), (session_id[:8], ["lab1"]), ("lab10", [])):
        matches = (await session("GET", f"/session/_/match?id={searched}")).json()["matches"]
        assert [match["name"] for match in matches] == found
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


@pytest.mark.parametrize("limits", [GatewayLimits(max_body_bytes=1000, max_create_bytes=500)])
@pytest.mark.parametrize(("path", "limit"), [("/auth", 1000), ("/session", 500)])
async def test_body_that_is_too_large(session: Raw, path: str, limit: int) -> None:
    answer = await session("POST", path, b" " * (limit + 1))
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert f"more than {limit:,} bytes" in answer.json()["msg"]
    assert (await session("POST", "/auth", {"echo": "x"})).status == 200
