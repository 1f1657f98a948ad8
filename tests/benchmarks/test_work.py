"""What the clients of the benchmarks wait for."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.clients.work import (
    Awaited,
    execute_output,
    memory,
    output,
    percentile,
    terminal_output,
)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ({"status": "continued"}, ""),
        ({"status": "continued", "console": None}, ""),
        ({"status": "continued", "console": []}, ""),
        ({"status": "finished", "console": [["stderr", "no"], ["stdout", "yes"]]}, "yes"),
        (
            {"console": [["stdout", "one "], ["media", ["image/png", ""]], ["stdout", "two"]]},
            "one two",
        ),
    ],
)
def test_output_of_a_reply(reply: dict[str, Any], text: str) -> None:
    assert output(reply) == text


@given(st.integers(0, 20), st.lists(st.integers(0, 8)), st.text("ab"))
def test_a_text_is_found_once_in_any_pieces(empty: int, cuts: list[int], before: str) -> None:
    whole = before + "up\n" + "more"
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [""] * empty + [whole[a:b] for a, b in pairwise(places)]
    awaited = Awaited("up\n")
    found = [awaited.feed(piece) for piece in pieces]
    assert found.count(True) == 1
    assert "up\n" in "".join(pieces[: found.index(True) + 1])
    assert "up\n" not in "".join(pieces[: found.index(True)])


def test_a_text_that_does_not_come() -> None:
    awaited = Awaited("up\n")
    assert not any(awaited.feed(piece) for piece in ("u", "", "p", " \n"))


@pytest.mark.parametrize("size", [0, 1024, 65536, 100_352])
def test_the_code_prints_so_many_bytes(size: int) -> None:
    done = subprocess.run([sys.executable, "-c", execute_output(size)], capture_output=True)
    assert len(done.stdout) == size and not done.stderr


def test_the_echo_of_a_command_does_not_look_like_its_output() -> None:
    assert b"ready>" not in terminal_output(1)


def test_memory_of_this_process() -> None:
    assert 0 < memory("VmRSS") <= memory("VmHWM")


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1.0), (1, 1.0), (50, 50.0), (99, 99.0), (99.5, 100.0), (100, 100.0)]
)
def test_percentile(percent: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], percent) == value
    assert percentile([7.0], percent) == 7.0
