"""What all commands share: width, pipes, colours, JSON, errors; profiles, -v."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from backendai_trio.config import SETTINGS

from .commands import ACCESS_KEY, SECRET_KEY, Commands
from .walk import EVERY, each

#: Arguments for each way of every command that has --json. One that is missing fails a test below.
JSON_RUNS = {
    ("admin", "agents"): ["admin", "agents", "--json"],
    ("admin", "domains"): ["admin", "domains", "--json"],
    ("admin", "projects"): ["admin", "projects", "--json"],
    ("admin", "resource-presets"): ["admin", "resource-presets", "--json"],
    ("admin", "images"): ["admin", "images", "--json"],
    ("admin", "keypairs"): ["admin", "keypairs", "--json"],
    ("admin", "resource-policies"): ["admin", "resource-policies", "--json"],
    ("admin", "scaling-groups"): ["admin", "scaling-groups", "--json"],
    ("admin", "sessions"): ["admin", "sessions", "--json"],
    ("admin", "users"): ["admin", "users", "--json"],
    ("admin", "vfolders"): ["admin", "vfolders", "--json"],
    **{
        ("admin", kind, "create"): ["admin", kind, "create", "x", *more, "--dry-run", "--json"]
        for kind, more in [
            ("domains", []),
            ("keypairs", []),
            ("projects", []),
            ("resource-policies", []),
            ("resource-presets", ["--resource-slots", "{}"]),
            ("scaling-groups", []),
            ("users", []),
        ]
    },
    **{
        ("admin", kind, action): ["admin", kind, action, "default", *more, "--dry-run", "--json"]
        for kind, setting in [
            ("domains", "--description"),
            ("projects", "--description"),
            ("resource-policies", "--idle-timeout"),
            ("scaling-groups", "--description"),
        ]
        for action, more in [("update", [setting, "7"]), ("delete", []), ("purge", [])]
        if action != "purge" or kind in ("domains", "projects")
    },
    ("announcement",): ["announcement", "--json"],
    ("apps",): ["apps", "a-token", "--json"],
    ("complete",): ["complete", "a-token", "x", "--json"],
    ("config",): ["config", "--json"],
    ("config", "list"): ["config", "list", "--json"],
    ("create",): ["create", "-q", "lua", "-t", "a-token", "--json"],
    ("dotfile", "list"): ["dotfile", "list", "--json"],
    ("doctor",): ["doctor", "--json"],
    ("images",): ["images", "--json"],
    ("info",): ["info", "a-token", "--json"],
    ("ls",): ["ls", "a-token", "--json"],
    ("ps",): ["ps", "--json"],
    ("resources",): ["resources", "--json"],
    ("template", "list"): ["template", "list", "--json"],
    ("vfolder", "hosts"): ["vfolder", "hosts", "--json"],
    ("vfolder", "info"): ["vfolder", "info", "a-folder", "--json"],
    ("vfolder", "invitations"): ["vfolder", "invitations", "--json"],
    ("vfolder", "list"): ["vfolder", "list", "--json"],
    ("vfolder", "list-allowed-types"): ["vfolder", "list-allowed-types", "--json"],
    ("vfolder", "ls"): ["vfolder", "ls", "a-folder", "--json"],
    ("vfolder", "trash"): ["vfolder", "trash", "--json"],
}
#: Those whose --json is a stream that does not end by itself, or that cannot be repeated; they have
#: tests of their own.
STREAMS = {
    ("events",),
    ("start-service",),
    ("vfolder", "clone"),
    ("vfolder", "create"),
    ("admin", "images", "rescan"),
    ("admin", "users", "purge"),
    *(("admin", kind, action) for kind in ("keypairs", "resource-presets", "users")
      for action in ("update", "delete")),
}  # fmt: skip


each_json = pytest.mark.parametrize("path", JSON_RUNS, ids=" ".join)


def has_json(command: click.Command) -> bool:
    return any("--json" in param.opts for param in command.params)


# -- every command ------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("columns", [60, 200])
def test_help_fits_the_window(commands: Commands, path: tuple[str, ...], columns: int) -> None:
    result = commands.run(*path, "--help", env={"COLUMNS": f"{columns}", "NO_COLOR": "1"})
    assert (result.code, result.stderr) == (0, "")
    assert "\x1b" not in result.text
    lines = result.text.splitlines()
    assert lines[0].startswith(f"Usage: backend.ai {' '.join(path)}")
    # Examples are not folded, since they are there to be copied.
    _, help_and_examples = lines[0], EVERY[path].help or ""
    verbatim = {line.strip() for line in help_and_examples.splitlines()}
    long = [line for line in lines if len(line) > columns and line.strip() not in verbatim]
    assert long == []
    # Nor is what a command does cut off in the list of its group.
    assert "..." not in result.text.partition("\nCommands:\n")[2]


@pytest.mark.parametrize("group", ["admin", "vfolder"])
def test_a_group_alone_shows_its_help(commands: Commands, group: str) -> None:
    result = commands.run(group)
    assert result.code == 0 and result == commands.run(group, "--help")
    assert commands.run("help", group) == result


def test_help_of_a_command_below(commands: Commands) -> None:
    result = commands.run("help", "vfolder", "upload")
    assert result == commands.run("vfolder", "upload", "--help")
    assert "'upload'" in commands.run("help", "vfolder", "uplaod").problem(125)
    assert "run --help" in commands.run("help", "run", "python").problem(125)


@each
def test_json_has_a_run_in_the_table(path: tuple[str, ...]) -> None:
    if has_json(EVERY[path]):
        assert path in JSON_RUNS or path in STREAMS, f"put {path} into JSON_RUNS"
    else:
        assert path not in JSON_RUNS


@each
def test_a_wrong_option_is_one_line(commands: Commands, path: tuple[str, ...]) -> None:
    problem = commands.run(*path, "--no-such-option").problem(125)
    assert "--no-such-option" in problem and "--help'" in problem


@each_json
def test_json_and_tables(
    commands: Commands, served: Mapping[str, str], path: tuple[str, ...]
) -> None:
    made = commands.run("run", "-q", "lua", "-t", "a-token", "-c", "x = 1", env=served)
    assert made.code == 0, made.stderr
    if path[0] == "vfolder":
        assert commands.run("vfolder", "create", "a-folder", env=served).code == 0
    plain = [word for word in JSON_RUNS[path] if word != "--json"]
    for columns in (60, 200):
        env = dict(served) | {"COLUMNS": f"{columns}", "NO_COLOR": "1"}
        result = commands.run(*JSON_RUNS[path], env=env)
        assert (result.code, result.stderr) == (0, "")
        assert json.loads(result.stdout) is not None
        piped = commands.run(*plain, env=env)
        assert piped.code == 0 and "\x1b" not in piped.text
        with commands.terminal(*plain, env=env) as shown:
            assert shown.wait() == 0
        # Bold is no colour: parameters 30 to 49 and 90 to 107 are.
        colors = r"\x1b\[([0-9;]*;)?([349]|10)[0-9][;m]"
        assert not re.search(colors, shown.written["stdout"].decode())
        widest = max((len(line) for line in shown.text().splitlines()), default=0)
        # A line of these is one value, which is not cut.
        uncut = path[0] in ("config", "doctor", "info") or path[1:] == ("info",)
        assert widest <= columns or uncut


# -- profiles ----------------------------------------------------------------------------------


@pytest.fixture
def lab(commands: Commands) -> Path:
    """A profile called lab, set as a person sets it; the file it is in."""
    for name, value in (("endpoint", "http://127.0.0.1:1"), ("access_key", ACCESS_KEY)):
        assert commands.run("--profile", "lab", "config", "set", name, value).code == 0
    secret = f"{SECRET_KEY}\n".encode()
    result = commands.run("--profile", "lab", "config", "set", "secret_key", stdin=secret)
    assert result.code == 0 and SECRET_KEY not in result.stderr + result.text
    return commands.home / ".config" / "backendai-trio" / "profiles.toml"


def test_a_profile(commands: Commands, lab: Path) -> None:
    assert stat.S_IMODE(lab.stat().st_mode) == 0o600
    assert stat.S_IMODE(lab.parent.stat().st_mode) == 0o700
    by_option = commands.run("--profile", "lab", "config", "--json")
    assert json.loads(by_option.stdout)["endpoint"] == "http://127.0.0.1:1"
    assert commands.run("config", "--json", env={"BACKEND_PROFILE": "lab"}) == by_option
    (commands.work / ".env").write_text("BACKEND_PROFILE=lab\n")
    assert commands.run("config", "--json") == by_option
    assert commands.run("config", "get", "access_key").text == f"{ACCESS_KEY}\n"


def test_a_secret_is_never_shown(commands: Commands, lab: Path) -> None:
    for arguments in (["config"], ["config", "get", "secret_key"], ["config", "list"],
                      ["config", "list", "--json"], ["-v", "ps"]):  # fmt: skip
        result = commands.run("--profile", "lab", *arguments)
        assert SECRET_KEY not in result.text + result.stderr
    problem = commands.run("config", "set", "secret_key", SECRET_KEY).problem(125)
    assert SECRET_KEY not in problem and "argument" in problem


def test_what_wins(commands: Commands, lab: Path) -> None:
    """Variables over SORNA_ variables over .env over the profile, one by one."""

    def endpoint(env: Mapping[str, str]) -> str:
        found = commands.run("config", "get", "endpoint", env={"BACKEND_PROFILE": "lab", **env})
        assert found.code == 0, found.stderr
        return found.text.strip()

    assert endpoint({}) == "http://127.0.0.1:1"
    (commands.work / ".env").write_text("BACKEND_ENDPOINT=http://127.0.0.1:2\n")
    assert endpoint({}) == "http://127.0.0.1:2"
    sorna = {"SORNA_ENDPOINT": "http://127.0.0.1:3"}
    assert endpoint(sorna) == "http://127.0.0.1:3"
    assert endpoint({**sorna, "BACKEND_ENDPOINT": "http://127.0.0.1:4"}) == "http://127.0.0.1:4"


def test_a_profile_that_is_named_beats_the_surroundings(commands: Commands, lab: Path) -> None:
    """Its server and its keys: none of another server goes to it, and no key of it to another."""
    other = {"BACKEND_ENDPOINT": "http://127.0.0.1:4", "SORNA_ACCESS_KEY": "AKIA" + "X" * 16}
    (commands.work / ".env").write_text(
        "BACKEND_SECRET_KEY='torn'\nBACKEND_GROUP=physics\nBACKEND_SKIP_SSLCERT_VALIDATION=1\n"
    )
    found = commands.run("--profile", "lab", "config", "--json", env=other)
    assert json.loads(found.stdout)["endpoint"] == "http://127.0.0.1:1"
    assert json.loads(found.stdout)["access_key"] == ACCESS_KEY and found.stderr == ""
    for name, value in (("group", "physics"), ("skip_sslcert_validation", "0")):
        got = commands.run("--profile", "lab", "config", "get", name, env=other)
        assert got.text == f"{value}\n"
    assert commands.run("--profile", "lab", "config", "unset", "access_key", env=other).code == 0
    problem = commands.run("--profile", "lab", "ps", env=other).problem(125)
    assert problem.startswith("✘ access_key of the profile 'lab': not set")
    assert "'backend.ai --profile lab config set access_key'" in problem


def test_a_profile_without_a_server(commands: Commands) -> None:
    """No gateway is started in its place."""
    assert commands.run("--profile", "new", "config", "set", "group", "physics").code == 0
    for named in (("--profile", "new"), ()):
        result = commands.run(*named, "run", "python", "-c", "1", env={"BACKEND_PROFILE": "new"})
        problem = result.problem(125)
        assert problem.startswith("✘ endpoint of the profile 'new': not set")
        assert "'backend.ai --profile new config set endpoint'" in problem


def test_settings_are_shown_though_one_is_missing(commands: Commands, lab: Path) -> None:
    for name in ("access_key", "group"):
        commands.run("--profile", "lab", "config", "unset", name)
    commands.run("--profile", "lab", "config", "set", "group", "physics")
    result = commands.run("--profile", "lab", "config", env={"BACKEND_DOMAIN": "science"})
    masked = f"{SECRET_KEY[:4]}{'*' * 32}{SECRET_KEY[-4:]}"
    assert result.code == 125 and "access_key of the profile 'lab': not set" in result.stderr
    assert result.text == ""
    assert result.stderr.splitlines()[:-1] == [
        "∙ endpoint of the profile 'lab': http://127.0.0.1:1",
        f"∙ secret_key of the profile 'lab': {masked}",
        "∙ BACKEND_DOMAIN: science",
        "∙ group of the profile 'lab': physics",
    ]
    assert commands.run("--profile", "lab", "config", "get", "group").text == "physics\n"


def test_every_setting_can_be_got_and_is_in_the_help(commands: Commands, lab: Path) -> None:
    values = {
        "ca_file": str(lab),
        "read_timeout": "0",
        "domain": "science",
        "group": "physics",
        "vfolder_mounts": "data,models:/models",
        "override_storage_proxy": "http://10.0.0.5:6021=https://storage.example.com",
    }
    for name, value in values.items():
        assert commands.run("--profile", "lab", "config", "set", name, value).code == 0
    help_text = commands.run("config", "--help").text
    for name in SETTINGS:
        got = commands.run("--profile", "lab", "config", "get", name)
        assert got.code == 0, got
        assert got.text.strip() == values.get(name, got.text.strip()) and name in help_text


def test_a_value_that_is_not_utf_8(commands: Commands) -> None:
    result = commands.run("config", "set", "domain", stdin=b"caf\xe9\n")
    assert "standard input cannot be read" in result.problem(125)
    assert commands.run("config", "list").text.startswith("There are no profiles.")


def test_the_default_profile(commands: Commands, lab: Path) -> None:
    assert json.loads(commands.run("config", "--json").stdout) == {"endpoint": None}
    lab.write_text("# mine\n" + lab.read_text().replace("[lab]", "[default]  # as well"))
    assert json.loads(commands.run("config", "--json").stdout)["access_key"] == ACCESS_KEY
    assert commands.run("config", "set", "connection_timeout", "5").code == 0
    assert "# mine" in lab.read_text() and "# as well" in lab.read_text()
    assert commands.run("config", "get", "connection_timeout").text == "5\n"
    assert commands.run("config", "unset", "connection_timeout").code == 0
    assert commands.run("config", "get", "connection_timeout").text == "10\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--profile", "other", "config"], "'other'"),
        (["config", "set", "endpoint", "nowhere"], "endpoint"),
        (["config", "set", "access_key", "short"], "access_key"),
        (["config", "set", "colour", "red"], "colour"),
        (["config", "set", "endpoint"], "empty"),
    ],
)
def test_what_cannot_be_set(commands: Commands, lab: Path, arguments: list[str], word: str) -> None:
    before = lab.read_text()
    assert word in commands.run(*arguments).problem(125)
    assert lab.read_text() == before


@pytest.mark.parametrize(
    ("text", "mode"),
    [("[lab]\n", 0o644), ("[lab\n", 0o600), ("endpoint = 'x'\n", 0o600), ("[lab]\nx = 1\n", 0o600)],
)
def test_a_file_that_is_not_right(commands: Commands, lab: Path, text: str, mode: int) -> None:
    lab.write_text(text)
    lab.chmod(mode)
    assert str(lab) in commands.run("config").problem(125)
    assert str(lab) in commands.run("config", "set", "endpoint", "http://127.0.0.1:1").problem(125)
    assert lab.read_text() == text


# -- -v, near misses -----------------------------------------------------------------


def test_requests_are_shown(commands: Commands, served: Mapping[str, str]) -> None:
    result = commands.run("-v", "run", "-q", "lua", "-c", "print(1)", env=served)
    assert (result.code, result.stdout) == (0, b"1\n")
    url = re.escape(served["BACKEND_ENDPOINT"])
    assert re.search(rf"^· POST /session at {url} -> 201, \d+ ms$", result.stderr, re.MULTILINE)
    assert re.search(rf"^· GET \S+ at {url} -> WebSocket$", result.stderr, re.MULTILINE)
    assert SECRET_KEY not in result.stderr and "BackendAI" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["info", "no-such-kernel"], 126),
        (["run", "-q", "cobol", "-c", "1"], 127),
        (["vfolder", "info", "no-such-folder"], 126),
        (["rm", "no-such-kernel"], 126),
        (["download", "lab1", "no-such-file"], 126),
    ],
)
def test_requests_are_in_errors_only_with_v(
    commands: Commands, served: Mapping[str, str], arguments: list[str], code: int
) -> None:
    assert commands.run("create", "-q", "lua", "-t", "lab1", env=served).code == 0
    problem = commands.run(*arguments, env=served).problem(code)
    assert "[" not in problem and "->" not in problem and ".:" not in problem, problem
    verbose = commands.run("-v", *arguments, env=served)
    assert verbose.code == code
    if arguments[0] != "download":  # the library found out by itself
        assert re.search(r"✘ .* \[[A-Z]+ /\S* -> \d{3}", verbose.stderr)


def test_a_warning_does_not_look_like_a_failure(commands: Commands) -> None:
    env = {
        "BACKEND_ENDPOINT": "https://127.0.0.1:1",
        "BACKEND_ACCESS_KEY": ACCESS_KEY,
        "BACKEND_SECRET_KEY": SECRET_KEY,
        "BACKEND_SKIP_SSLCERT_VALIDATION": "1",
    }
    lines = commands.run("ps", env=env).stderr.splitlines()
    assert [line[0] for line in lines] == ["!", "✘"], lines


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["rnu"], "'run'"),
        (["run", "--stat", "python", "-c", "1"], "--stats"),
        (["run", "-q", "pyton", "-c", "1"], "'python'"),
        (["config", "sett", "endpoint"], "'set'"),
    ],
)
def test_near_misses(commands: Commands, arguments: list[str], meant: str) -> None:
    assert meant in commands.run(*arguments).problem(125, 127)


def test_a_full_disk_is_one_line(commands: Commands) -> None:
    result = commands.shell("backend.ai run -q lua -c 'print(1)' >/dev/full")
    assert "space" in result.problem(125)
    asked = commands.shell(
        "backend.ai run -q lua -c 'print(1)' >/dev/full", {"BACKEND_TRACEBACK": "1"}
    )
    assert "Traceback" in asked.stderr
