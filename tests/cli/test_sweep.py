"""Sweeps from a shell: what is shown, what is written, what runs again, and what is left."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import trio

from backendai_trio import GatewayOptions, open_gateway

from .commands import Commands, Result

SEED = 'print(os.getenv("SEED"))'


def lua(commands: Commands, *options: str, code: str = SEED) -> Result:
    """A sweep of Lua code on this machine."""
    return commands.run("run", "lua", "-c", code, *options)


def results_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def failing(commands: Commands, *seeds: int) -> str:
    """A program that fails for some seeds; returns its name."""
    bad = ", ".join(f"'{seed}'" for seed in seeds)
    (commands.work / "main.py").write_text(
        "import os, sys\n"
        "print('seed', os.environ['SEED'])\n"
        f"sys.exit(3 if os.environ['SEED'] in [{bad}] else 0)\n"
    )
    return "main.py"


# -- output -----------------------------------------------------------------------------------


def test_each_line_has_its_case_in_front(commands: Commands) -> None:
    code = 'io.write("one\\ntwo"); io.stderr:write("three\\n")'
    result = lua(commands, "-q", "--env-range", "SEED=case:1,20", code=code)
    assert result.code == 0
    lines = [f"{case} | {text}" for case in ("SEED=1 ", "SEED=20") for text in ("one", "two")]
    assert sorted(result.text.splitlines()) == lines
    assert sorted(result.stderr.splitlines()) == ["SEED=1  | three", "SEED=20 | three"]


def test_status(commands: Commands) -> None:
    result = lua(commands, "--local", "--env-range", "SEED=range:3")
    assert result.code == 0
    lines = result.stderr.splitlines()
    assert lines[0] == "∙ 3 cases, at most 2 at a time."
    assert lines[-1] == "✔ 3 of 3 cases succeeded."
    assert all(re.fullmatch(r"✔ SEED=\d: finished in \d+\.\d s\.", line) for line in lines[1:-1])
    assert len(lines) == 5


def test_long_labels_are_numbers(commands: Commands) -> None:
    long = "x" * 50
    result = lua(commands, "--env-range", f"SEED=case:{long},y")
    assert sorted(result.text.splitlines()) == [f"#1 | {long}", "#2 | y"]
    assert f"✔ #1 (SEED={long}): finished in " in result.stderr


def test_every_range(commands: Commands) -> None:
    (commands.work / "main.sh").write_text('echo "$NAME $OTHER $1 $(cat built)"\n')
    result = commands.run(
        *("run", "-q", "bash", "main.sh", "-e", "NAME=<$A>"),
        *("--env-range", "A=case:a1,a2", "--env-range", "OTHER=case:o"),
        *("--build", "echo ${B} >built", "--build-range", "B=linspace:0,1,2"),
        *("--exec", "bash main.sh $X", "--exec-range", "X=range:1,6,4"),
    )
    assert result.code == 0, result.stderr
    said = sorted(line.partition(" | ")[2] for line in result.text.splitlines())
    assert said == sorted(
        f"<{a}> o {x} {b}" for a in ("a1", "a2") for b in ("0", "1") for x in ("1", "5")
    )


@pytest.mark.parametrize("no_color", [False, True])
def test_colours_are_for_terminals(commands: Commands, no_color: bool) -> None:
    env = {"NO_COLOR": "1"} if no_color else {}
    arguments = ("run", "lua", "-c", SEED, "--env-range", "SEED=case:1,2")
    with commands.terminal(*arguments, env=env) as run:
        assert run.wait() == 0
    shown = run.written["stdout"].decode()
    assert "SEED=1 |" in shown and "SEED=2 |" in shown
    colors = {match[1] for match in re.finditer(r"\x1b\[(\d+)mSEED=\d \|\x1b\[0m", shown)}
    assert len(colors) == (0 if no_color else 2)
    assert bool(re.search(r"\x1b\[[0-9;]*m", shown)) != no_color


def test_what_asks_for_input_gets_its_end(commands: Commands) -> None:
    code = "print(io.read() == nil)"
    result = commands.run(
        "run", "-q", "lua", "-c", code, "--env-range", "SEED=case:1,2", stdin=b"typed\n"
    )
    assert (result.code, result.text.count("true")) == (0, 2)


# -- failures, results, resuming --------------------------------------------------------------


def test_media_are_saved(commands: Commands) -> None:
    code = "import os, backendai_display as d; d.show('image/png', os.environ['N'].encode())"
    options = ("--env-range", "N=case:a,b", "--media-dir", "pictures")
    done = commands.run("run", "-q", "python", "-c", code, *options)
    assert (done.code, done.stdout) == (0, b"")
    saved = dict(
        re.findall(r"∙ N=(.): Saved image/png: (pictures/picture-[12].png)\n", done.stderr)
    )
    for case in ("a", "b"):
        assert (commands.work / saved[case]).read_bytes() == case.encode()
    done = commands.run("run", "python", "-c", code, *options, "--media", "skip")
    assert "∙ N=a: Skipped image/png (1 byte).\n" in done.stderr
    assert len(list((commands.work / "pictures").iterdir())) == 2


def test_results(commands: Commands) -> None:
    main = failing(commands, 1)
    result = commands.run(
        "run", "python", main, "--env-range", "SEED=range:3", "--results", "out.jsonl"
    )
    assert result.code == 1
    assert "✘ SEED=1: exit code 3\n" in result.stderr
    assert result.stderr.endswith(
        "✘ 2 of 3 cases succeeded, 1 failed; run these with --resume out.jsonl.\n"
    )
    found = {line["case"]["SEED"]: line for line in results_of(commands.work / "out.jsonl")}  # type: ignore[index]
    assert sorted(found) == ["0", "1", "2"]
    for seed, line in found.items():
        assert line["exit_code"] == (3 if seed == "1" else 0)
        assert line["succeeded"] == (seed != "1")
        assert line["problem"] == ("exit code 3" if seed == "1" else None)
        assert (line["stdout"], line["stderr"]) == (f"seed {seed}\n", "")
        assert line["truncated"] is False
        assert line["statistics"]["cpu_used"] > 0  # type: ignore[index]


def test_results_are_not_overwritten(commands: Commands) -> None:
    path = commands.work / "out.jsonl"
    path.write_text("precious\n")
    problem = lua(commands, "--env-range", "SEED=case:1", "--results", "out.jsonl").problem(125)
    assert "--results out.jsonl: the file exists" in problem and "--resume" in problem
    assert path.read_text() == "precious\n"


def test_only_what_failed_or_is_missing_runs_again(commands: Commands) -> None:
    arguments = ("run", "-q", "python", "main.py", "--env-range")
    failing(commands, 1, 2)
    assert commands.run(*arguments, "SEED=range:4", "--results", "a.jsonl").code == 1
    failing(commands, 2)
    again = commands.run(*arguments, "SEED=range:5", "--resume", "a.jsonl")
    assert again.code == 1
    assert sorted(again.text.splitlines()) == [f"SEED={n} | seed {n}" for n in (1, 2, 4)]
    failing(commands)
    third = commands.run(*arguments, "SEED=range:5", "--resume", "a.jsonl")
    assert (third.code, third.text) == (0, "SEED=2 | seed 2\n")
    assert commands.run(*arguments, "SEED=range:5", "--resume", "a.jsonl").text == ""
    last = {
        line["case"]["SEED"]: line["succeeded"] for line in results_of(commands.work / "a.jsonl")
    }  # type: ignore[index]
    assert last == {f"{n}": True for n in range(5)}


def test_a_file_that_a_crash_cut_short(commands: Commands) -> None:
    path = commands.work / "a.jsonl"
    assert lua(commands, "--env-range", "SEED=range:2", "--results", "a.jsonl").code == 0
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first + second[:-9])
    seed = json.loads(second)["case"]["SEED"]
    result = lua(commands, "--env-range", "SEED=range:2", "--resume", "a.jsonl")
    assert (result.code, result.text) == (0, f"SEED={seed} | {seed}\n")
    assert {line["case"]["SEED"] for line in results_of(path)} == {"0", "1"}  # type: ignore[index]


def test_a_last_result_without_its_newline_counts(commands: Commands) -> None:
    path = commands.work / "a.jsonl"
    assert lua(commands, "--env-range", "SEED=range:2", "--results", "a.jsonl").code == 0
    before = path.read_text()
    path.write_text(before.removesuffix("\n"))
    result = lua(commands, "--env-range", "SEED=range:3", "--resume", "a.jsonl")
    assert (result.code, result.text) == (0, "SEED=2 | 2\n")
    assert path.read_text().startswith(before) and len(results_of(path)) == 3


@pytest.mark.parametrize(
    "content",
    [
        b'{"case": {"OTHER": "1"}, "succeeded": true}\n',
        b"{}\n{}\n",
        b"1\n\n",
        b"\xff\xfe\n",
        b"print(1)",
        b"1\n",
    ],
)
def test_a_file_that_is_of_something_else(commands: Commands, content: bytes) -> None:
    path = commands.work / "a.jsonl"
    path.write_bytes(content)
    problem = lua(commands, "--env-range", "SEED=case:1", "--resume", "a.jsonl").problem(125)
    assert "a.jsonl" in problem
    assert path.read_bytes() == content


def test_fail_fast(commands: Commands) -> None:
    main = failing(commands, 0)
    arguments = ("run", "python", main, "--env-range", "SEED=range:30", "--max-parallel", "1")
    result = commands.run(*arguments, "--fail-fast", "--results", "a.jsonl")
    assert (result.code, result.text) == (1, "SEED=0  | seed 0\n")
    assert "0 of 30 cases succeeded, 1 failed, 29 did not run to the end" in result.stderr
    assert len(results_of(commands.work / "a.jsonl")) == 1


def test_what_is_wrong_with_all_cases_is_said_once(commands: Commands) -> None:
    result = commands.run("run", "-q", "nothing", "-c", "x", "--env-range", "SEED=range:9")
    assert "nothing" in result.problem(127)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--env-range", "SEED"], "--env-range"),
        (["--env-range", "SEED=range:1,x"], "range:"),
        (["--exec-range", "N=case:1"], "--exec-range N"),
        (["--max-parallel", "3"], "--max-parallel"),
        (["--results", "x"], "--results"),
        (["--fail-fast"], "--fail-fast"),
        (["--env-range", "A=case:1", "--max-parallel", "0"], "--max-parallel"),
        (["--env-range", "A=case:1", "-t", "token"], "-t"),
        (["--env-range", "A=case:1", "--keep"], "--keep"),
        (["--env-range", "A=case:1", "--results", "no/such/folder"], "no/such/folder"),
    ],
)
def test_wrong_usage(commands: Commands, options: list[str], word: str) -> None:
    assert word in lua(commands, "-q", *options).problem(125)


# -- how many at once, and what is left -------------------------------------------------------


def test_two_hundred_cases(commands: Commands, gateway_parent: Path) -> None:
    """The gateway counts the kernels: it refuses a ninth."""

    async def sweep_against_eight() -> Result:
        async with open_gateway(GatewayOptions(max_sessions=8)) as gateway:
            config = gateway.config
            server = {
                "BACKEND_ENDPOINT": config.endpoint.url,
                "BACKEND_ACCESS_KEY": config.access_key,
                "BACKEND_SECRET_KEY": config.secret_key,
            }
            sweep = ("--env-range", "SEED=range:200", "--max-parallel", "8")
            arguments = ("run", "-q", "lua", "-c", SEED, *sweep, "--results", "a.jsonl")
            done = await trio.to_thread.run_sync(
                partial(commands.run, *arguments, env=server, seconds=240)
            )
            assert gateway.tokens() == []
            return done

    result = trio.run(sweep_against_eight)  # not a test of pytest-trio, whose time is limited
    assert (result.code, result.stderr) == (0, "")
    assert sorted(result.text.split()[2::3], key=int) == [f"{n}" for n in range(200)]
    found = results_of(commands.work / "a.jsonl")
    assert len(found) == 200 and all(line["succeeded"] for line in found)


@pytest.mark.parametrize("embedded", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_all(
    commands: Commands, served: Mapping[str, str], number: signal.Signals, embedded: bool
) -> None:
    env = {} if embedded else served
    code = 'if tonumber(os.getenv("SEED")) > 4 then while true do end end'
    sweep = ("--env-range", "SEED=range:200", "--max-parallel", "3", "--results", "a.jsonl")
    with commands.start("run", "lua", "-c", code, *sweep, env=env) as run:
        for _ in range(5):
            run.expect("finished in", on="stderr")
        run.signal(number)
        assert run.wait() == 128 + number
    last = run.text("stderr").splitlines()[-1]
    assert last == (
        "✘ 5 of 200 cases succeeded, 195 did not run to the end; run these with --resume a.jsonl."
    )
    assert len(results_of(commands.work / "a.jsonl")) == 5
    if not embedded:
        assert json.loads(commands.run("ps", "--json", env=served).stdout) == []


def test_nobody_reads(commands: Commands) -> None:
    code = 'while true do print("x") end'
    result = commands.shell(
        f"backend.ai run -q lua -c '{code}' --env-range SEED=range:9 | head -n 3"
    )
    assert result.text.count("\n") == 3
    assert "Traceback" not in result.stderr
