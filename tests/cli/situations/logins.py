"""Logins that are refused, have ended, or cannot be used. The user is me@example.com."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from backendai_trio import AuthError, Client, GatewayOptions, open_client, open_gateway
from backendai_trio.gateway import Account
from backendai_trio.login import log_in

from ...transport.servers import HELLO, reply, serving
from .registry import SITUATIONS, Variables, answering, situation

_NAME, _PASSWORD = "me@example.com", "pass word"
_ACCOUNT = Account(_NAME, _PASSWORD)


@asynccontextmanager
async def _web_server(work: Path, account: Account = _ACCOUNT) -> AsyncIterator[Client]:
    """A client that is not logged in. The files called password, wrong and wrong-otp hold what a
    user gives."""
    for name, text in (
        ("password", _PASSWORD),
        ("wrong", "wrong"),
        ("wrong-otp", f"{_PASSWORD}\n000000"),
    ):
        (work / name).write_text(f"{text}\n")
    async with open_gateway(GatewayOptions(account=account)) as gateway:
        nobody = replace(gateway.config, endpoint_type="session", access_key="", secret_key="")
        async with open_client(nobody) as client:
            yield client


def _variables(url: str) -> dict[str, str]:
    return {"BACKEND_ENDPOINT": url, "BACKEND_ENDPOINT_TYPE": "session"}


def _save(work: Path, text: str, mode: int = 0o600) -> None:
    """Write the file with logins."""
    file = work.parent / "home" / ".local" / "state" / "backendai-trio" / "logins.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    file.chmod(mode)


def _saved(url: str, cookies: Mapping[str, str]) -> str:
    login = {"username": _NAME, "access_key": "AKIA" + "X" * 16, "cookies": dict(cookies)}
    return json.dumps({url: login})


@situation
@asynccontextmanager
async def nobody_logged_in(work: Path) -> AsyncIterator[Variables]:
    async with _web_server(work) as client:
        yield _variables(client.config.endpoint.url)


@situation
@asynccontextmanager
async def a_login_that_has_expired(work: Path) -> AsyncIterator[Variables]:
    async with _web_server(work, replace(_ACCOUNT, login_seconds=0.0)) as client:
        login = await log_in(client, _NAME, _PASSWORD)
        url = client.config.endpoint.url
        _save(work, _saved(url, login.cookies))
        yield _variables(url)


@situation
@asynccontextmanager
async def a_login_that_the_server_has_forgotten(work: Path) -> AsyncIterator[Variables]:
    async with _web_server(work) as client:
        url = client.config.endpoint.url
        _save(work, _saved(url, {"BACKENDAI_TRIO_SESSION": "x"}))
        yield _variables(url)


@situation
@asynccontextmanager
async def a_one_time_password(work: Path) -> AsyncIterator[Variables]:
    async with _web_server(work, replace(_ACCOUNT, otp="123456")) as client:
        yield _variables(client.config.endpoint.url)


@situation
@asynccontextmanager
async def too_many_failed_logins(work: Path) -> AsyncIterator[Variables]:
    async with _web_server(work) as client:
        for _ in range(10):
            try:
                await log_in(client, _NAME, "wrong")
            except AuthError:
                pass
        yield _variables(client.config.endpoint.url)


@situation
@asynccontextmanager
async def a_manager_in_place_of_a_web_server(work: Path) -> AsyncIterator[Variables]:
    (work / "password").write_text(f"{_PASSWORD}\n")
    async with open_gateway() as gateway:
        yield _variables(gateway.url)


def _refuses(name: str, status: int, kind: str, title: str) -> None:
    """A web server that answers each login so."""

    @asynccontextmanager
    async def refuses(work: Path) -> AsyncIterator[Variables]:
        (work / "password").write_text(f"{_PASSWORD}\n")
        data = {"type": f"https://api.backend.ai/probs/{kind}", "title": title, "details": ""}
        body = json.dumps({"authenticated": False, "data": data}).encode()
        async with serving(answering(HELLO, reply(status, body, "application/json"))) as config:
            yield _variables(config.endpoint.url)

    SITUATIONS[name] = refuses


_refuses("a login too many", 409, "active-login-session-exists", "Another login is active.")
_refuses("a blocked login", 429, "login-blocked", "Login is blocked.")


def _file(name: str, text: str, mode: int = 0o600) -> None:
    """A file with logins that cannot be used."""

    @asynccontextmanager
    async def file(work: Path) -> AsyncIterator[Variables]:
        _save(work, text, mode)
        yield _variables("http://127.0.0.1:1")

    SITUATIONS[name] = file


_file("logins that others can read", "{}", 0o644)
_file("logins that are no JSON", "{")
