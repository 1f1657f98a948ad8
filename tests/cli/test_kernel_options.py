"""The options of commands that create a kernel, on a gateway and on older managers' forms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from backendai_cli.kernel_options import KernelOptions, kernel_options
from backendai_trio.wire.kernel_spec import WORK_FOLDER

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of

Env = Mapping[str, str]
ROW = "query { compute_session_list(limit: 9, offset: 0) { items { name tag group_name } } }"


def rows(commands: Commands, env: Env) -> list[dict[str, object]]:
    answer = json.loads(commands.run("admin", "query", ROW, env=env).text)
    found: list[dict[str, object]] = answer["compute_session_list"]["items"]
    return found


def test_project_and_tag_are_shown(commands: Commands, served: Env) -> None:
    made = commands.run(
        "create", "python", "-t", "lab1", "-g", "physics", "--tag", "night", env=served
    )
    assert made.code == 0, made.stderr
    of_variable = dict(served) | {"BACKEND_GROUP": "chemistry"}
    assert commands.run("create", "python", "-t", "lab2", env=of_variable).code == 0
    found = {row["name"]: (row["group_name"], row["tag"]) for row in rows(commands, served)}
    assert found == {"lab1": ("physics", "night"), "lab2": ("chemistry", None)}


def test_a_folder_is_mounted_where_it_was_asked_for(commands: Commands, served: Env) -> None:
    assert commands.run("vfolder", "create", "data", env=served).code == 0
    code = (
        "import os\n"
        "open('deep/er/x', 'w').write('kept')\n"
        "print(os.listdir('deep/er'), os.path.exists('data'))"
    )
    mount = "data:deep/er"
    result = commands.run("run", "-q", "python", "-m", mount, "-c", code, env=served)
    assert (result.code, result.text) == (0, "['x'] False\n"), result.stderr
    read = "print(open('data/x').read()); open('data/y', 'w')"
    result = commands.run("run", "-q", "python", "-m", "data:ro", "-c", read, env=served)
    assert result.text.startswith("kept\n")
    if "bubblewrap" in commands.run("doctor", env=served).text:
        assert result.code != 0
        assert "Read-only file system" in result.stderr


def test_folders_of_the_settings_are_mounted(commands: Commands, served: Env) -> None:
    for name in ("data", "models"):
        assert commands.run("vfolder", "create", name, env=served).code == 0
    (commands.work / ".env").write_text("BACKEND_VFOLDER_MOUNTS=data,models:large\n")
    code = "import os; print(sorted(os.listdir()))"
    result = commands.run("run", "-q", "python", "-m", "data:own", "-c", code, env=served)
    assert (result.code, result.text) == (0, "['large', 'own']\n"), result.stderr
    (commands.work / ".env").write_text("BACKEND_VFOLDER_MOUNTS=data:x:y\n")
    result = commands.run("run", "-q", "python", "-c", code, env=served)
    assert (result.code, result.text) == (125, "")
    assert "BACKEND_VFOLDER_MOUNTS: mount 'data:x:y'" in result.stderr


@pytest.mark.parametrize(
    "mounts",
    [
        ["shared", f"own:{WORK_FOLDER}/shared/x"],
        ["own:shared/x/y", "shared"],
        ["shared", "own:shared"],
        ["own:x/../shared", "shared"],
    ],
    ids=str,
)
def test_no_folder_is_made_in_another(commands: Commands, served: Env, mounts: list[str]) -> None:
    for name in ("shared", "own"):
        assert commands.run("vfolder", "create", name, env=served).code == 0
    options = [word for mount in mounts for word in ("-m", mount)]
    result = commands.run("run", "python", *options, "-c", "1", env=served)
    assert (result.code, result.text) == (126, ""), result.stderr
    assert "cannot be mounted" in result.stderr
    for name in ("shared", "own"):
        assert json.loads(commands.run("vfolder", "ls", name, "--json", env=served).text) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--cluster-size", "2"], "several containers"),
        (["--depends", "other"], "dependencies"),
        (["-o", "AKIAOTHER"], "another owner"),
        (["--assign-agent", "i-1"], "chosen agents"),
        (["--resource-group", "gpus"], "name one that you may use with --resource-group"),
        (["--callback-url", "http://127.0.0.1/"], "22.09"),
        (["--arch", "aarch64"], "22.03"),
        (["--priority", "1"], "24.09"),
        (["-m", "a/b"], "26.4.4"),
        (["-m", "data:/elsewhere"], WORK_FOLDER),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["create", "run"])
def test_what_the_server_cannot_do_creates_nothing(
    commands: Commands, served: Env, command: str, options: list[str], reason: str
) -> None:
    commands.run("vfolder", "create", "data", env=served)
    more = ["-c", "print('never')"] if command == "run" else []
    result = commands.run(command, "python", *options, *more, env=served)
    assert result.code in (125, 126), result.stderr
    assert reason in result.stderr
    assert result.text == ""
    assert rows(commands, served) == []


def test_a_bootstrap_script_is_text(commands: Commands, tmp_path: Path) -> None:
    script = "echo grüße\r\n"
    path = tmp_path / "script"
    path.write_bytes(script.encode())

    @click.command
    @kernel_options
    def command(kernel: KernelOptions) -> list[str]:
        return [kernel.spec("python").bootstrap_script for _ in range(2)]

    texts = command.main(["--bootstrap-script", str(path)], standalone_mode=False)
    assert texts == [script] * 2
    assert command.main([], standalone_mode=False) == ["", ""]
    result = commands.run("run", "python", "--bootstrap-script", str(path), "-c", "1")
    assert result.code == 126 and "a bootstrap script" in result.stderr
    path.write_bytes(script.encode("latin-1"))
    result = commands.run("run", "python", "--bootstrap-script", str(path), "-c", "1")
    assert "--bootstrap-script" in (said := result.problem(125)) and "not text in UTF-8" in said


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-m", "data:a:b"], "write it as NAME, NAME:PATH"),
        (["--preopen", "80"], "1024 to 65535"),
        (["--preopen", "http"], "as numbers"),
        (["--resource-opts", "shmem"], "write it as NAME=VALUE"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["create", "run", "repl"])
def test_malformed_options_are_refused(
    commands: Commands, served: Env, command: str, options: list[str], reason: str
) -> None:
    more = ["-c", "1"] if command == "run" else []
    result = commands.run(command, "python", *options, *more, env=served)
    assert reason in result.problem(125)
    assert rows(commands, served) == []


def test_an_old_manager_is_not_asked_for_what_it_does_not_know(commands: Commands) -> None:
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, "--era", "1.3", env=secret) as gateway:
        env = variables_of(gateway)
        refused = commands.run("run", "python", "-g", "physics", "-c", "1", env=env)
        assert "a project; managers can from 19.06 on" in refused.problem(125)
        assert commands.run("run", "-q", "python", "-c", "print(1)", env=env).text == "1\n"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-c", "print(1)"),
        ("create",),
        ("create", "--enqueue-only"),
        ("repl",),
        ("shell",),
    ],
    ids=" ".join,
)
def test_a_token_that_is_taken_is_not_joined(
    commands: Commands, served: Env, words: tuple[str, ...]
) -> None:
    command, *rest = words
    line = [command, "python", "-q", "-t", "lab1", "--no-reuse", *rest]
    if command == "create":
        assert commands.run(*line, env=served).code == 0
    else:
        assert commands.run("create", "-q", "python", "-t", "lab1", env=served).code == 0
    if command == "shell":
        with commands.terminal(*line, env=served) as running:
            running.expect("lab1")
            assert running.wait() == 126
    else:
        assert "lab1" in commands.run(*line, env=served).problem(126)
    rows = json.loads(commands.run("ps", "--json", env=served).text)
    assert [row["token"] for row in rows] == ["lab1"]


def test_help_has_two_sections(commands: Commands) -> None:
    for command in ("run", "create", "shell", "repl"):
        text = commands.run(command, "--help").text
        own, kernel = text.split("\nKernel options:\n")
        assert "--project" in kernel and "--project" not in own
        assert "--help" in own and "--env " in kernel
