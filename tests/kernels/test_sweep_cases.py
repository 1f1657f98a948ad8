"""Ranges and the cases they make. Nothing here runs a kernel."""

from __future__ import annotations

from itertools import product
from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio.errors import ConfigError
from backendai_trio.kernels.sweep_cases import MAX_CASES, Case, Range, parse_range, plan_cases

quick = settings(deadline=None, max_examples=100)

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_characters=",", exclude_categories=["Cs"]), max_size=8)
#: Values that hold nothing a template or a shell would look at twice.
words = st.from_regex(r"[a-z0-9.]{1,6}", fullmatch=True)


# --- one range -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("case:a,b", ["a", "b"]),
        ("case:", [""]),
        ("case:one word,", ["one word", ""]),
        ("case:a,b,a", ["a", "b"]),
        ("case:range:1,2", ["range:1", "2"]),
        ("range:3", ["0", "1", "2"]),
        ("range:1,4", ["1", "2", "3"]),
        ("range:1,10,4", ["1", "5", "9"]),
        ("range:3,-3,-2", ["3", "1", "-1"]),
        ("range: 1, 3", ["1", "2"]),
        ("linspace:0,1,5", ["0", "0.25", "0.5", "0.75", "1"]),
        ("linspace:0,1,11", [*("0", *(f"0.{n}" for n in range(1, 10)), "1")]),
        ("linspace:1,0,2", ["1", "0"]),
        ("linspace:5,9,1", ["5"]),
        ("linspace:1e-5,.5,2", ["1e-05", "0.5"]),
        ("linspace:2,2,3", ["2"]),
    ],
)
def test_a_range(text: str, values: list[str]) -> None:
    assert parse_range(f"NAME={text}") == Range("NAME", tuple(values))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NAME",
        "NAME=",
        "NAME=a,b",
        "NAME=cases:a,b",
        "=case:a",
        "1A=case:a",
        "A-B=case:a",
        "NAME=range:",
        "NAME=range:a",
        "NAME=range:1.5,2",
        "NAME=range:1,2,3,4",
        "NAME=range:1,5,0",
        "NAME=range:5,5",
        "NAME=range:1,5,-1",
        f"NAME=range:{MAX_CASES + 1}",
        "NAME=range:999999999999999999",
        "NAME=range:9999999999999999999999",
        "NAME=linspace:0,1",
        "NAME=linspace:0,1,0",
        "NAME=linspace:0,1,-3",
        "NAME=linspace:0,1,2.5",
        "NAME=linspace:nan,1,2",
        "NAME=linspace:0,inf,2",
        "NAME=linspace:0,1e999999999,2",
        "NAME=linspace:0,1e400,3",
        "NAME=linspace:0,1,999999999999999999",
    ],
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_range(text, option="--env-range")
    assert str(caught.value).startswith("--env-range ")
    assert "\n" not in str(caught.value)


@quick
@given(names, st.lists(texts, min_size=1, unique=True))
def test_cases_come_back(name: str, values: list[str]) -> None:
    assert parse_range(f"{name}=case:{','.join(values)}") == Range(name, tuple(values))


@quick
@given(st.integers(-500, 500), st.integers(-500, 500), st.integers(-9, 9).filter(bool))
def test_integers_are_those_of_python(start: int, stop: int, step: int) -> None:
    expected = tuple(map(str, range(start, stop, step)))
    text = f"N=range:{start},{stop},{step}"
    if expected:
        assert parse_range(text).values == expected
    else:
        with pytest.raises(ConfigError):
            parse_range(text)


@quick
@given(
    st.floats(-1e9, 1e9, allow_nan=False),
    st.floats(-1e9, 1e9, allow_nan=False),
    st.integers(2, 50),
)
def test_numbers_are_evenly_spaced(start: float, stop: float, count: int) -> None:
    numbers = [float(text) for text in parse_range(f"N=linspace:{start},{stop},{count}").values]
    assert (numbers[0], numbers[-1]) == (start, stop)
    assert len(numbers) == count or start == stop or isclose(start, stop, rel_tol=1e-12)
    assert numbers in (sorted(numbers), sorted(numbers, reverse=True))
    if len(numbers) == count:
        for tick, number in enumerate(numbers):
            expected = start + (stop - start) * tick / (count - 1)
            assert isclose(number, expected, rel_tol=1e-9, abs_tol=1e-6)


@quick
@given(st.text(max_size=40) | st.from_regex(r"N=(case|range|linspace):[-0-9.,e]{0,20}"))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    try:
        found = parse_range(text)
    except ConfigError:
        return
    assert found.values and len(set(found.values)) == len(found.values) <= MAX_CASES


