"""Trying again where that is safe, and errors that name the file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

from ..errors import (
    ApiError,
    AuthError,
    BackendError,
    ConnectionFailed,
    NotFound,
    RemoteProtocolError,
    UploadError,
)

__all__ = ["naming", "with_retries"]

_PAUSES_SECONDS = (0.5, 1.0, 2.0)
_TRY_AGAIN = frozenset({429, 502, 503, 504})


async def with_retries(send: Callable[[], Awaitable[None]]) -> None:
    """Do something that may be done twice, and again when the connection or the server fails.

    Uploads of files may: what arrives a second time replaces itself.
    """
    for pause in _PAUSES_SECONDS:
        try:
            await send()
            return
        except (ConnectionFailed, ApiError) as exc:
            if isinstance(exc, ApiError) and exc.status not in _TRY_AGAIN:
                raise
        await trio.sleep(pause)
    await send()


@contextmanager
def naming(labels: Sequence[str]) -> Iterator[None]:
    """Turn errors of an upload into ones that name the files.

    A refused key and a kernel that is not there are no fault of a file, and stay what they are.
    """
    try:
        yield
    except (UploadError, AuthError, NotFound):
        raise
    except (ApiError, ConnectionFailed, RemoteProtocolError) as exc:
        raise upload_error(labels, exc) from exc


def upload_error(labels: Sequence[str], exc: BackendError) -> UploadError:
    """An upload's failure, with the files it was about."""
    more = f" (or one of {len(labels) - 1:,} sent with it)" if len(labels) > 1 else ""
    return UploadError(labels[0], f"could not be uploaded{more}: {exc}")
