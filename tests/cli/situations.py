"""Situations in which commands fail: servers, proxies and files that are not as they should be.

Each is an async context manager that yields the variables for the command. The table is in
``error_texts.txt``.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trio
import trustme

from backendai_trio import (
    Config,
    GatewayOptions,
    KernelSpec,
    create_vfolder,
    open_client,
    open_gateway,
    open_kernel,
)

from ..proxies import open_proxy_without_upgrades
from ..transport.servers import (
    HELLO,
    KEYS,
    ForwardingProxy,
    Handler,
    SocksProxy,
    closed_port,
    read_head,
    reply,
    serving,
)

__all__ = ["SITUATIONS", "Variables"]

Variables = Mapping[str, str]
Situation = Callable[[Path], AbstractAsyncContextManager[Variables]]
"""From the work folder of the commands to the variables of the environment."""

SITUATIONS: dict[str, Situation] = {}
"""By the names that the table has for them."""


def situation(make: Situation) -> Situation:
    """Enter a situation under its name."""
    SITUATIONS[make.__name__.replace("_", " ")] = make  # type: ignore[attr-defined]
    return make


def variables_of(config: Config) -> dict[str, str]:
    """The variables that lead to a server."""
    return {
        "BACKEND_ENDPOINT": config.endpoint.url,
        "BACKEND_ACCESS_KEY": config.access_key,
        "BACKEND_SECRET_KEY": config.secret_key,
    }


# -- servers that work ----------------------------------------------------------------------------


@situation
@asynccontextmanager
async def a_gateway(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway() as gateway:
        yield variables_of(gateway.config)


@situation
@asynccontextmanager
async def a_kernel(work: Path) -> AsyncIterator[Variables]:
    """It is called lab1 and has a file and a folder; the virtual folder is called data."""
    (work / "here").mkdir()
    (work / "main.py").write_text("print(1)")
    (work / "a.txt").write_text("mine\n")
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        await create_vfolder(client, "data")
        async with open_kernel(client, KernelSpec(runtime="python"), token="lab1") as kernel:
            async with kernel.execute(
                "import os; os.mkdir('out'); open('a.txt', 'w').write('theirs')"
            ) as run:
                async for _ in run:
                    pass
            yield variables_of(gateway.config)


@situation
@asynccontextmanager
async def an_old_manager(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway(GatewayOptions(release="1.1")) as gateway:
        yield variables_of(gateway.config)


@situation
@asynccontextmanager
async def a_wrong_secret_key(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway() as gateway:
        yield {**variables_of(gateway.config), "BACKEND_SECRET_KEY": "x" * 40}


@situation
@asynccontextmanager
async def an_unknown_access_key(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway() as gateway:
        yield {**variables_of(gateway.config), "BACKEND_ACCESS_KEY": "AKIA" + "Z" * 16}


@situation
@asynccontextmanager
async def no_upgrades(work: Path) -> AsyncIterator[Variables]:
    """A reverse proxy that does not pass WebSockets on, before a gateway with the kernel lab1."""
    async with (
        open_gateway() as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, KernelSpec(runtime="python"), token="lab1"),
        open_proxy_without_upgrades(gateway.config.endpoint.port) as port,
    ):
        yield {**variables_of(gateway.config), "BACKEND_ENDPOINT": f"http://127.0.0.1:{port}"}


# -- settings -------------------------------------------------------------------------------------


def _settings(name: str, **variables: str) -> None:
    @asynccontextmanager
    async def settings(work: Path) -> AsyncIterator[Variables]:
        yield variables

    SITUATIONS[name] = settings


_URL = "http://127.0.0.1:1"
_KEYS = {
    "BACKEND_ACCESS_KEY": KEYS.access_key,
    "BACKEND_SECRET_KEY": KEYS.secret_key,
}
_settings("no server")
_settings("an endpoint only", BACKEND_ENDPOINT=_URL)
_settings("keys only", **_KEYS)
_settings("no secret key", BACKEND_ENDPOINT=_URL, BACKEND_ACCESS_KEY=KEYS.access_key)
_settings("an endpoint that is no URL", **_KEYS, BACKEND_ENDPOINT="manager.example.com")
_settings("an endpoint of another scheme", **_KEYS, BACKEND_ENDPOINT="ftp://manager.example.com")
_settings("a short access key", **_KEYS | {"BACKEND_ACCESS_KEY": "AKIA"}, BACKEND_ENDPOINT=_URL)
_settings("a time limit in words", **_KEYS, BACKEND_ENDPOINT=_URL, BACKEND_CONNECTION_TIMEOUT="x")
_settings("an unknown endpoint type", **_KEYS, BACKEND_ENDPOINT=_URL, BACKEND_ENDPOINT_TYPE="x")
_settings("no CA file", **_KEYS, BACKEND_ENDPOINT=_URL, BACKEND_CA_FILE="none.pem")
_settings("an empty CA file", **_KEYS, BACKEND_ENDPOINT="https://x.y", BACKEND_CA_FILE="empty")
_settings("an unknown profile", **_KEYS, BACKEND_ENDPOINT=_URL, BACKEND_PROFILE="none")
_settings("a host name without an address", **_KEYS, BACKEND_ENDPOINT="http://nowhere.invalid")
_settings("a host name that is too long", **_KEYS, BACKEND_ENDPOINT=f"http://{'a' * 64}.invalid")
_settings("a proxy that is no URL", **_KEYS, BACKEND_ENDPOINT=_URL, HTTP_PROXY="http://[::1")
_settings("a proxy of another scheme", **_KEYS, BACKEND_ENDPOINT=_URL, all_proxy="ftp://x:1")


def _dotenv(name: str, data: bytes) -> None:
    @asynccontextmanager
    async def dotenv(work: Path) -> AsyncIterator[Variables]:
        (work / ".env").write_bytes(data)
        yield {}

    SITUATIONS[name] = dotenv


_dotenv("a binary .env", b"BACKEND_ENDPOINT=\xff\xfa\xc0\n")
_dotenv("a torn .env", b"BACKEND_ENDPOINT='http://x\n")


@situation
@asynccontextmanager
async def a_dangling_env_file(work: Path) -> AsyncIterator[Variables]:
    await trio.lowlevel.checkpoint()
    (work / ".env").symlink_to("none")
    yield {}


@situation
@asynccontextmanager
async def a_profile_that_cannot_be_read(work: Path) -> AsyncIterator[Variables]:
    await trio.lowlevel.checkpoint()
    profiles = work.parent / "home" / ".config" / "backendai-trio"
    profiles.mkdir(parents=True)
    (profiles / "profiles.toml").write_text("[default\n")
    (profiles / "profiles.toml").chmod(0o600)
    yield {}


# -- servers that are not there -------------------------------------------------------------------


@situation
@asynccontextmanager
async def no_one_listens(work: Path) -> AsyncIterator[Variables]:
    yield {**variables_of(KEYS), "BACKEND_ENDPOINT": f"http://127.0.0.1:{await closed_port()}"}


def _answers(name: str, *replies: bytes) -> None:
    """A server with these answers, the last one again and again."""

    @asynccontextmanager
    async def answers(work: Path) -> AsyncIterator[Variables]:
        async def answer(stream: trio.SocketStream) -> None:
            while await read_head(stream):
                await stream.send_all(rest.pop(0) if len(rest) > 1 else rest[0])
                if not rest[0].startswith(b"HTTP/"):
                    return

        rest = list(replies)
        async with serving(answer) as config:
            yield variables_of(config)

    SITUATIONS[name] = answers


def _page(status: int, title: str) -> bytes:
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return reply(status, page.encode(), "text/html")


def _problem(status: int, kind: str, title: str, message: str = "") -> bytes:
    problem = (
        f'{{"type": "https://api.backend.ai/probs/{kind}", "title": "{title}", "msg": "{message}"}}'
    )
    return reply(status, problem.encode(), "application/problem+json")


for _status, _title in ((502, "Bad Gateway"), (503, "Maintenance"), (504, "Gateway Timeout")):
    _answers(f"a page of {_status}", _page(_status, f"{_status} {_title}"))
    _answers(f"a page of {_status} later", HELLO, _page(_status, f"{_status} {_title}"))
_answers("a page of 404", _page(404, "Not Found"))
_answers("a page of 500", _page(500, "Oops"))
_answers("a web site", _page(200, "Welcome to nginx!"))
_answers("another API", reply(200, b'{"name": "x"}', "application/json"))
_answers("a redirect", reply(301, b"", "text/html", "Location: https://other.example.com/"))
_answers(
    "a redirect later", HELLO, reply(302, b"", "text/html", "Location: https://sso.example.com/")
)
_answers("a mail server", b"220 mail.example ESMTP\r\n")
_answers("an SSH server", b"SSH-2.0-OpenSSH_9.6\r\n")
_answers("a server that closes", b"")
_answers(
    "a user without permission",
    HELLO,
    _problem(403, "generic-forbidden", "You do not have permission to access this resource."),
)
_answers(
    "a blocked key pair", HELLO, _problem(401, "auth-failed", "Credential/signature mismatch.")
)
_answers(
    "a limit of kernels",
    HELLO,
    _problem(412, "quota-exceeded", "You have reached your resource limit.", "5 sessions"),
)
_answers("a failure of the server", HELLO, _problem(500, "internal-server-error", "Internal error"))
_answers("a problem without words", HELLO, reply(500, b"", "text/plain"))
_answers("JSON that is torn", HELLO, reply(200, b'{"result": ', "application/json"))


@situation
@asynccontextmanager
async def a_silent_server(work: Path) -> AsyncIterator[Variables]:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with serving(silent) as config:
        yield {**variables_of(config), "BACKEND_READ_TIMEOUT": "0.2"}


@situation
@asynccontextmanager
async def a_silent_https_server(work: Path) -> AsyncIterator[Variables]:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with serving(silent) as config:
        secured = f"https://{config.endpoint.host_header}"
        yield {
            **variables_of(config),
            "BACKEND_ENDPOINT": secured,
            "BACKEND_CONNECTION_TIMEOUT": "0.2",
        }


# -- TLS ------------------------------------------------------------------------------------------


@cache
def authority() -> trustme.CA:
    """A certificate authority that no system trusts."""
    return trustme.CA()


@asynccontextmanager
async def _secured(
    work: Path, certificate: trustme.LeafCert | None, *, trusted: bool, scheme: str = "https"
) -> AsyncIterator[Variables]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is None:  # self-signed
        root = trustme.CA()
        pem = work / "self-signed.pem"
        root.private_key_pem.write_to_path(pem)
        root.cert_pem.write_to_path(pem, append=True)
        context.load_cert_chain(pem)
    else:
        certificate.configure_cert(context)
    authority().cert_pem.write_to_path(work / "ca.pem")

    async def greet(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        while await read_head(secure):
            await secure.send_all(HELLO)

    async with serving(greet) as config:
        url = f"{scheme}://{config.endpoint.host_header}"
        found = {**variables_of(config), "BACKEND_ENDPOINT": url}
        yield {**found, "BACKEND_CA_FILE": "ca.pem"} if trusted else found


@situation
@asynccontextmanager
async def TLS_of_another_host(work: Path) -> AsyncIterator[Variables]:
    certificate = authority().issue_cert("manager.example.com")
    async with _secured(work, certificate, trusted=True) as variables:
        yield variables


@situation
@asynccontextmanager
async def TLS_of_another_host_by_name(work: Path) -> AsyncIterator[Variables]:
    certificate = authority().issue_cert("manager.example.com")
    async with _secured(work, certificate, trusted=True) as variables:
        url = variables["BACKEND_ENDPOINT"].replace("127.0.0.1", "localhost")
        yield {**variables, "BACKEND_ENDPOINT": url}


@situation
@asynccontextmanager
async def TLS_that_has_expired(work: Path) -> AsyncIterator[Variables]:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    certificate = authority().issue_cert("127.0.0.1", not_after=yesterday)
    async with _secured(work, certificate, trusted=True) as variables:
        yield variables


@situation
@asynccontextmanager
async def TLS_of_an_own_authority(work: Path) -> AsyncIterator[Variables]:
    async with _secured(work, authority().issue_cert("127.0.0.1"), trusted=False) as variables:
        yield variables


@situation
@asynccontextmanager
async def TLS_of_another_authority(work: Path) -> AsyncIterator[Variables]:
    """Than the one that BACKEND_CA_FILE names."""
    async with _secured(work, trustme.CA().issue_cert("127.0.0.1"), trusted=True) as variables:
        yield variables


@situation
@asynccontextmanager
async def TLS_with_a_self_signed_certificate(work: Path) -> AsyncIterator[Variables]:
    async with _secured(work, None, trusted=False) as variables:
        yield variables


@situation
@asynccontextmanager
async def https_to_a_plain_port(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway() as gateway:
        url = gateway.url.replace("http:", "https:")
        yield {**variables_of(gateway.config), "BACKEND_ENDPOINT": url}


@situation
@asynccontextmanager
async def http_to_a_TLS_port(work: Path) -> AsyncIterator[Variables]:
    certificate = authority().issue_cert("127.0.0.1")
    async with _secured(work, certificate, trusted=True, scheme="http") as variables:
        yield variables


# -- proxies --------------------------------------------------------------------------------------


@asynccontextmanager
async def _through(handler: Handler, variable: str, **more: str) -> AsyncIterator[Variables]:
    """A gateway behind a proxy; `more` replaces parts of the proxy's URL."""
    async with open_gateway() as gateway, serving(handler) as proxy:
        url = f"{more.get('scheme', 'http')}://{more.get('login', '')}{proxy.endpoint.host_header}"
        yield {**variables_of(gateway.config), variable: url}


