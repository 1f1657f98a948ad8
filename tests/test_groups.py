"""One error at the door: what comes out of `one_error` for each shape of group."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio._groups import one_error


def raise_in_helper(exc: BaseException) -> None:
    raise exc


def catch(exc: BaseException) -> BaseException:
    """Raise something inside `one_error` and return what comes out."""
    with pytest.raises(BaseException) as caught, one_error():
        raise exc
    return caught.value


def cancelled() -> trio.Cancelled:
    """A real Cancelled; Trio hands them out to cancelled scopes only."""
    found: list[trio.Cancelled] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as exc:
                found.append(exc)
                raise

    trio.run(main)
    return found[0]


def test_nothing_raised() -> None:
    with one_error():
        pass


def test_plain_errors_pass() -> None:
    for exc in (ValueError("x"), KeyboardInterrupt(), SystemExit(3), StopIteration(1)):
        assert catch(exc) is exc


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_single_error_comes_out_as_the_same_object(depth: int) -> None:
    error = ValueError("x")
    group: BaseException = error
    for level in range(depth):
        group = BaseExceptionGroup(f"level {level}", [group])
    assert catch(group) is error


def test_single_error_beside_cancellations() -> None:
    error = ValueError("x")
    inner = BaseExceptionGroup("inner", [cancelled(), error, cancelled()])
    group = BaseExceptionGroup("outer", [cancelled(), inner])
    assert catch(group) is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_base_exceptions_come_out_alone(error: BaseException) -> None:
    assert catch(BaseExceptionGroup("g", [error])) is error
    assert catch(BaseExceptionGroup("g", [cancelled(), error])) is error


@pytest.mark.parametrize("error", [StopIteration(1), StopAsyncIteration()])
def test_the_errors_that_end_iterations_come_out_alone(error: Exception) -> None:
    """These two must not meet a generator on their way, which would turn them into others."""
    assert catch(ExceptionGroup("g", [error])) is error


def test_several_errors_stay_a_group() -> None:
    first, second = ValueError("x"), KeyError("y")
    group = ExceptionGroup("g", [first, second])
    assert catch(group) is group
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [first, second])])
    assert catch(nested) is nested
    mixed = BaseExceptionGroup("g", [cancelled(), KeyboardInterrupt(), first])
    assert catch(mixed) is mixed


def test_cancellations_alone_become_one() -> None:
    first, second = cancelled(), cancelled()
    out = catch(BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [first]), second]))
    assert out is first


def frames(exc: BaseException) -> Iterator[str]:
    for frame in traceback.extract_tb(exc.__traceback__):
        yield frame.name


def test_traceback_still_shows_where_it_was_raised() -> None:
    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as caught, one_error():
        try:
            raise_in_helper(error)
        except ValueError as exc:
            raise ExceptionGroup("g", [exc]) from None
    assert list(frames(caught.value))[-1] == "raise_in_helper"


def test_context_and_cause_are_its_own() -> None:
    context, cause = KeyError("context"), OSError("cause")
    error = ValueError("x")
    error.__context__, error.__cause__ = context, cause
    assert catch(ExceptionGroup("g", [error])) is error
    assert error.__context__ is context
    assert error.__cause__ is cause
    assert error.__suppress_context__ is True

    bare = ValueError("y")
    assert catch(ExceptionGroup("g", [bare])) is bare
    assert bare.__context__ is None
    assert bare.__cause__ is None
    assert bare.__suppress_context__ is False

    printed = "".join(traceback.format_exception(bare))
    assert "Group" not in printed
    assert printed.count("ValueError: y") == 1


def test_twice_is_as_good_as_once() -> None:
    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as caught, one_error(), one_error():
        raise ExceptionGroup("g", [ExceptionGroup("h", [error])])
    assert caught.value is error


async def test_error_of_a_block_comes_out_of_its_nursery() -> None:
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught, one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.sleep_forever)
                raise error
    assert caught.value is error


async def test_cancel_passes_through_nested_nurseries() -> None:
    with trio.CancelScope() as scope, one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.sleep_forever)
                scope.cancel()
                await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_cancel_of_two_scopes_is_caught_by_each() -> None:
    """A group of cancellations that leaves as one still ends the scope it was meant for."""
    with trio.CancelScope() as outer, one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)
            with trio.CancelScope() as own:
                own.cancel()
                await trio.sleep_forever()
            assert own.cancelled_caught
            outer.cancel()
    assert outer.cancelled_caught


async def test_two_failing_tasks_stay_a_group() -> None:
    async def fail(error: Exception) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()  # so that both get to their errors
        raise error

    with pytest.RaisesGroup(ValueError, KeyError), one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, ValueError("x"))
            nursery.start_soon(fail, KeyError("y"))


_leaves = st.integers(0, 2)  # 0 a cancellation, else an error
_trees = st.recursive(_leaves, lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=8)


@given(st.lists(_trees, min_size=1, max_size=3))
@settings(deadline=None, max_examples=80)
def test_any_tree(tree: list[object]) -> None:
    cancel = cancelled()
    errors: list[Exception] = []

    def build(node: object) -> BaseException:
        if isinstance(node, list):
            return BaseExceptionGroup("g", [build(item) for item in node])
        if node == 0:
            return cancel
        errors.append(ValueError(len(errors)))
        return errors[-1]

    group = build(tree)
    out = catch(group)
    if len(errors) > 1:
        assert out is group
    elif errors:
        assert out is errors[0]
    else:
        assert out is cancel
