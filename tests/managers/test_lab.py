"""The programs that start servers, as far as they can be held without one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .lab.main import main
from .lab.processes import LabError, Processes, last_lines
from .lab.pythons import find_python, install
from .lab.releases import FOLDER_VARIABLE, RELEASES, canonical, lab_of
from .lab.toml import toml_of

ROOT = Path(__file__).resolve().parent.parent.parent
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path, tmp_path)


def _ready(processes: Processes) -> None:
    processes.wait_ready("a", lambda: "up" in last_lines(processes.log("a")), seconds=20)


def test_process_is_found_again_and_ended_by_its_id(processes: Processes, tmp_path: Path) -> None:
    processes.start("a", SLEEP, cwd=tmp_path, env={})
    again = Processes(tmp_path, tmp_path)
    assert again.pid("a") is not None
    assert not again.end("a", signal.SIGTERM, seconds=20)
    assert processes.pid("a") is None
    assert processes.names("*") == []
    assert not processes.end("a", signal.SIGTERM, seconds=20)  # may be repeated


def test_process_that_does_not_heed_is_killed(processes: Processes, tmp_path: Path) -> None:
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP[-1]}"
    processes.start("a", [sys.executable, "-c", deaf], cwd=tmp_path, env={})
    _ready(processes)
    assert processes.end("a", signal.SIGTERM, seconds=0.3)
    assert processes.pid("a") is None


def test_note_of_another_process_is_none(processes: Processes, tmp_path: Path) -> None:
    """An id that was given to another process since is left alone."""
    processes.start("a", SLEEP, cwd=tmp_path, env={})
    note = tmp_path / "a.pid"
    true_note = note.read_text()
    note.write_text(f"{true_note.split()[0]} 1\n")
    assert processes.pid("a") is None
    note.write_text(true_note)
    processes.end("a", signal.SIGTERM, seconds=20)


def test_process_that_ends_early_says_why(processes: Processes, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('the port is taken')"]
    processes.start("a", command, cwd=tmp_path, env={})
    with pytest.raises(LabError, match=r"a ended.*\nthe port is taken"):
        processes.wait_ready("a", lambda: False, seconds=20)


def test_settings_are_toml() -> None:
    settings = {
        "a": 1,
        "b.c": 'text with " and \\ and é',
        "list": ["x", "y"],
        "empty": [],
        "flag": True,
        "table": {"number": 1.5, "inner": {"": "no name"}, "nothing": {}},
    }
    assert tomllib.loads(toml_of(settings)) == settings


def test_release_by_each_of_its_names() -> None:
    assert canonical("23.09.10") == canonical("v23.9.10") == "23.9.10"
    for name in ("24.03.1", "newest", ""):
        with pytest.raises(LabError, match="there is no release"):
            canonical(name)


def test_each_release_has_its_own_ports_and_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    labs = [lab_of(release) for release in RELEASES]
    assert len({lab.port_base // 1000 for lab in labs}) == len(labs)
    for lab in labs:
        assert lab.folder.parent == tmp_path
        for requirements in lab.environments().values():
            path = Path(__file__).parent / "requirements" / f"{requirements}.txt"
            assert "backend.ai" in path.read_text() or requirements.startswith("runtime")


def test_folder_that_sessions_do_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, "/home/somebody/managers")
    with pytest.raises(LabError, match=FOLDER_VARIABLE):
        lab_of("26.9.6")


def test_what_is_missing_is_said_before_anything_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an exit code that a failure of the lab does not have."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    lab = lab_of("1.3.12")
    monkeypatch.setattr(type(lab), "python", "3.1")
    assert main(["1.3.12", "check"]) == 77
    assert "1.3.12 needs Python 3.1, which was not found" in capsys.readouterr().err
    assert not lab.folder.exists()


def test_python_that_is_missing(tmp_path: Path) -> None:
    assert find_python(f"{sys.version_info[0]}.{sys.version_info[1]}") is not None
    assert find_python("3.1") is None
    requirements = tmp_path / "old.txt"
    requirements.write_text("")
    with pytest.raises(LabError, match="BACKENDAI_PYTHON_3_1"):
        install(tmp_path / "venv", "3.1", requirements, log=tmp_path / "log")


FAKE = """#!/bin/sh
echo "$2" >>actions
[ "$2" != "$FAILING" ] || exit "$CODE"
"""


@pytest.mark.parametrize(
    ("failing", "code", "expected", "actions"),
    [
        ("", 1, 0, ["check", "install", "start", "tests", "stop"]),
        ("check", 77, 0, ["check"]),
        ("check", 1, 1, ["check"]),
        ("check", 2, 2, ["check"]),
        ("install", 77, 77, ["check", "install", "stop"]),
        ("install", 1, 1, ["check", "install", "stop"]),
        ("start", 1, 1, ["check", "install", "start", "stop"]),
        ("tests", 1, 1, ["check", "install", "start", "tests", "tests", "stop"]),
    ],
)
def test_only_what_the_machine_lacks_leaves_a_release_out(
    tmp_path: Path, failing: str, code: int, expected: int, actions: list[str]
) -> None:
    for name, text in [
        (".ci/contract-suite", (ROOT / ".ci" / "contract-suite").read_text()),
        ("tests/managers/manager.py", FAKE),
        (".venv/bin/python", FAKE.replace("$2", "tests")),
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "FAILING": failing, "CODE": str(code)}
    ran = subprocess.run(
        [tmp_path / ".ci" / "contract-suite", "1.3.12"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == expected, ran.stderr
    assert (tmp_path / "actions").read_text().split() == actions
    assert ("LEFT OUT" in ran.stdout) == (expected == 0 and failing != "")


def test_a_release_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["nonsense", "check"])
    assert raised.value.code == 2 and "nonsense" in capsys.readouterr().err
