"""`backend.ai ssh` and `scp`: what they give to OpenSSH, and the key they keep.

In place of OpenSSH there are programs that note what they get; `test_openssh.py` has the real ones.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ..ssh_programs import install_client, install_server
from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of


@pytest.fixture
def notes(commands: Commands) -> Iterator[Any]:
    """A gateway with the kernel lab1; gives what ssh or scp noted last."""
    programs, file = commands.work.parent / "programs", commands.work.parent / "notes"
    install_server(programs)
    install_client(programs)
    commands.env |= {"PATH": f"{programs}:{commands.env['PATH']}", "SSH_NOTES": str(file)}
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    options = ("--isolation", "process-group", "--access-key", ACCESS_KEY)
    with commands.serve(*options, env=secret) as gateway:
        commands.env |= variables_of(gateway)
        assert commands.run("create", "-q", "-t", "lab1", "lua").code == 0
        yield lambda: json.loads(file.read_text())


def keys(commands: Commands) -> list[str]:
    """The files in which keys are kept."""
    return sorted(map(str, (commands.home / ".local/state/backendai-trio/ssh").iterdir()))


def options_of(noted: Mapping[str, Any]) -> dict[str, str]:
    words = [word[2:] for word in noted["argv"] if word.startswith("-o")]
    return dict(word.split("=", 1) for word in words)


def test_arguments_key_and_tunnel(commands: Commands, notes: Any) -> None:
    done = commands.run("ssh", "lab1", "-L", "1:2:3", "ls", "-l", "a b", stdin=b"hello")
    # The exit code is that of ssh, and its standard streams lead to the SSH server.
    assert (done.code, done.stderr) == (7, "")
    assert done.stdout == b"SSH-2.0-Test\r\nhello"
    noted = notes()
    (key,) = keys(commands)
    assert options_of(noted)["IdentityFile"] == f'"{key}"'
    assert (noted["mode"], noted["key"].splitlines()[0]) == (
        0o600, "-----BEGIN OPENSSH PRIVATE KEY-----",
    )  # fmt: skip
    assert noted["argv"][-6:] == ["lab1", "-L", "1:2:3", "ls", "-l", "a b"]
    for secret in (SECRET_KEY, noted["key"].splitlines()[1]):
        assert secret not in " ".join(noted["argv"])


def test_one_key_file_for_a_kernel(commands: Commands, notes: Any) -> None:
    for _ in range(2):
        commands.run("ssh", "lab1")
    (key,) = keys(commands)
    old = time.time() - 40 * 24 * 3600
    os.utime(key, (old, old))
    assert commands.run("create", "-q", "-t", "lab2", "lua").code == 0
    commands.run("ssh", "lab2")
    (other,) = keys(commands)  # the old one is gone
    assert other != key


def test_key_that_an_editor_uses_is_kept(commands: Commands, notes: Any) -> None:
    """Editors connect by what `--print-config` has printed, and write no key anew."""
    assert commands.run("ssh", "--print-config", "lab1").code == 0
    (key,) = keys(commands)
    old = time.time() - 40 * 24 * 3600
    os.utime(key, (old, old))
    done = commands.run("app", "--stdio", "--", "lab1", "sshd", stdin=b"hello")
    assert done.code == 0, done.stderr
    assert commands.run("create", "-q", "-t", "lab2", "lua").code == 0
    commands.run("ssh", "lab2")
    assert key in keys(commands)


def test_own_key_and_user(commands: Commands, notes: Any) -> None:
    (commands.work / "my 100% key").write_text("mine")
    commands.run("ssh", "-i", "my 100% key", "-l", "me", "lab1")
    options = options_of(notes())
    assert options["IdentityFile"].endswith('my 100%% key"') and options["User"] == "me"
    assert not (commands.home / ".local/state/backendai-trio/ssh").exists()


def test_entry_for_the_configuration(commands: Commands, notes: Any) -> None:
    url = commands.env["BACKEND_ENDPOINT"]
    assert commands.run("--profile", "mine", "config", "set", "endpoint", url).code == 0
    done = commands.run("ssh", "--print-config", "lab1", env={"BACKEND_PROFILE": "mine"})
    assert done.code == 0, done
    lines = done.text.splitlines()
    assert lines[0] == "Host lab1"
    settings = dict(line.split(None, 1) for line in lines[1:])
    assert "--profile mine app --stdio -- lab1 sshd" in settings["ProxyCommand"]
    assert settings["IdentityFile"] == f'"{keys(commands)[0]}"'
    assert settings["IdentitiesOnly"] == "yes"


@pytest.mark.parametrize(
    ("arguments", "user"),
    [
        (("-r", "src", "lab1:"), ""),
        (("-l", "1000", "-oX=y:z", "lab1:a", "lab1:b", "."), ""),
        (("me@lab1:a", "./b:c"), "me"),
    ],
)
def test_scp(commands: Commands, notes: Any, arguments: tuple[str, ...], user: str) -> None:
    commands.run("scp", *arguments)
    noted = notes()
    assert noted["argv"][0].endswith("scp")
    assert noted["argv"][-len(arguments) :] == list(arguments)
    assert options_of(noted)["ProxyCommand"].endswith("app --stdio -- lab1 sshd")
    assert not user or options_of(noted)["User"] == user


@pytest.mark.parametrize("arguments", [("a", "b"), ("lab1:a", "lab2:b"), ("a/b:c", "d"), ()])
def test_scp_without_a_kernel(commands: Commands, arguments: tuple[str, ...]) -> None:
    assert "ID:PATH" in commands.run("scp", *arguments).problem(125)


def test_problems(commands: Commands, notes: Any) -> None:
    assert "No such kernel" in commands.run("ssh", "nonesuch").problem(126)
    assert "No such kernel" in commands.run("scp", "a", "nonesuch:").problem(126)
    for name in ("ssh", "scp"):
        (commands.work.parent / "programs" / name).unlink()
    path = {"PATH": f"{commands.work.parent / 'programs'}"}
    assert "no ssh on PATH" in commands.run("ssh", "lab1", env=path).problem(125)


def test_kernel_without_ssh(commands: Commands, notes: Any) -> None:
    done = commands.run("start-service", "lab1", "sshd")
    assert "backend.ai app" in done.problem(126)
    assert commands.run("shutdown-service", "lab1", "sshd").code == 0
    assert "nonesuch" in commands.run("shutdown-service", "lab1", "nonesuch").problem(126)
    done = commands.run("apps", "lab1", "--json")
    (listed,) = json.loads(done.text)
    assert (listed["name"], listed["arguments"], listed["envs"]) == ("sshd", [], [])
