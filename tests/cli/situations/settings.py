"""Settings that are missing, malformed or unreadable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ...transport.servers import (
    KEYS,
)
from .registry import (
    KEY_PAIR,
    SITUATIONS,
    Variables,
    situation,
)


def _settings(name: str, **variables: str) -> None:
    @asynccontextmanager
    async def settings(work: Path) -> AsyncIterator[Variables]:
        yield variables

    SITUATIONS[name] = settings


_URL = "http://127.0.0.1:1"
_settings("no server")
_settings("an endpoint only", BACKEND_ENDPOINT=_URL)
_settings("keys only", **KEY_PAIR)
_settings("no secret key", BACKEND_ENDPOINT=_URL, BACKEND_ACCESS_KEY=KEYS.access_key)
_settings("an endpoint that is no URL", **KEY_PAIR, BACKEND_ENDPOINT="manager.example.com")
_settings("an endpoint of another scheme", **KEY_PAIR, BACKEND_ENDPOINT="ftp://manager.example.com")
_settings("a short access key", **KEY_PAIR | {"BACKEND_ACCESS_KEY": "AKIA"}, BACKEND_ENDPOINT=_URL)
_settings("a limit in words", **KEY_PAIR, BACKEND_ENDPOINT=_URL, BACKEND_CONNECTION_TIMEOUT="x")
_settings("an unknown endpoint type", **KEY_PAIR, BACKEND_ENDPOINT=_URL, BACKEND_ENDPOINT_TYPE="x")
_settings("a web server for logins", BACKEND_ENDPOINT=_URL, BACKEND_ENDPOINT_TYPE="session")
_settings("no CA file", **KEY_PAIR, BACKEND_ENDPOINT=_URL, BACKEND_CA_FILE="none.pem")
_settings("an empty CA file", **KEY_PAIR, BACKEND_ENDPOINT="https://x.y", BACKEND_CA_FILE="empty")
_settings("an unknown profile", **KEY_PAIR, BACKEND_ENDPOINT=_URL, BACKEND_PROFILE="none")
_settings(
    "a secret key that was cut", **KEY_PAIR | {"BACKEND_SECRET_KEY": "x"}, BACKEND_ENDPOINT=_URL
)
_settings("a password in the endpoint", **KEY_PAIR, BACKEND_ENDPOINT="http://me:secret@127.0.0.1:1")
_settings("a query in the endpoint", **KEY_PAIR, BACKEND_ENDPOINT="http://127.0.0.1:1/?a=1")
_settings(
    "a choice in words", **KEY_PAIR, BACKEND_ENDPOINT=_URL, BACKEND_SKIP_SSLCERT_VALIDATION="x"
)
_settings(
    "one address of a pair", **KEY_PAIR, BACKEND_ENDPOINT=_URL, BACKEND_OVERRIDE_STORAGE_PROXY="x"
)
_settings("a CA that is a folder", **KEY_PAIR, BACKEND_ENDPOINT="https://x.y", BACKEND_CA_FILE=".")
_settings("a network out of reach", **KEY_PAIR, BACKEND_ENDPOINT="http://255.255.255.255")
_settings("a host name without an address", **KEY_PAIR, BACKEND_ENDPOINT="http://nowhere.invalid")
_settings("a host name that is too long", **KEY_PAIR, BACKEND_ENDPOINT=f"http://{'a' * 64}.invalid")
_settings("a proxy that is no URL", **KEY_PAIR, BACKEND_ENDPOINT=_URL, HTTP_PROXY="http://[::1")
_settings("a proxy of another scheme", **KEY_PAIR, BACKEND_ENDPOINT=_URL, all_proxy="ftp://x:1")


def _dotenv(name: str, data: bytes) -> None:
    @asynccontextmanager
    async def dotenv(work: Path) -> AsyncIterator[Variables]:
        (work / ".env").write_bytes(data)
        yield {}

    SITUATIONS[name] = dotenv


_dotenv("a binary .env", b"BACKEND_ENDPOINT=\xff\xfa\xc0\n")
_dotenv("a torn .env", b"BACKEND_ENDPOINT='http://x\n")
_dotenv("a .env with NUL characters", b"BACKEND_ENDPOINT=\0\n")
_dotenv("a .env without an equals sign", b"BACKEND_ENDPOINT http://x\n")
_dotenv("a .env with two settings in a line", b"BACKEND_ENDPOINT=a BACKEND_ACCESS_KEY=b\n")
_dotenv("a .env with open quotes before", b"OTHER='open\nBACKEND_ENDPOINT=x\n'\n")
_dotenv("an empty key in .env", b"BACKEND_ENDPOINT=http://127.0.0.1:1\nBACKEND_ACCESS_KEY=\n")


@situation
@asynccontextmanager
async def an_empty_variable_before_env(work: Path) -> AsyncIterator[Variables]:
    """The variable is empty, and .env has a value."""
    await trio.lowlevel.checkpoint()
    (work / ".env").write_text("BACKEND_ENDPOINT=http://127.0.0.1:1\n")
    yield {**KEY_PAIR, "BACKEND_ENDPOINT": ""}


@situation
@asynccontextmanager
async def a_dangling_env_file(work: Path) -> AsyncIterator[Variables]:
    await trio.lowlevel.checkpoint()
    (work / ".env").symlink_to("none")
    yield {}


def _profiles(name: str, text: bytes, mode: int = 0o600) -> None:
    @asynccontextmanager
    async def profiles(work: Path) -> AsyncIterator[Variables]:
        await trio.lowlevel.checkpoint()
        file = work.parent / "home" / ".config" / "backendai-trio" / "profiles.toml"
        file.parent.mkdir(parents=True)
        file.write_bytes(text)
        file.chmod(mode)
        yield {}

    SITUATIONS[name] = profiles


_profiles("a profile that cannot be read", b"[default\n")
_profiles("profiles that are no text", b"\xff\xfa")
_profiles("profiles that others can read", b"[default]\n", 0o644)
_profiles("a profile with an unknown setting", b'[default]\nend_point = "http://x"\n')
_profiles("a profile with a number", b"[default]\nendpoint = 1\n")
_profiles("a setting outside of a profile", b'endpoint = "http://x"\n')
