"""A proxy in front of the real gateway, used by programs that know nothing of signatures."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import trio

from backendai_trio import (
    Client,
    Finished,
    GatewayOptions,
    KernelSpec,
    Stdout,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.config.settings import Endpoint
from backendai_trio.proxy import open_proxy
from backendai_trio.wire.versions import SEED

from ..websockets import open_vanilla_websocket
from .conftest import Web

LINES = 100_000
MANY = f"for n in range({LINES}): print('line', n, '.' * 90)"


async def test_a_kernels_life(web: Web) -> None:
    created = await web.ask("POST", "/session", b'{"name": "lab1", "image": "python"}')
    assert created.status == 201 and json.loads(created.content)["created"] is True
    body = json.dumps({"mode": "query", "runId": "r1", "code": "print(6 * 7)", "options": {}})
    console = ""
    while True:
        answered = await web.ask("POST", "/session/lab1", body.encode())
        result = json.loads(answered.content)["result"]
        console += "".join(text for _, text in result["console"])
        if result["status"] == "finished":
            break
        body = json.dumps({"mode": "continue", "runId": "r1", "code": "", "options": {}})
    assert console == "42\n"
    assert (await web.ask("GET", "/session/lab1")).status == 200
    assert (await web.ask("DELETE", "/session/lab1")).status == 200
    assert (await web.ask("GET", "/session/lab1")).status == 404


async def test_a_kernels_life_in_the_seed_era() -> None:
    """Bodies are signed there, and paths stand below /v2, whether or not one writes so."""
    async with (
        open_gateway(GatewayOptions(eras=(SEED,))) as gateway,
        open_client(gateway.config) as client,
        open_proxy(client) as proxy,
    ):
        assert client.era == SEED
        web = Web(proxy.url)
        body = b'{"lang": "python", "clientSessionToken": "a-token-of-mine"}'
        assert (await web.ask("POST", "/kernel/create", body)).status == 201
        for prefix in ("/v2", "/v3", ""):
            info = await web.ask("GET", f"{prefix}/kernel/a-token-of-mine")
            assert info.status == 200, prefix
        assert (await web.ask("GET", "/")).status == 200
        assert (await web.ask("DELETE", "/kernel/a-token-of-mine")).status == 200


async def test_our_own_client_through_it(client: Client) -> None:
    """Its signatures are for another host, and are replaced; resumable streams pass."""
    async with open_proxy(client) as proxy:
        endpoint = Endpoint("http", "127.0.0.1", proxy.port, "")
        unknown = replace(client.config, endpoint=endpoint, secret_key="x" * 40)
        async with (
            open_client(unknown) as far,
            open_kernel(far, KernelSpec(runtime="python")) as kernel,
        ):
            digest = hashlib.sha256()
            async with kernel.execute(MANY) as run:
                async for event in run:
                    if isinstance(event, Stdout):
                        digest.update(event.text.encode())
                    elif isinstance(event, Finished):
                        assert event.exit_code == 0
            dots = "." * 90
            expected = "".join(f"line {number} {dots}\n" for number in range(LINES))
            assert digest.digest() == hashlib.sha256(expected.encode()).digest()


async def test_streaming_execution(client: Client, web: Web) -> None:
    """The managers' form, by a vanilla WebSocket client."""
    async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
        path = f"/stream/session/{kernel.token}/execute"
        port = int(web.url.rpartition(":")[2])
        async with open_vanilla_websocket(port, path) as socket:
            code = "name = input('your name? '); print(f'hello, {name}!')"
            await socket.send_message(json.dumps({"mode": "query", "code": code}))
            console, status = "", ""
            while status != "finished":
                reply = json.loads(await socket.get_message())
                status = reply["status"]
                console += "".join(text for _, text in reply["console"] or ())
                if status == "waiting-input":
                    await socket.send_message("LABLUP")
    assert console == "your name? hello, LABLUP!\n"


async def test_fifty_runs_at_once(client: Client, web: Web) -> None:
    """Fifty long polls on one kernel's run wait together; all are answered when it prints."""
    async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
        answers: list[int] = []

        async def ask(number: int) -> None:
            body = {"mode": "query", "runId": f"r{number}", "code": f"print({number})"}
            for _ in range(100):
                target = f"/session/{kernel.token}"
                answered = await web.ask("POST", target, json.dumps(body).encode())
                result = json.loads(answered.content)["result"]
                text = "".join(text for _, text in result["console"])
                if text:
                    answers.append(int(text))
                if result["status"] == "finished":
                    return
                body = {"mode": "continue", "runId": f"r{number}", "code": ""}

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, number)
    assert sorted(answers) == list(range(50))
