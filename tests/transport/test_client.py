"""The HTTP client against the real gateway, and against servers that misbehave on real sockets."""

from __future__ import annotations

import gc
import json
import logging
import ssl
import traceback
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trustme

from backendai_trio import (
    ApiError,
    AuthError,
    BackendError,
    Client,
    ConfigError,
    ConnectionFailed,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    NotFound,
    QuotaExceeded,
    RemoteProtocolError,
    ServerError,
    TrioKernel,
    open_client,
    open_gateway,
    open_kernel,
    read_config,
)
from backendai_trio.config.parsing import parse_endpoint
from backendai_trio.errors import InsecureConnectionWarning
from backendai_trio.gateway import Gateway
from backendai_trio.transport import client as client_module
from backendai_trio.transport.limits import Limits
from backendai_trio.transport.pool import ConnectionPool
from backendai_trio.transport.tls import tls_context
from backendai_trio.wire.files import ARCHIVES
from backendai_trio.wire.http import Request, Response
from backendai_trio.wire.kernels import CreateReply
from backendai_trio.wire.signing import Signed, sign
from backendai_trio.wire.versions import SEED, SESSION_6

from .servers import (
    HELLO,
    INFO,
    KEYS,
    ForwardingProxy,
    client_of,
    closed_port,
    configure,
    read_head,
    reply,
    serving,
)

# --- signatures ----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("minutes", [-16, 16, 60 * 24])
async def test_clock_that_is_off(
    client: Client, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Clock:
            shifted = datetime.now(UTC) + timedelta(minutes=minutes)
            return cls.fromisoformat(shifted.isoformat())

    monkeypatch.setattr(client_module, "datetime", Clock)
    with pytest.raises(AuthError, match="clocks are more than 15 minutes apart") as caught:
        await client.call(INFO)
    assert (caught.value.status, caught.value.kind) == (400, "invalid-auth-params")


async def test_clock_that_is_off_by_less(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Clock:
            shifted = datetime.now(UTC) - timedelta(minutes=14)
            return cls.fromisoformat(shifted.isoformat())

    monkeypatch.setattr(client_module, "datetime", Clock)
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
    async with client.request(request, sign=False, headers=headers, check_status=False) as answer:
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


# --- errors of a server --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid-api-params", InvalidRequest),
        (400, "quota-exceeded", QuotaExceeded),
        (400, "invalid-auth-params", AuthError),
        (401, "auth-failed", AuthError),
        (403, "generic-forbidden", AuthError),
        (404, "session-not-found", NotFound),
        (405, "method-not-allowed", InvalidRequest),
        (409, "vfolder-already-exists", InvalidRequest),
        (410, "vfolder-gone", NotFound),
        (412, "quota-exceeded", QuotaExceeded),
        (429, "rate-limit-exceeded", QuotaExceeded),
        (500, "internal-server-error", ServerError),
        (501, "not-implemented", ServerError),
        (503, "instance-not-available", ServerError),
    ],
)
async def test_problems_are_typed_errors(status: int, kind: str, error: type[ApiError]) -> None:
    problem = {
        "type": f"https://api.backend.ai/probs/{kind}",
        "title": "The title.",
        "msg": "The detail.",
        "data": {"matches": [1]},
    }
    body = json.dumps(problem).encode()
    async with client_of(reply(status, body, "application/problem+json")) as client:
        with pytest.raises(ApiError) as caught:
            await client.call(INFO)
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.kind) == (status, kind)
    assert (caught.value.title, caught.value.detail) == ("The title.", "The detail.")
    assert caught.value.data == {"matches": [1]}
    assert caught.value.request == "GET /auth"
    assert "GET /auth" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"Bad Gateway", "text/plain", "Bad Gateway"),
        (b"<html>\n<h1>502 &amp; <b>x</b></h1>\n</html>", "text/html", "with a page: 502 & x ["),
        (b"<!DOCTYPE html>\n<title>Bad\n Gateway</title>", "text/html", "with a page: Bad Gateway"),
        (b" <!-- x --><body><p>Sorry</p>", "text/html", "502, with a page: Sorry"),
        (b"", "text/plain", "HTTP status 502 without a body"),
        (b"\xff\xfe", "text/plain", "\ufffd\ufffd"),
        (b"[1, 2]", "application/json", "[1, 2]"),
        (b'{"type": 7}', "application/problem+json", '{"type": 7}'),
        (b"{}", "application/json", "the server gave no reason"),
    ],
)
async def test_errors_that_are_no_problems(body: bytes, content_type: str, text: str) -> None:
    async with client_of(reply(502, body, content_type)) as client:
        with pytest.raises(ServerError) as caught:
            await client.call(INFO)
    assert text in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    where = "https://elsewhere.example/auth"
    async with client_of(reply(status, b"", "text/plain", f"Location: {where}")) as client:
        with pytest.raises(ApiError) as caught:
            await client.call(INFO)
    assert caught.value.status == status
    assert where in str(caught.value)
    assert "BACKEND_ENDPOINT" in str(caught.value)


