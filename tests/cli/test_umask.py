"""What commands and gateways write is for its owner only: with a umask of 0, and on file systems
that do not know permissions."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands, url_of, variables_of

NAME, PASSWORD = "me@example.com", "geheim pass"
FOREVER = "print('started'); io.stdout:flush(); while true do end"
KEPT = ("profiles.toml", "logins.json", "gateway.sqlite3", "index.sqlite3", "history", "id")
"""Files that hold secrets, or what may be one; SQLite's have two more beside them."""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def open_to_others(top: Path) -> Iterator[str]:
    """What other users can read or change below a folder that they can enter."""
    for path in sorted(top.iterdir()):
        mode = mode_of(path)
        if path.is_symlink() or not mode & 0o077:
            continue  # nobody else gets into such a folder
        yield f"{path.relative_to(top)} {mode:o}"
        if path.is_dir():
            yield from (f"{path.name}/{inner}" for inner in open_to_others(path))


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_umask_of_zero(commands: Commands) -> None:
    for folder in (commands.home, commands.tmp):
        folder.chmod(0o755)
    (commands.work / "file").write_text("x")
    (commands.work / "password").write_text(f"{PASSWORD}\n")
    for setting, value in (("access_key", ACCESS_KEY), ("secret_key", SECRET_KEY)):
        done = commands.run("config", "set", setting, stdin=f"{value}\n".encode())
        assert done.code == 0, done
    assert commands.run("config", "set", "endpoint", "http://127.0.0.1:1").code == 0
    options = ("--login", NAME, "--password-file", str(commands.work / "password"))
    keys = ("--access-key", ACCESS_KEY)
    with commands.serve(*options, *keys, env={"BACKEND_SECRET_KEY": SECRET_KEY}) as gateway:
        env = variables_of(gateway)
        web = {"BACKEND_ENDPOINT": url_of(gateway), "BACKEND_ENDPOINT_TYPE": "session"}
        done = commands.run("login", NAME, stdin=f"{PASSWORD}\n".encode(), env=web)
        assert done.code == 0, done
        for line in (
            "vfolder create data",
            "vfolder upload data file",
            "vfolder mkdir data inner",
            "create -q -t lab1 -m data python",
            "upload lab1 file",
            'run -q -t lab1 python -c \'open("data/written", "w").close()\'',
            "ssh-key generate --yes -f id",
            "dotfile set .netrc file",
        ):
            done = commands.run(*shlex.split(line), env=env)
            assert done.code in (0, 127) if line.startswith("ssh-key") else done.code == 0, done
        with commands.terminal("repl", "-t", "lab1", "python", env=env) as repl:
            repl.expect(">>>")
            repl.send("1 + 1\r")
            repl.expect("2")
            repl.send("\x04")
            repl.wait()
        with commands.start("run", "-q", "lua", "-c", FOREVER, env=env) as run:
            run.expect("started")
            journal = commands.home / ".local/state/backendai-trio/kernels"
            assert [oct(mode_of(path)) for path in journal.iterdir()] == ["0o600"]
            # While kernels run, too.
            for folder in (commands.home, commands.tmp):
                assert list(open_to_others(folder)) == []
            run.signal(signal.SIGKILL)
            run.wait()
        commands.run("gc", env=env)
        commands.run("rm", "lab1", env=env)
    for folder in (commands.home, commands.tmp):
        assert list(open_to_others(folder)) == []
    kept = [path for path in commands.home.rglob("*") if path.name.startswith(KEPT)]
    assert {"profiles.toml", "logins.json", "gateway.sqlite3", "index.sqlite3"} <= {
        path.name for path in kept if path.is_file()
    }
    for path in [*kept, *commands.work.glob("id")]:
        assert mode_of(path) == (0o700 if path.is_dir() else 0o600), path
    for path in commands.home.rglob("backendai-trio"):
        assert mode_of(path) == 0o700, path


# -- file systems without permissions -------------------------------------------------------------


