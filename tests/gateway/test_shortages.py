"""What the gateway says where its machine lacks something, and that it goes on."""

from __future__ import annotations

import errno

import pytest
import trio

from backendai_trio.gateway import shortage_of
from backendai_trio.gateway.cleanup import clean_up_in_thread
from backendai_trio.gateway.refusals import refusal_of


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "no more processes"),
        (RuntimeError("can't start new thread"), "no more processes"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system; give"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; remove"),
        (ExceptionGroup("", [ValueError(), ExceptionGroup("", [MemoryError()])]), "out of memory"),
    ],
)
def test_what_the_machine_lacks(error: Exception, said: str) -> None:
    assert said in shortage_of(error)
    if isinstance(error, OSError | MemoryError | RuntimeError):
        assert said in refusal_of(error).problem.detail


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a bug"), OSError(errno.ENOENT, "No such file"), ValueError(), OSError("text")],
)
def test_other_errors(error: Exception) -> None:
    assert shortage_of(error) == ""


async def test_cleanup_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_arguments: object, **_options: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.to_thread, "run_sync", refuse)
    done: list[bool] = []
    assert await clean_up_in_thread(lambda: done.append(True))
    assert done == [True]