@situation
@asynccontextmanager
async def a_proxy_with_a_password(work: Path) -> AsyncIterator[Variables]:
    proxy = ForwardingProxy()
    proxy.password = "pass-word"
    async with _through(proxy.handle, "HTTP_PROXY") as variables:
        yield variables


@situation
@asynccontextmanager
async def a_proxy_with_another_password(work: Path) -> AsyncIterator[Variables]:
    proxy = ForwardingProxy()
    proxy.password = "pass-word"
    async with _through(proxy.handle, "http_proxy", login="user:wrong@") as variables:
        yield variables


@situation
@asynccontextmanager
async def a_proxy_that_is_down(work: Path) -> AsyncIterator[Variables]:
    url = f"http://127.0.0.1:{await closed_port()}"
    yield {**_KEYS, "BACKEND_ENDPOINT": "http://manager.example.com", "HTTP_PROXY": url}


@situation
@asynccontextmanager
async def a_SOCKS_proxy_that_is_down(work: Path) -> AsyncIterator[Variables]:
    url = f"socks5://127.0.0.1:{await closed_port()}"
    yield {**_KEYS, "BACKEND_ENDPOINT": "http://127.0.0.1:1", "ALL_PROXY": url}


@situation
@asynccontextmanager
async def a_SOCKS_proxy_that_refuses(work: Path) -> AsyncIterator[Variables]:
    proxy = SocksProxy()
    proxy.refuses = True
    async with _through(proxy.handle, "all_proxy", scheme="socks5h") as variables:
        yield variables


