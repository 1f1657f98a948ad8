"""Requests of the client on the real gateway: signatures, and secrets that never show."""

from __future__ import annotations

import gc
import json
import logging
import traceback
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    AuthError,
    BackendError,
    Client,
    ConnectionFailed,
    GatewayOptions,
    KernelSpec,
    NotFound,
    open_client,
    open_gateway,
    open_kernel,
    read_config,
)
from backendai_trio.gateway import Gateway
from backendai_trio.transport.limits import Limits
from backendai_trio.transport.pool import ConnectionPool
from backendai_trio.wire.http import Request, Response
from backendai_trio.wire.signing import Signed, sign
from backendai_trio.wire.versions import SEED, SESSION_6

from .servers import INFO, KEYS, ForwardingProxy, configure


async def test_signed_requests_are_accepted(client: Client) -> None:
    answer = await client.call(Request.of_json("POST", "/auth", {"echo": "hello"}))
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert json.loads(answer.body) == {"authorized": "yes", "echo": "hello"}


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha512", "sha3_256", "blake2b"])
async def test_other_hashes(gateway: Gateway, name: str) -> None:
    async with open_client(replace(gateway.config, hash_name=name)) as client:
        assert (await client.call(INFO)).status == 200


async def test_query_is_signed_too(client: Client) -> None:
    query = (("a b", "c/d"), ("ünï", "&=+"))
    assert (await client.call(Request("GET", "/auth", query))).status == 200


def set_clock(client: Client, minutes: int) -> None:
    """Let the client's clock be wrong by some minutes."""
    client.clock = lambda: datetime.now(UTC) + timedelta(minutes=minutes)


@pytest.mark.parametrize("minutes", [-16, 16, 60 * 24])
async def test_clock_that_is_off(client: Client, minutes: int) -> None:
    set_clock(client, minutes)
    with pytest.raises(AuthError, match="clocks are more than 15 minutes apart") as caught:
        await client.call(INFO)
    assert (caught.value.status, caught.value.kind) == (400, "invalid-auth-params")


async def test_clock_that_is_off_by_less(client: Client) -> None:
    set_clock(client, -14)
    assert (await client.call(INFO)).status == 200


async def test_wrong_keys(gateway: Gateway) -> None:
    texts = set()
    for config in (
        replace(gateway.config, secret_key="s" * 40),
        replace(gateway.config, access_key="AKIA" + "X" * 16),
    ):
        async with open_client(config) as client:
            with pytest.raises(AuthError) as caught:
                await client.call(INFO)
        assert (caught.value.status, caught.value.kind) == (401, "auth-failed")
        texts.add(str(caught.value))
    # Nobody learns from the text which access keys exist.
    assert len(texts) == 1


async def send(client: Client, headers: dict[str, str], body: bytes = b"") -> Response:
    """A POST to the authorization test with these headers."""
    path = SEED.path("authorize") if client.era == SEED else "/auth"
    method = "GET" if client.era == SEED else "POST"
    request = Request(method, path, (), body, "application/json")
    async with client.request(
        request, to="anonymous", headers=headers, check_status=False
    ) as answer:
        return await answer.read_all()


async def test_tampered_signatures(client: Client) -> None:
    request = Request("POST", "/auth", (), b"", "application/json")
    good = client.signed_headers(request)
    assert (await send(client, good)).status == 200
    authorization = good["Authorization"]
    last = "0" if authorization[-1] != "0" else "1"
    other = client.signed_headers(replace(request, path="/auth/test"))
    for changed, status, kind in (
        ({"Authorization": authorization[:-1] + last}, 401, "auth-failed"),
        ({"Authorization": other["Authorization"]}, 401, "auth-failed"),
        ({"Date": datetime.now(UTC).isoformat()}, 401, "auth-failed"),
        ({"Date": "yesterday"}, 400, "invalid-auth-params"),
        ({"Content-Type": "text/plain"}, 401, "auth-failed"),
        ({"X-BackendAI-Version": "v5.20191215"}, 401, "auth-failed"),
        ({"Host": "elsewhere"}, 401, "auth-failed"),
        ({"Authorization": "Basic eDp5"}, 400, "invalid-auth-params"),
        ({"Authorization": authorization.replace("SHA256", "SHAKE_128")}, 400,
         "invalid-auth-params"),
        ({"Authorization": authorization.replace("SHA256", "NONE")}, 400, "invalid-auth-params"),
    ):  # fmt: skip
        answer = await send(client, good | changed)
        problem = json.loads(answer.body)
        assert answer.status == status, changed
        assert problem["type"].rpartition("/")[2] == kind, changed
    for missing in ("Authorization", "Date", "X-BackendAI-Version"):
        answer = await send(client, {key: good[key] for key in good if key != missing})
        assert answer.status in (400, 401)


