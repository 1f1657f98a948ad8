"""Failures of uploads, named after the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import AuthError, BackendError, NotFound, QuotaExceeded, UploadError

__all__ = ["upload_errors"]


@contextmanager
def upload_errors(paths: Sequence[str]) -> Iterator[None]:
    """Turn a failed request into an error that names the files it was about.

    No file is at fault when the key is refused, when the kernel or the folder does not exist, or
    when there is no room: these errors pass unchanged.

    Args:
        paths: the files, as messages name them; at least one.

    Raises:
        UploadError: for every other `BackendError`.
    """
    try:
        yield
    except (UploadError, AuthError, NotFound, QuotaExceeded):
        raise
    except BackendError as exc:
        more = f" (or one of {len(paths) - 1:,} sent with it)" if len(paths) > 1 else ""
        raise UploadError(paths[0], f"could not be uploaded{more}: {exc}") from exc
