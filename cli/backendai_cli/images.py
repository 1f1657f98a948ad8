"""What to try instead of an image that the server does not have."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backendai_trio import Client

__all__ = ["similar_names", "suggesting_images"]

_ASKING_SECONDS = 5.0
_SUGGESTIONS = 3


@asynccontextmanager
async def suggesting_images(client: Client, wanted: str) -> AsyncIterator[None]:
    """Say in the error of a block whose image the server does not know what was meant.

    That is the kernel of this name, if there is one, or images of similar names. Our own gateway
    names similar runtimes itself.

    Args:
        client: of the server.
        wanted: the name that was asked for.
    """
    import trio

    from backendai_trio import NotFound

    try:
        yield
    except NotFound as exc:
        if exc.is_unknown_image:
            with trio.move_on_after(_ASKING_SECONDS):
                advice = await _advice(client, wanted)  # noqa: ASYNC120 (raised below)
                exc.advice = advice or exc.advice
        raise


async def _advice(client: Client, wanted: str) -> str:
    """What was meant by the name of an image that is none; ``""`` where the server has said it."""
    from backendai_trio import BackendError, find_kernel
    from backendai_trio.admin import list_rows

    with suppress(BackendError):
        runtime = (await (await find_kernel(client, wanted)).info()).runtime
        return f"{wanted} is a kernel that runs: write {runtime} -t {wanted} in its place"
    if client.hello.features:
        return ""
    rows: Sequence[object] = []
    with suppress(BackendError):  # not for this user, or not in this release
        rows = await list_rows(client, "images")
    names = similar_names(wanted, rows)
    every = "'backend.ai images' lists all"
    return f"did you mean {' or '.join(names)}? {every}" if names else every


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
