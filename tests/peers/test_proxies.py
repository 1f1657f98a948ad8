"""The proxies of client 1.1.1 and ours, side by side before one gateway: the same answers."""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..cli.commands import ACCESS_KEY, SECRET_KEY, Commands
from ..cli.terminal import on_pipes

# The seed era alone, whose managers 1.1.1 was made for: there it adds /v2 to every path.
SEED_GATEWAY = """
import sys, trio
from backendai_trio import GatewayOptions, open_gateway
from backendai_trio.wire.versions import SEED

async def main():
    options = GatewayOptions(eras=(SEED,), access_key=sys.argv[1], secret_key=sys.argv[2])
    async with open_gateway(options) as gateway:
        print(gateway.url, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""
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
    return status, kind, re.sub(VOLATILE, r"\1\2N", text.decode())


@contextmanager
def official_proxy(folder: Path, commands: Commands, env: Mapping[str, str]) -> Iterator[str]:
    """1.1.1's `proxy`; it says nothing when it is ready, and cannot choose a free port."""
    import socket

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


@pytest.fixture
def seed_gateway(commands: Commands) -> Iterator[dict[str, str]]:
    argv = [sys.executable, "-c", SEED_GATEWAY, ACCESS_KEY, SECRET_KEY]
    with on_pipes(argv, env=commands.env, cwd=commands.work) as gateway:
        url = gateway.expect("\n")
        yield {
            "BACKEND_ENDPOINT": url,
            "BACKEND_ACCESS_KEY": ACCESS_KEY,
            "BACKEND_SECRET_KEY": SECRET_KEY,
        }


@pytest.mark.parametrize("prefix", ["", "/v2", "/v3"])
def test_same_answers(
    client_1_1_1: Path, commands: Commands, seed_gateway: Mapping[str, str], prefix: str
) -> None:
    env = seed_gateway
    with (
        official_proxy(client_1_1_1, commands, env) as theirs,
        commands.start("proxy", "-p", "0", env=env) as proxy,
    ):
        proxy.expect("requests to ", on="stderr")
        ours = proxy.expect(" for ", on="stderr")
        for method, path, body in REQUESTS:
            answers = [ask(url, method, prefix + path, body) for url in (theirs, ours)]
            if path == "/kernel/create" and answers[0][0] == 201:
                answers = [(s, k, json.loads(t)["kernelId"]) for s, k, t in answers]
            elif method == "DELETE":  # the second one finds nothing, which the era says with 200
                answers = [(s, k, "") for s, k, _ in answers]
            assert answers[0] == answers[1], (method, path)
