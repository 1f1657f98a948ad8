"""Situations in which commands fail: a registry, and what its rooms share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from backendai_trio import Config

from ...transport.servers import KEYS, Handler, read_head, reply

__all__ = [
    "KEY_PAIR",
    "SITUATIONS",
    "Variables",
    "answering",
    "page",
    "silent",
    "situation",
    "variables_of",
]

Variables = Mapping[str, str]
Situation = Callable[[Path], AbstractAsyncContextManager[Variables]]
"""From the work folder of the commands to the variables of the environment."""

SITUATIONS: dict[str, Situation] = {}
"""By the names that the table has for them."""
KEY_PAIR = {"BACKEND_ACCESS_KEY": KEYS.access_key, "BACKEND_SECRET_KEY": KEYS.secret_key}


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


def answering(*replies: bytes) -> Handler:
    """Serves a connection with these answers, the last one again and again."""
    rest = list(replies)

    async def answer(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(rest.pop(0) if len(rest) > 1 else rest[0])
            if not rest[0].startswith(b"HTTP/"):
                return

    return answer


async def silent(stream: trio.SocketStream) -> None:
    """Serves a connection without a word."""
    await trio.sleep_forever()


def page(status: int, title: str) -> bytes:
    """An answer with a page of HTML."""
    html = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return reply(status, html.encode(), "text/html")
