"""What to try instead of an image that the server does not have."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backendai_trio import Client

__all__ = ["similar_names", "suggesting_images"]

_ASKING_SECONDS = 5.0
_SUGGESTIONS = 3


@asynccontextmanager
async def suggesting_images(client: Client, wanted: str) -> AsyncIterator[None]:
    """Add similar names to the error of a block whose image the server does not know.

    Our own gateway names similar runtimes itself.

    Args:
        client: of the server.
        wanted: the name that was asked for.
    """
    import trio

    from backendai_trio import BackendError, NotFound
    from backendai_trio.admin import list_rows

    try:
        yield
    except NotFound as exc:
        if exc.is_unknown_image and not client.hello.features:
            with trio.move_on_after(_ASKING_SECONDS):
                try:
                    rows = await list_rows(client, "images")  # noqa: ASYNC120 (raised below)
                except BackendError:
                    rows = []  # not for this user, or not in this release
                exc.advice = _advice(similar_names(wanted, rows))
        raise


def similar_names(wanted: str, rows: Iterable[object]) -> list[str]:
    """Names and aliases of images that are much like a name, the best first.

    Args:
        wanted: the name that was asked for.
        rows: images as the server lists them.
    """
    names: dict[str, str] = {}
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            continue
        tag = row.get("tag")
        name = f"{row['name']}:{tag}" if tag else row["name"]
        aliases = [alias for alias in row.get("aliases") or () if isinstance(alias, str)]
        for short in (row["name"].rpartition("/")[2], *aliases):
            names.setdefault(short.lower(), aliases[0] if aliases else name)
    close = difflib.get_close_matches(wanted.lower(), names, _SUGGESTIONS)
    return list(dict.fromkeys(names[name] for name in close))


def _advice(names: list[str]) -> str:
    every = "'backend.ai images' lists all"
    return f"did you mean {' or '.join(names)}? {every}" if names else every