@situation
@asynccontextmanager
async def a_SOCKS_proxy_with_a_password(work: Path) -> AsyncIterator[Variables]:
    proxy = SocksProxy((b"user", b"pass-word"))
    async with _through(proxy.handle, "ALL_PROXY", scheme="socks5") as variables:
        yield variables


@situation
@asynccontextmanager
async def a_proxy_that_is_silent(work: Path) -> AsyncIterator[Variables]:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with serving(silent) as proxy:
        yield {
            **_KEYS,
            "BACKEND_ENDPOINT": "https://manager.example.com",
            "BACKEND_CONNECTION_TIMEOUT": "0.2",
            "https_proxy": proxy.endpoint.url,
        }


@situation
@asynccontextmanager
async def a_proxy_that_refuses_to_connect(work: Path) -> AsyncIterator[Variables]:
    proxy = ForwardingProxy()
    proxy.refuses_connect = True
    async with serving(proxy.handle) as config:
        yield {
            **_KEYS,
            "BACKEND_ENDPOINT": "https://manager.example.com",
            "HTTPS_PROXY": config.endpoint.url,
        }


@situation
@asynccontextmanager
async def a_proxy_with_a_page_of_502(work: Path) -> AsyncIterator[Variables]:
    async def answer(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(_page(502, "Bad Gateway"))

    async with serving(answer) as config:
        yield {
            **_KEYS,
            "BACKEND_ENDPOINT": "http://manager.example.com",
            "HTTP_PROXY": config.endpoint.url,
        }


@situation
@asynccontextmanager
async def a_proxy_that_is_none(work: Path) -> AsyncIterator[Variables]:
    async def answer(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"220 mail.example ESMTP\r\n")

    async with serving(answer) as config:
        yield {
            **_KEYS,
            "BACKEND_ENDPOINT": "https://manager.example.com",
            "HTTPS_PROXY": config.endpoint.url,
        }