@pytest.fixture(params=["ignores", "refuses"])
def foreign(
    request: pytest.FixtureRequest, commands: Commands, tmp_path: Path, c_compiler: str
) -> Path:
    """A folder in which there are no permissions, as on FAT and many network file systems.

    No such file system can be mounted everywhere, so the C library of the commands is made to
    believe in one; see ``no_permissions.c``.
    """
    library = tmp_path / "no_permissions.so"
    source = Path(__file__).with_name("no_permissions.c")
    compiled = subprocess.run(
        [c_compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=False
    )
    assert compiled.returncode == 0
    folder = tmp_path / "foreign"
    folder.mkdir()
    folder.chmod(0o777)
    commands.env |= {"LD_PRELOAD": str(library), "WITHOUT_PERMISSIONS": str(folder)}
    if request.param == "refuses":
        commands.env["REFUSES_CHMOD"] = "1"
    return folder


def holding(folder: Path, *secrets: str) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets)
    ]


def test_foreign_file_system_of_these_tests(commands: Commands, foreign: Path) -> None:
    made = f"{foreign}/d {foreign}/f {foreign}/d/g {commands.work}/own"
    script = (
        f"umask 77; set -- {made}; mkdir $1; touch $2 $3 $4; chmod 700 $1 $2 $3 $4; stat -c %a $@"
    )
    result = commands.shell(script)
    assert result.text.split() == ["777", "777", "777", "700"], result


def test_settings_on_a_foreign_file_system(commands: Commands, foreign: Path) -> None:
    """Keys, cookies of logins and private keys are not written where others can read them."""
    where = {"XDG_CONFIG_HOME": str(foreign), "XDG_STATE_HOME": str(foreign)}
    result = commands.run(
        "config", "set", "secret_key", stdin=f"{SECRET_KEY}\n".encode(), env=where
    )
    problem = result.problem(125)
    assert "no permissions that keep other users out" in problem and "profiles.toml" in problem
    (commands.work / "password").write_text(f"{PASSWORD}\n")
    options = ("--login", NAME, "--password-file", str(commands.work / "password"))
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve(*options, "--access-key", ACCESS_KEY, env=secret) as gateway:
        web = {"BACKEND_ENDPOINT": url_of(gateway), "BACKEND_ENDPOINT_TYPE": "session"}
        result = commands.run("login", NAME, stdin=f"{PASSWORD}\n".encode(), env=web | where)
        assert "no permissions that keep other users out" in result.problem(125)
        env = variables_of(gateway)
        result = commands.run("ssh-key", "generate", "--yes", str(foreign / "id"), env=env)
        assert "no permissions that keep other users out" in result.problem(125)
        # It was refused before the server had made one.
        assert commands.run("ssh-key", "show", env=env).code == 125
    assert [path for path in foreign.rglob("*") if path.is_file()] == []


def test_gateway_on_a_foreign_file_system(commands: Commands, foreign: Path) -> None:
    env = {"BACKEND_SECRET_KEY": SECRET_KEY}
    arguments = ("serve", "--port", "0", "--access-key", ACCESS_KEY)
    result = commands.run(*arguments, "--data", str(foreign / "data"), env=env)
    problem = result.problem(125, 126)
    assert "no permissions that keep other users out" in problem and "--data" in problem
    assert holding(foreign, SECRET_KEY, ACCESS_KEY) == []


def test_history_on_a_foreign_file_system(
    commands: Commands, served: Mapping[str, str], foreign: Path
) -> None:
    """Code may hold secrets; it is then remembered for as long as the REPL runs."""
    env = {**served, "XDG_STATE_HOME": str(foreign)}
    with commands.terminal("repl", "python", env=env) as repl:
        repl.expect(">>>")
        repl.send("'typed-' + 'secret'\r")
        repl.expect("typed-secret")
        repl.expect(">>>")
        repl.send("\x04")
        assert repl.wait() == 0
    assert holding(foreign, "typed-") == []
