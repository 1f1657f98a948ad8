"""What the Python kernels of managers print at the end of a run that failed."""

from __future__ import annotations

import pytest

from backendai_trio.wire.query_failures import QueryFailure, is_traceback, without_colors

RULER = "\x1b[0;31m" + "-" * 75 + "\x1b[0m\n"
DIVISION = (
    RULER
    + "\x1b[0;31mZeroDivisionError\x1b[0m                         Traceback (most recent call "
    "last)\nCell \x1b[0;32mIn[1], line 1\x1b[0m\n\x1b[0;32m----> 1\x1b[0m 1/0\n\n"
    "\x1b[0;31mZeroDivisionError\x1b[0m: division by zero"
)
EXIT = (
    "An exception has occurred, use %tb to see the full traceback.\n\n"
    "\x1b[0;31mSystemExit\x1b[0m\x1b[0;31m:\x1b[0m {}\n"
    "/lib/IPython/core/interactiveshell.py:3587: UserWarning: To exit: use 'exit'.\n  warn(1)\n"
)
SYNTAX = (
    "\x1b[0;36m  Cell \x1b[0;32mIn[7], line 1\x1b[0;36m\x1b[0m\n\x1b[0;31m    def f(:\x1b[0m\n"
    "\x1b[0m          ^\x1b[0m\n\x1b[0;31mSyntaxError\x1b[0m\x1b[0;31m:\x1b[0m invalid syntax\n"
)
INCOMPLETE = (  # measured: 26.9.6, Python 3.13
    "\x1b[0;36m  Cell \x1b[0;32mIn[1], line 1\x1b[0;36m\x1b[0m\n\x1b[0;31m    print('x'\x1b[0m\n"
    "\x1b[0m             ^\x1b[0m\n\x1b[0;31m_IncompleteInputError\x1b[0m\x1b[0;31m:\x1b[0m "
    "incomplete input\n"
)
INTERRUPT = (
    RULER
    + "\x1b[0;31mKeyboardInterrupt\x1b[0m                         Traceback (most recent call "
    "last)\nCell \x1b[0;32mIn[9], line 1\x1b[0m\n\n\x1b[0;31mKeyboardInterrupt\x1b[0m: "
)
PLAIN = (
    'Traceback (most recent call last):\n  File "<input>", line 1, in <module>\n'
    "ZeroDivisionError: division by zero\n"
)

INTERRUPT, ZERO = (
    "-" * 75 + f"\n{name}     Traceback (most recent call last)\nCell In[1], line 1\n"
    for name in ("KeyboardInterrupt", "ZeroDivisionError")
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", None),
        ("a warning\n", None),
        (DIVISION, 1),
        ("before\n" + DIVISION, 1),
        (EXIT.format("3"), 3),
        (EXIT.format("0"), 0),
        (EXIT.format("-1"), 255),
        (EXIT.format("no such file"), 1),
        (EXIT.format("True"), 1),
        (EXIT.replace("\x1b[0;31m:\x1b[0m {}", "").format(), 0),
        (SYNTAX, 1),
        (INCOMPLETE, 1),
        (INTERRUPT, 130),
        (PLAIN, 1),
        ("before\n" + PLAIN, 1),
        (PLAIN.replace("ZeroDivisionError: division by zero", "KeyboardInterrupt"), 130),
        (PLAIN + "and goes on\n", None),
        ("said: " + PLAIN, None),
    ],
)
def test_exit_code_by_the_output(text: str, code: int | None) -> None:
    for size in (len(text) or 1, 1, 7):
        failure = QueryFailure()
        for start in range(0, len(text), size):
            failure.see_stderr(text[start : start + size])
        assert failure.exit_code() == code, size


def test_program_that_prints_a_traceback_and_goes_on_has_not_failed() -> None:
    failure = QueryFailure()
    failure.see_stderr(PLAIN)
    failure.see_stdout()
    assert failure.exit_code() is None


def test_end_of_long_output_is_enough() -> None:
    failure = QueryFailure()
    for _ in range(1000):
        failure.see_stderr("x" * 1000 + "\n")
    failure.see_stderr(PLAIN)
    assert failure.exit_code() == 1
    assert sum(map(len, failure._parts)) < 100_000


@pytest.mark.parametrize("text", [DIVISION, EXIT.format("3"), SYNTAX, INCOMPLETE, INTERRUPT])
def test_tracebacks_of_kernels(text: str) -> None:
    assert is_traceback(text) and is_traceback("warned\n" + text)


@pytest.mark.parametrize("text", [RULER, PLAIN, "An exception has occurred, use %tb\n", "a\n"])
def test_other_output_on_standard_error(text: str) -> None:
    assert not is_traceback(text)


def test_text_without_colors() -> None:
    assert without_colors(DIVISION).startswith("-" * 75 + "\nZeroDivisionError   ")
    assert without_colors("\x1b[2Ka\x1b[38;5;241;43mb\x1b[0m") == "\x1b[2Kab"


@pytest.mark.parametrize(
    ("server", "told", "output", "code"),
    [
        (None, False, "", None),
        (0, False, INTERRUPT, 130),
        (0, False, ZERO, 1),
        (None, False, ZERO, 1),
        (1, False, INTERRUPT, 130),
        (1, True, INTERRUPT, 130),
        (1, True, ZERO, 1),
        (7, True, "", 7),
        (3, True, INTERRUPT, 3),
        (0, True, ZERO, 0),  # printed by the program, which went on
        (0, True, INTERRUPT, 0),
    ],
)
def test_what_the_server_tells(
    server: int | None, told: bool, output: str, code: int | None
) -> None:
    failure = QueryFailure(told=told)
    failure.see_stderr(output)
    assert failure.exit_code_of(server) == code
