"""`proxy` of the official clients and ours, side by side before one gateway: the same answers."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..cli.commands import Commands
from ..cli.terminal import on_pipes
from ..websockets import open_vanilla_websocket
from .seed import open_seed_gateway

# Method, path, body; the kernel is made through one proxy and used through both.
REQUESTS: list[tuple[str, str, object]] = [
    ("POST", "/kernel/create", {"lang": "python", "clientSessionToken": "made-by-a-proxy"}),
    ("GET", "/kernel/made-by-a-proxy", None),
    ("POST", "/kernel/made-by-a-proxy", {"mode": "query", "code": "print(6*7)", "runId": "r1"}),
    ("POST", "/kernel/made-by-a-proxy/complete", {"code": "pri", "options": {}}),
    ("POST", "/admin/graphql", {"query": "{compute_sessions {sess_id status}}", "variables": {}}),
    ("POST", "/kernel/create", {"lang": "cobol", "clientSessionToken": "no-such-runtime"}),
    ("POST", "/kernel/create", "not an object"),
    ("GET", "/kernel/there-is-no-such", None),
    ("GET", "/authorize", {"echo": "hello"}),
    ("GET", "/nowhere/at/all", None),
    ("PUT", "/kernel/made-by-a-proxy", None),
    ("DELETE", "/kernel/made-by-a-proxy", None),
]
VOLATILE = r'("age": ?)\d+|("numQueriesExecuted": ?)\d+'


def ask(url: str, method: str, path: str, body: object) -> tuple[int, str, str]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            status, kind, text = answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            status, kind, text = exc.code, exc.headers["Content-Type"], exc.read()
    return status, kind, re.sub(VOLATILE, r"\g<1>\g<2>0", text.decode())


@contextmanager
def official_proxy(folder: Path, commands: Commands, env: Mapping[str, str]) -> Iterator[str]:
    """`proxy` of 1.1.1 or 23.9.10. None says when it is ready; they cannot choose a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [str(folder / "backend.ai"), "proxy", "--bind", "127.0.0.1", "-p", str(port)]
    with on_pipes(argv, env=commands.env | dict(env), cwd=commands.work):
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "the official proxy did not start"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def both_proxies(
    folder: Path, commands: Commands, env: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The URLs of theirs and of ours."""
    with (
        official_proxy(folder, commands, env) as theirs,
        commands.start("proxy", "-p", "0", env=env) as proxy,
    ):
        proxy.expect("requests to ", on="stderr")
        yield theirs, proxy.expect(" for ", on="stderr")


@pytest.fixture
def seed_gateway(commands: Commands) -> Iterator[Mapping[str, str]]:
    # There 1.1.1 adds /v2 to every path.
    with open_seed_gateway(commands) as env:
        yield env


@pytest.mark.parametrize("prefix", ["", "/v2", "/v3"])
def test_same_answers_as_1_1_1(
    client_1_1_1: Path, commands: Commands, seed_gateway: Mapping[str, str], prefix: str
) -> None:
    with both_proxies(client_1_1_1, commands, seed_gateway) as urls:
        for method, path, body in REQUESTS:
            answers = [ask(url, method, prefix + path, body) for url in urls]
            if path == "/kernel/create" and answers[0][0] == 201:
                answers = [(s, k, json.loads(t)["kernelId"]) for s, k, t in answers]
            elif method == "DELETE":  # the second one finds nothing, which the era says with 200
                answers = [(s, k, "") for s, k, _ in answers]
            assert answers[0] == answers[1], (method, path)


# -- 23.9.10 --------------------------------------------------------------------------------------

COBOL = {"name": "other", "image": "cobol"}
FAILING = ("/session/there-is-no-such", "/nowhere/at/all")
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Method, path, body; each proxy has a kernel of its own, whose name stands for {name}.
NEWER: list[tuple[str, str, object]] = [
    ("POST", "/session", {"name": "{name}", "image": "python"}),
    ("GET", "/session/{name}", None),
    ("POST", "/session/{name}", {"mode": "query", "code": "print(6*7)", "runId": "r1"}),
    ("POST", "/session/{name}/complete", {"code": "pri", "options": {}}),
    (
        "POST",
        "/admin/graphql",
        {"query": "{ compute_session_list(limit: 9, offset: 0) { total_count } }"},
    ),
    ("GET", "/folders", None),
    ("GET", "/", None),
    ("POST", "/session", COBOL),
    ("GET", "/session/there-is-no-such", None),
    ("GET", "/nowhere/at/all", None),
]


def test_same_answers_as_23_9_10(
    official_23: Path, commands: Commands, served: Mapping[str, str]
) -> None:
    """HTTP; theirs gives refusals another Content-Type than the server did, ours does not."""
    with both_proxies(official_23, commands, served) as urls:
        for method, path, body in [*NEWER, ("DELETE", "/session/{name}", None)]:
            answers = []
            for url, name in zip(urls, ("lab-one", "lab-two"), strict=True):
                filled = json.loads(json.dumps([path, body]).replace("{name}", name))
                status, _, text = ask(url, method, *filled)
                said = json.loads(re.sub(UUID, "an-id", text).replace(name, "{name}") or "null")
                answers.append((status, said))
            if method == "DELETE":  # what it has used
                answers = [(status, sorted(said)) for status, said in answers]
            assert answers[0] == answers[1], (method, path)
            assert (answers[0][0] < 300) == (path not in FAILING and body != COBOL), answers


async def test_same_websockets_as_23_9_10(
    official_23: Path, commands: Commands, served: Mapping[str, str]
) -> None:
    """Code that asks for input, over the streaming execution of managers; and a terminal."""
    code = {"code": "print('hello,', input('name? '))", "mode": "query", "options": {}}
    with both_proxies(official_23, commands, served) as urls:
        created = {"name": "lab-one", "image": "python"}
        assert ask(urls[0], "POST", "/session", created)[0] == 201
        for url in urls:
            port, stream = int(url.rpartition(":")[2]), "/stream/session/lab-one"
            async with open_vanilla_websocket(port, f"{stream}/execute") as peer:
                await peer.send_message(json.dumps(code))
                printed, status = "", ""
                while status != "finished":
                    said = json.loads(await peer.get_message())
                    status = said["status"]
                    printed += "".join(text for _, text in said.get("console") or ())
                    if status == "waiting-input":
                        await peer.send_message("LABLUP")
            assert printed == "name? hello, LABLUP\n"
            async with open_vanilla_websocket(port, f"{stream}/pty") as peer:
                typed = base64.b64encode(b"echo $((6 * 7))\n").decode()
                await peer.send_message(json.dumps({"type": "stdin", "chars": typed}))
                shown = b""
                while b"42" not in shown:
                    said = json.loads(await peer.get_message())
                    shown += base64.b64decode(said.get("data", ""))
        assert ask(urls[1], "DELETE", "/session/lab-one", None)[0] == 200
