"""Typed input on its way to a program."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio.wire.line_buffer import LineBuffer

quick = settings(deadline=None, max_examples=200)

_pieces = st.lists(
    st.lists(st.sampled_from([b"a", b"\n", b"\xff", b"\r"]), max_size=8).map(b"".join), max_size=6
)


@given(_pieces)
@quick
def test_lines_are_those_of_the_whole_text(pieces: list[bytes]) -> None:
    buffer = LineBuffer()
    lines = []
    for piece in pieces:
        buffer.put(piece)
        while buffer.has_line:
            line = buffer.line()
            assert line is not None and line.endswith(b"\n")
            lines.append(line)
    buffer.end()
    while (line := buffer.line()) is not None:
        lines.append(line)
    whole = b"".join(pieces)
    assert b"".join(lines) == whole
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines[:-1])
    assert len(lines) == whole.count(b"\n") + (not whole.endswith(b"\n") and whole != b"")


@given(st.data(), _pieces)
@quick
def test_lines_and_pieces_may_be_mixed(data: st.DataObject, pieces: list[bytes]) -> None:
    buffer = LineBuffer()
    for piece in pieces:
        buffer.put(piece)
    whole = b"".join(pieces)
    assert len(buffer) == len(whole)
    taken = b""
    while len(buffer):
        if buffer.has_line and data.draw(st.booleans()):
            part = buffer.line()
        else:
            limit = data.draw(st.integers(1, 5))
            part = buffer.some(limit)
            assert part is not None and len(part) <= limit
        assert part
        taken += part
        assert len(buffer) == len(whole) - len(taken)
    assert taken == whole
    assert buffer.some(1) is None
    assert not buffer.has_line and not buffer.closed and not buffer.exhausted


def test_the_end() -> None:
    buffer = LineBuffer()
    buffer.put(b"last")
    assert not buffer.has_line
    buffer.end()
    assert buffer.closed and buffer.has_line and not buffer.exhausted
    buffer.put(b" too late")
    assert buffer.line() == b"last"
    assert buffer.exhausted and buffer.has_line
    assert buffer.line() is None and buffer.line() is None
