"""`backend.ai login` and `logout`, and the other commands through a login."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .commands import Commands, url_of
from .terminal import eventually

NAME, PASSWORD = "me@example.com", "geheim pass"


@pytest.fixture
def web(commands: Commands) -> Iterator[Mapping[str, str]]:
    """A gateway with logins; the variables that lead to it."""
    (commands.home / "password").write_text(f"{PASSWORD}\n")
    with commands.serve("--login", NAME, "--password-file", f"{commands.home}/password") as gateway:
        assert PASSWORD not in gateway.text("stderr")
        yield {"BACKEND_ENDPOINT": url_of(gateway), "BACKEND_ENDPOINT_TYPE": "session"}


def logins_of(commands: Commands) -> Path:
    return commands.home / ".local" / "state" / "backendai-trio" / "logins.json"


def test_commands_through_a_login(commands: Commands, web: Mapping[str, str]) -> None:
    assert "run 'backend.ai login'" in commands.run("ps", env=web).problem(125)
    assert "Wrong user name or password" in commands.run(
        "login", NAME, stdin=b"wrong\n", env=web
    ).problem(126)
    assert not logins_of(commands).exists()
    done = commands.run("login", NAME, stdin=f"{PASSWORD}\n".encode(), env=web)
    assert (done.code, done.stdout) == (0, b"") and NAME in done.stderr
    kept = logins_of(commands)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert PASSWORD not in kept.read_text() + done.stderr

    assert json.loads(commands.run("config", "--json", env=web).stdout)["user"] == NAME
    ran = commands.run("-v", "run", "python", "-c", "print(6 * 7)", env=web)
    assert (ran.code, ran.stdout) == (0, b"42\n")
    cookies = json.loads(kept.read_text())[web["BACKEND_ENDPOINT"]]["cookies"]
    assert all(value not in ran.stderr for value in cookies.values())
    assert commands.run("logout", env=web).code == 0
    assert "run 'backend.ai login'" in commands.run("ps", env=web).problem(125)
    assert "Nobody is logged in" in commands.run("logout", env=web).stderr


def test_by_hand(commands: Commands, web: Mapping[str, str]) -> None:
    with commands.terminal("login", env=web) as running:
        running.expect("User ID: ")
        running.send(f"{NAME}\r")
        running.expect("Password: ")
        assert eventually(lambda: not running.echoes())
        running.send(f"{PASSWORD}\r")
        running.expect("Logged in")
        assert running.wait() == 0
        assert PASSWORD not in running.text() and running.echoes()


def test_a_login_that_the_server_has_forgotten(commands: Commands, web: Mapping[str, str]) -> None:
    file = f"{commands.home}/password"
    assert commands.run("login", NAME, "--password-file", file, env=web).code == 0
    kept = logins_of(commands)
    (cookie,) = json.loads(kept.read_text())[web["BACKEND_ENDPOINT"]]["cookies"].values()
    kept.write_text(kept.read_text().replace(cookie, "x" * len(cookie)))
    assert "run 'backend.ai login'" in commands.run("ps", env=web).problem(126)
    assert commands.run("logout", env=web).code == 0
    assert json.loads(kept.read_text()) == {}


def test_a_login_that_others_can_read(commands: Commands, web: Mapping[str, str]) -> None:
    """Its cookie lets them in; nothing uses it until its owner has looked at that."""
    file = f"{commands.home}/password"
    assert commands.run("login", NAME, "--password-file", file, env=web).code == 0
    logins_of(commands).chmod(0o644)
    for words in (["ps"], ["logout"], ["login", NAME, "--password-file", file]):
        assert "chmod 600" in commands.run(*words, env=web).problem(125)
    logins_of(commands).chmod(0o600)
    assert commands.run("ps", env=web).code == 0


def test_in_a_profile(commands: Commands, web: Mapping[str, str]) -> None:
    for name in ("endpoint", "endpoint_type"):
        value = web[f"BACKEND_{name.upper()}"]
        assert commands.run("--profile", "web", "config", "set", name, value).code == 0
    stdin = f"{PASSWORD}\n".encode()
    assert commands.run("--profile", "web", "login", NAME, stdin=stdin).code == 0
    assert commands.run("--profile", "web", "ps", "--json").text == "[]\n"


def test_a_profile_without_logins_is_named(commands: Commands, web: Mapping[str, str]) -> None:
    settings = {"endpoint": "http://127.0.0.1:1", "access_key": f"AKIA{'A' * 16}"}
    for name, value in settings.items():
        assert commands.run("--profile", "lab", "config", "set", name, value).code == 0
    key = f"{'s' * 40}\n".encode()
    assert commands.run("--profile", "lab", "config", "set", "secret_key", stdin=key).code == 0
    # The variables of `web` are not used, and to change one of them would not help.
    problem = commands.run("--profile", "lab", "login", NAME, stdin=b"x\n", env=web).problem(125)
    assert "endpoint_type of the profile 'lab'" in problem and "BACKEND_" not in problem


def test_what_is_not_there(commands: Commands, served: Mapping[str, str]) -> None:
    assert "BACKEND_ENDPOINT:" in commands.run("login", NAME, stdin=b"x\n").problem(125)
    assert "BACKEND_ENDPOINT_TYPE" in commands.run("logout", env=served).problem(125)
    session = dict(served) | {"BACKEND_ENDPOINT_TYPE": "session"}
    assert "does not answer as a Backend.AI server" in commands.run(
        "login", NAME, stdin=b"x\n", env=session
    ).problem(125)
    assert "'cookie'" in commands.run(
        "ps", env=dict(served) | {"BACKEND_ENDPOINT_TYPE": "cookie"}
    ).problem(125)
    assert "name the user" in commands.run("login", stdin=b"x\n", env=session).problem(125)
