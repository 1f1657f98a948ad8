"""Exception groups stay inside; a caller gets one error at the door.

Trio's nurseries always raise groups. Callers of `open_*` should be able to write
``except NotFound``, and should get their own exception back as the very object they raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import trio

__all__ = ["one_error"]


class one_error:
    """Unwrap groups that hold a single error beside cancellations.

    Several errors stay a group. A group of nothing but cancellations is one cancellation.
    A class, not a generator: a generator could not let a StopIteration of the caller through.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, BaseExceptionGroup):
            return
        single = _single(error)
        if single is None:
            return
        # `raise single` alone would chain the group as context and print everything twice.
        context, cause, suppress = single.__context__, single.__cause__, single.__suppress_context__
        try:
            raise single
        finally:
            single.__context__ = context
            single.__cause__, single.__suppress_context__ = cause, suppress
            del single, error, context, cause


def _single(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The one leaf that matters, None if there are several."""
    # `split`, not `subgroup` with a predicate: a predicate is asked about the group itself first,
    # and a group is not a Cancelled, so everything would pass.
    cancelled, errors = group.split(trio.Cancelled)
    if errors is not None:
        leaves = list(_leaves(errors))
        return leaves[0] if len(leaves) == 1 else None
    return next(_leaves(cancelled)) if cancelled is not None else None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for exc in group.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            yield from _leaves(exc)
        else:
            yield exc