# --- connections ---------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    config = replace(KEYS, endpoint=parse_endpoint(f"http://127.0.0.1:{await closed_port()}"))
    with pytest.raises(ConnectionFailed) as caught:
        async with open_client(config):
            pass
    assert str(caught.value) == (
        f"cannot connect to {config.endpoint.url}: connection refused; "
        "check BACKEND_ENDPOINT, and that the server is up"
    )


async def test_name_that_does_not_exist() -> None:
    config = replace(KEYS, endpoint=parse_endpoint("http://nobody.invalid"))
    with pytest.raises(ConnectionFailed, match=r"nobody\.invalid"):
        async with open_client(config):
            pass


async def test_connection_that_is_not_taken_in_time() -> None:
    # A listener that accepts nothing, with its queue full: SYNs are dropped.
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [trio.socket.socket() for _ in range(4)]
        for filler in fillers:
            with trio.move_on_after(0.05):
                await filler.connect(("127.0.0.1", port))
        endpoint = parse_endpoint(f"http://127.0.0.1:{port}")
        config = replace(KEYS, endpoint=endpoint, connect_seconds=0.2)
        with pytest.raises(ConnectionFailed, match=r"within 0\.2 s"):
            async with open_client(config):
                pass
        for filler in fillers:
            filler.close()