async def test_replayed_signature_with_another_body(gateway_parent: Path) -> None:
    """In the seed era the body stands under the signature."""
    async with (
        open_gateway(GatewayOptions(eras=(SEED,))) as gateway,
        open_client(gateway.config) as client,
    ):
        body = b'{"echo": "mine"}'
        request = Request("GET", "/v2/authorize", (), body, "application/json")
        headers = client.signed_headers(request)
        assert (await send(client, headers, body)).status == 200
        answer = await send(client, headers, b'{"echo": "evil"}')
        assert answer.status == 401
        assert json.loads(answer.body)["type"].endswith("/auth-failed")


async def test_endpoint_with_a_path(gateway: Gateway) -> None:
    """The path is on the request line, and signed; a proxy in front would strip it for neither."""
    endpoint = gateway.config.endpoint._replace(base_path="/sub/folder")
    config = replace(gateway.config, endpoint=endpoint)
    async with ConnectionPool(config, None, Limits()) as pool:  # which is not used
        headers = Client(pool, config).signed_headers(INFO)
    expected = sign(
        Signed("GET", "/sub/folder/auth", headers["Date"], endpoint.host_header,
               "application/octet-stream", SESSION_6.version),
        access_key=gateway.config.access_key,
        secret_key=gateway.config.secret_key,
    )  # fmt: skip
    assert headers["Authorization"] == expected


async def test_client_that_was_closed_refuses(gateway: Gateway) -> None:
    """It must not open a connection that nobody will close."""
    async with open_client(gateway.config) as client:
        pass
    try:
        with pytest.raises((trio.ClosedResourceError, BackendError)):
            await client.call(INFO)
    finally:
        gc.collect()  # a socket that is left open is to be seen here, not in another test


async def test_many_requests_at_once(client: Client) -> None:
    answers: list[Response] = []

    async def ask(number: int) -> None:
        answers.append(await client.call(Request.of_json("POST", "/auth", {"echo": str(number)})))

    async with trio.open_nursery() as nursery:
        for number in range(150):
            nursery.start_soon(ask, number)
    assert {json.loads(answer.body)["echo"] for answer in answers} == set(map(str, range(150)))


@pytest.mark.parametrize("direct", [True, False])
async def test_secrets_are_never_shown(
    gateway: Gateway,
    proxy: ForwardingProxy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    direct: bool,
) -> None:
    config = gateway.config
    if not direct:
        configure(gateway, monkeypatch)
        config = read_config() or config
        assert config.proxy is not None
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
    shown: list[str] = [repr(gateway), repr(config), str(config)]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with open_client(config) as client:
            shown += [repr(client), str(client), repr(vars(client))]
            async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
                shown += [repr(kernel), repr(vars(kernel))]
                async with kernel.execute("import os; print(dict(os.environ))") as execution:
                    shown += [repr(execution), repr(vars(execution))]
                    shown += [repr(event) async for event in execution]
                shown.append(await kernel.logs())
            try:
                await kernel.info()
            except NotFound as exc:
                shown += traceback.format_exception(exc)
                trace = traceback.TracebackException.from_exception(exc, capture_locals=True)
                shown += trace.format()
        try:
            async with open_client(replace(gateway.config, endpoint=KEYS.endpoint)):
                pass
        except ConnectionFailed as exc:
            trace = traceback.TracebackException.from_exception(exc, capture_locals=True)
            shown += trace.format()
    shown += [record.getMessage() + repr(vars(record)) for record in caplog.records]
    shown += [str(item.message) for item in warned]
    assert len(caplog.records) > 5
    secret = gateway.config.secret_key  # not earlier: tracebacks above show our variables
    assert not [text for text in shown if secret in text]


async def test_the_first_address_that_answers_is_used(gateway: Gateway) -> None:
    there = gateway.config.endpoint
    nowhere = there._replace(port=1)
    config = replace(gateway.config, endpoint=nowhere, other_endpoints=(nowhere, there, nowhere))
    async with open_client(config) as client:
        assert client.config.endpoint == there
        async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
            assert (await kernel.run("print(1)"))["console"] == [("stdout", "1\n")]
    with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:1"):
        async with open_client(replace(config, other_endpoints=(nowhere,))):
            pass