# --- their combinations --------------------------------------------------------------------------


def test_no_ranges_are_one_case() -> None:
    assert plan_cases(environ={"A": "1"}, exec="run") == [Case({}, {"A": "1"}, "*", "run")]


def test_the_last_range_changes_fastest() -> None:
    cases = plan_cases(
        build="make N=$N",
        exec="./main $M",
        env_ranges=[Range("SEED", ("1", "2"))],
        build_ranges=[Range("N", ("a", "b"))],
        exec_ranges=[Range("M", ("x",))],
    )
    assert [case.label for case in cases] == [
        "SEED=1 N=a M=x",
        "SEED=1 N=b M=x",
        "SEED=2 N=a M=x",
        "SEED=2 N=b M=x",
    ]
    assert cases[1] == Case(
        {"SEED": "1", "N": "b", "M": "x"}, {"SEED": "1"}, "make N=b", "./main x"
    )


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("run $N", "run 1"),
        ("run ${N}th", "run 1th"),
        ("run $N $N", "run 1 1"),
        ("run $N $HOME ${PATH} $(pwd) $?", "run 1 $HOME ${PATH} $(pwd) $?"),
        ("run $N $$N $$", "run 1 $N $"),
        ("run $N $NAME {N} %N", "run 1 $NAME {N} %N"),
    ],
)
def test_what_is_put_into_a_command(command: str, expected: str) -> None:
    (case,) = plan_cases(exec=command, exec_ranges=[Range("N", ("1",))])
    assert case.exec == expected
    (case,) = plan_cases(build=command, build_ranges=[Range("N", ("1",))])
    assert (case.build, case.exec) == (expected, "*")


def test_each_kind_of_range_has_its_own_place() -> None:
    (case,) = plan_cases(
        environ={"A": "$E $B $X"},
        build="$E $B $X",
        exec="$E $B $X",
        env_ranges=[Range("E", ("1",))],
        build_ranges=[Range("B", ("2",))],
        exec_ranges=[Range("X", ("3",))],
    )
    assert (case.environ, case.build, case.exec) == ({"A": "1 $B $X"}, "$E 2 $X", "$E $B 3")


def test_a_variable_of_its_own_or_in_another() -> None:
    alone, used = Range("SEED", ("1",)), Range("DAY", ("2",))
    (case,) = plan_cases(environ={"NAME": "run-$DAY", "X": "y"}, env_ranges=[alone, used])
    assert case.environ == {"NAME": "run-2", "X": "y", "SEED": "1"}


def test_a_value_is_not_looked_at_again() -> None:
    (case,) = plan_cases(exec="run $A $B", exec_ranges=[Range("A", ("$B",)), Range("B", ("$A",))])
    assert case.exec == "run $B $A"


@pytest.mark.parametrize(
    "arguments",
    [
        {"exec_ranges": [Range("N", ("1",))]},
        {"exec": "run", "exec_ranges": [Range("N", ("1",))]},
        {"exec": "run $$N", "exec_ranges": [Range("N", ("1",))]},
        {"build": "$N", "exec_ranges": [Range("N", ("1",))]},
        {"exec": "$N", "build_ranges": [Range("N", ("1",))]},
        {"env_ranges": [Range("N", ("1",)), Range("N", ("2",))]},
        {"exec": "$N", "env_ranges": [Range("N", "1")], "exec_ranges": [Range("N", ("2",))]},
        {"environ": {"N": "1"}, "env_ranges": [Range("N", ("2",))]},
        {"env_ranges": [Range(name, tuple(map(str, range(1000)))) for name in ("A", "B")]},
    ],
)
def test_what_makes_no_plan(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        plan_cases(**arguments)  # type: ignore[arg-type]


@quick
@given(
    st.dictionaries(
        st.from_regex(r"[A-Z]{1,3}", fullmatch=True),
        st.lists(words, min_size=1, max_size=4, unique=True),
        min_size=1,
        max_size=4,
    )
)
def test_every_combination_once(ranges: dict[str, list[str]]) -> None:
    command = " ".join(f"${{{name}}}" for name in ranges)
    cases = plan_cases(
        exec=command, exec_ranges=[Range(name, tuple(values)) for name, values in ranges.items()]
    )
    assert [case.exec for case in cases] == [" ".join(one) for one in product(*ranges.values())]
    assert len({case.label for case in cases}) == len(cases)
    assert all(list(case.values) == list(ranges) for case in cases)