async def test_server_that_is_not_http() -> None:
    async def ssh(stream: trio.SocketStream) -> None:
        await stream.send_all(b"SSH-2.0-OpenSSH_9.6\r\nInvalid SSH identification string.\r\n\r\n")
        await read_head(stream)

    async with serving(ssh) as config:
        with pytest.raises(ConfigError, match=r"not a Backend\.AI server") as caught:
            async with open_client(config):
                pass
    assert caught.value.variable == "BACKEND_ENDPOINT"


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b"<html>It works!</html>", "text/html"),
        reply(200, b"{}", "application/json"),
        reply(200, b'{"version": "latest"}', "application/json"),
        reply(200, b'{"version": 7}', "application/json"),
        reply(200, b"[]", "application/json"),
        reply(404, b"not found"),
        reply(500, b"broken"),
        reply(302, b"", "text/plain", "Location: /login"),
    ],
)
async def test_server_that_is_not_backend_ai(answer: bytes) -> None:
    async def web(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(answer)

    async with serving(web) as config:
        with pytest.raises(ConfigError, match=r"not a Backend\.AI server") as caught:
            async with open_client(config):
                pass
    assert caught.value.variable == "BACKEND_ENDPOINT"
    assert config.endpoint.url in str(caught.value)


async def test_https_where_http_is_spoken(gateway: Gateway) -> None:
    endpoint = gateway.config.endpoint._replace(scheme="https")
    with pytest.raises(ConnectionFailed, match="http://"):
        async with open_client(replace(KEYS, endpoint=endpoint)):
            pass


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_server_that_is_not_available(status: int) -> None:
    """It starts, or restarts; that says nothing of what it is."""

    async def web(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(reply(status, b"<html><title>Wait</title></html>", "text/html"))

    async with serving(web) as config:
        with pytest.raises(ServerError, match=f"HTTP status {status}, with a page: Wait"):
            async with open_client(config):
                pass


async def test_hello_that_redirects_says_where_to() -> None:
    async def web(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(reply(301, b"", "text/plain", "Location: https://b.example/x"))

    async with serving(web) as config:
        with pytest.raises(ConfigError, match=r"redirects to 'https://b\.example/x'"):
            async with open_client(config):
                pass


async def test_server_that_closes_without_an_answer() -> None:
    async def slam(stream: trio.SocketStream) -> None:
        await read_head(stream)

    async with serving(slam) as config:
        with pytest.raises(ConnectionFailed, match="closed the connection"):
            async with open_client(config):
                pass


@pytest.mark.parametrize(
    "half",
    [
        HELLO[:30],
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
async def test_server_that_closes_in_the_middle(half: bytes) -> None:
    hello = [HELLO]

    async def slam(stream: trio.SocketStream) -> None:
        await read_head(stream)
        if hello:
            await stream.send_all(hello.pop())
            await read_head(stream)
        await stream.send_all(half)

    async with serving(slam) as config, open_client(config) as client:
        with pytest.raises((ConnectionFailed, RemoteProtocolError)) as caught:
            await client.call(INFO)
        assert config.endpoint.url in str(caught.value)


async def test_server_that_falls_silent() -> None:
    hello = [HELLO]

    async def silent(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            if hello:
                await stream.send_all(hello.pop())

    async with serving(silent) as config, open_client(config) as client:
        with pytest.raises(ConnectionFailed, match="stopped answering"):
            await client.call(INFO, answer_seconds=0.1)
        # No limit means none; only a cancel ends it.
        with trio.move_on_after(0.2) as scope:
            await client.call(INFO, answer_seconds=None)
        assert scope.cancelled_caught


async def test_answer_that_is_too_large() -> None:
    answers = [HELLO, reply(200, bytes(1001)), reply(200, bytes(1000))]

    async def handle(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(answers.pop(0))

    limits = Limits(max_body_bytes=1000)
    async with serving(handle) as config, open_client(config, limits=limits) as client:
        with pytest.raises(RemoteProtocolError, match="exceeds"):
            await client.call(INFO)
        # That connection is not used again; the server's next answer goes to a fresh one.
        assert len((await client.call(INFO)).body) == 1000
    gc.collect()  # a generator that is left open is to be seen here, not in another test


# --- TLS -----------------------------------------------------------------------------------------


async def test_own_authority(
    secure: Gateway, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert secure.url.startswith("https://")
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKEND_ENDPOINT", secure.url)
    monkeypatch.setenv("BACKEND_ACCESS_KEY", secure.config.access_key)
    monkeypatch.setenv("BACKEND_SECRET_KEY", secure.config.secret_key)
    monkeypatch.setenv("BACKEND_CA_FILE", str(ca_file))
    async with open_client() as client:
        assert (await client.call(INFO)).status == 200
        # Code runs over it as well, however its messages travel.
        async with (
            open_kernel(client, KernelSpec(runtime="python")) as kernel,
            kernel.execute("print(1)") as execution,
        ):
            assert len([event async for event in execution]) == 2


async def test_certificate_that_is_not_trusted(secure: Gateway) -> None:
    with pytest.raises(ConnectionFailed, match="BACKEND_CA_FILE") as caught:
        async with open_client(secure.config):
            pass
    assert "not trusted" in str(caught.value)


async def test_certificate_of_another_host(
    secure: Gateway, authority: trustme.CA, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    endpoint = secure.config.endpoint._replace(host="localhost")
    config = replace(secure.config, endpoint=endpoint, ca_file=str(ca_file))
    with pytest.raises(ConnectionFailed, match="certificate is for another name") as caught:
        async with open_client(config):
            pass
    assert "BACKEND_CA_FILE" not in str(caught.value)


async def test_tls_that_fails_after_the_handshake(tmp_path: Path) -> None:
    """It is told as such, and not as a connection that broke."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def broken(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, theirs, server_side=True)
        data = b""
        while b"\r\n\r\n" not in data:
            data += await secure.receive_some()
        await stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record of nonsense
        await read_head(stream)

    async with serving(broken) as config:
        endpoint = config.endpoint._replace(scheme="https")
        secured = replace(config, endpoint=endpoint, ca_file=str(tmp_path / "ca.pem"))
        with pytest.raises(ConnectionFailed, match="TLS failed"):
            async with open_client(secured):
                pass


async def test_server_that_closes_during_the_tls_handshake() -> None:
    async def slam(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async with serving(slam) as config:
        endpoint = config.endpoint._replace(scheme="https")
        with pytest.raises(ConnectionFailed, match=f"cannot connect to {endpoint.url}"):
            async with open_client(replace(config, endpoint=endpoint)):
                pass


async def test_checks_that_are_off_warn_each_time(secure: Gateway) -> None:
    config = replace(secure.config, verify_tls=False)
    for _ in range(2):
        with pytest.warns(InsecureConnectionWarning, match="SKIP_SSLCERT_VALIDATION") as seen:
            async with open_client(config) as client:
                assert (await client.call(INFO)).status == 200
        # It points at whoever opened the client, not into the library.
        assert seen[0].filename == __file__


async def test_file_that_holds_no_certificates(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    config = replace(KEYS, endpoint=parse_endpoint("https://127.0.0.1:1"), ca_file=str(path))
    with pytest.raises(ConfigError, match=r"ca\.pem") as caught:
        async with open_client(config):
            pass
    assert caught.value.variable == "BACKEND_CA_FILE"


def test_plain_http_needs_no_context() -> None:
    assert tls_context(KEYS) is None
    secure = replace(KEYS, endpoint=parse_endpoint("https://127.0.0.1:1"))
    context = tls_context(secure)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


# --- secrets -------------------------------------------------------------------------------------


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


async def test_upload_that_is_refused_while_it_is_sent(tmp_path: Path) -> None:
    """The server's reason is told, not that it takes no more."""
    (tmp_path / "large").write_bytes(bytes(8_000_000))
    refusal = reply(
        413, b'{"type": "quota-exceeded", "title": "The disk is full"}', "application/problem+json"
    )

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if head.startswith(b"PUT"):
                await stream.receive_some(100_000)
                await stream.send_all(refusal)
                return  # and hangs up
            await stream.send_all(HELLO)

    async with serving(handle) as config:
        for _ in range(5):
            async with open_client(config) as client:
                client.hello = replace(client.hello, features=frozenset({ARCHIVES}))
                kernel = TrioKernel(client, CreateReply("abc", "abc", created=True))
                with pytest.raises(QuotaExceeded, match="The disk is full"):
                    await kernel.upload([tmp_path / "large"], base=tmp_path)


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
