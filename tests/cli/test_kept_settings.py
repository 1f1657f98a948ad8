"""What a user keeps on the server: dotfiles, an SSH key pair, and templates of sessions."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping

import pytest

from .commands import Commands

Env = Mapping[str, str]


def test_dotfiles(commands: Commands, served: Env) -> None:
    assert commands.run("dotfile", "list", env=served).text == "There are no dotfiles.\n"
    (commands.work / "rc").write_text("alias ü=ls\n")
    made = commands.run("dotfile", "set", ".bashrc", "rc", env=served)
    assert (made.code, made.stderr) == (0, "✔ The dotfile .bashrc is created.\n")
    made = commands.run(
        "dotfile", "set", ".run", "-", "--permission", "755", env=served, stdin=b"x"
    )
    assert made.code == 0, made.stderr
    again = commands.run("dotfile", "set", ".bashrc", "rc", env=served)
    assert again.stderr == "✔ The dotfile .bashrc is replaced.\n"
    assert commands.run("dotfile", "get", ".bashrc", env=served).text == "alias ü=ls\n"
    rows = json.loads(commands.run("dotfile", "list", "--json", env=served).text)
    assert {"path": ".run", "permission": "755", "size": 1, "data": "x"} in rows
    shown = commands.run("dotfile", "list", "-f", "size,path", env=served).text.split()
    assert shown[:2] == ["Size", "Path"] and "12" in shown
    listed = commands.run("run", "-q", "python", "-c", "print(open('.run').read())", env=served)
    assert listed.text == "x\n"
    (commands.work / "latin").write_bytes(b"\xfc")
    for words, reason in [
        (("set", ".a", "latin"), "a dotfile is text in UTF-8"),
        (("set", ".a", "rc", "--permission", "rw"), "three octal digits"),
    ]:
        assert reason in commands.run("dotfile", *words, env=served).problem(125)
    assert commands.run("dotfile", "delete", "-q", ".bashrc", ".run", env=served).stderr == ""
    assert "No such dotfile" in commands.run("dotfile", "get", ".run", env=served).problem(126)
    reserved = commands.run("dotfile", "set", ".ssh", "rc", env=served)
    assert "reserved" in reserved.problem(126)


@pytest.mark.usefixtures("ssh_keygen")
def test_ssh_key(commands: Commands, served: Env) -> None:
    assert "ssh-key generate FILE" in commands.run("ssh-key", "show", env=served).problem(125)
    made = commands.run("ssh-key", "generate", "id", env=served)
    assert (made.code, made.text) == (0, ""), made.stderr
    private, public = commands.work / "id", commands.work / "id.pub"
    assert private.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" in private.read_text()
    assert commands.run("ssh-key", "show", env=served).text == public.read_text()
    again = commands.run("ssh-key", "generate", "id", env=served)
    assert "id exists already; replace it with -f" in again.problem(125)
    before = private.read_text()
    unasked = commands.run("ssh-key", "generate", "-f", "id", env=served).problem(125)
    assert "key pair of the server is about to be replaced" in unasked and "--yes" in unasked
    assert private.read_text() == before
    assert commands.run("ssh-key", "show", env=served).text == public.read_text()
    assert commands.run("ssh-key", "generate", "-q", "-y", "-f", "id", env=served).stderr == ""
    assert private.read_text() != before
    (commands.work / "own").write_text(before)
    missing = commands.run("ssh-key", "upload", "own", env=served)
    assert "cannot read own.pub" in missing.problem(125)
    (commands.work / "own.pub").write_text("ssh-rsa AAAA me\n")
    assert "--yes" in commands.run("ssh-key", "upload", "own", env=served).problem(125)
    assert commands.run("ssh-key", "upload", "-q", "--yes", "own", env=served).code == 0
    assert commands.run("ssh-key", "upload", "-q", "own", env=served).code == 0  # is so already
    assert commands.run("ssh-key", "show", env=served).text == "ssh-rsa AAAA me\n"
    swapped = commands.run("ssh-key", "upload", "own.pub", env=served)
    assert swapped.code == 125
    assert sorted(path.name for path in commands.work.iterdir()) == [
        "id", "id.pub", "own", "own.pub"
    ]  # fmt: skip
    nowhere = commands.run("ssh-key", "generate", "-y", "missing/id", env=served)
    assert "cannot write missing/id" in nowhere.problem(125)


@pytest.mark.usefixtures("ssh_keygen")
def test_what_an_ssh_key_replaces(
    commands: Commands, served: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that was named is followed; a pipe or a socket stays, and no key pair is made."""
    (commands.work / "keys").mkdir()
    (commands.work / "id").symlink_to("keys/id")
    for overwrite in ((), ("--yes", "-f")):  # a link to nothing, and to a file
        made = commands.run("ssh-key", "generate", *overwrite, "id", env=served)
        assert made.code == 0, made.stderr
        assert (commands.work / "id").is_symlink()
        assert "PRIVATE KEY" in (commands.work / "keys" / "id").read_text()
        assert (commands.work / "keys" / "id").stat().st_mode & 0o777 == 0o600
    before = commands.run("ssh-key", "show", env=served).text
    os.mkfifo(commands.work / "pipe")
    (commands.work / "link").symlink_to("pipe")
    monkeypatch.chdir(commands.work)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for name in ("pipe", "socket", "link"):
            refused = commands.run("ssh-key", "generate", "--yes", "-f", name, env=served)
            assert "a device, a pipe or a socket" in refused.problem(125)
    assert (commands.work / "pipe").is_fifo() and (commands.work / "socket").is_socket()
    assert commands.run("ssh-key", "show", env=served).text == before


@pytest.mark.usefixtures("ssh_keygen")
def test_ssh_key_that_cannot_be_written(commands: Commands, served: Env) -> None:
    (commands.work / "id.pub").symlink_to("/dev/full")
    public = commands.run("ssh-key", "generate", "-f", "id", env=served).problem(125)
    assert "cannot write id.pub: No space left on device" in public
    assert "private key is in id;" in public
    assert "PRIVATE KEY" in (commands.work / "id").read_text()
    # A file of no bytes at most: that shows before the server replaces the pair that it has.
    before = commands.run("ssh-key", "show", env=served).text
    script = "ulimit -f 0; backend.ai ssh-key generate --yes other"
    private = commands.shell(script, served).problem(125)
    assert "cannot write other: File too large" in private and "new key pair" not in private
    assert commands.run("ssh-key", "show", env=served).text == before
    assert sorted(path.name for path in commands.work.iterdir()) == ["id", "id.pub"]


def test_templates(commands: Commands, served: Env) -> None:
    assert commands.run("template", "list", env=served).text == "There are no templates.\n"
    words = ("-r", "cpu=1", "-e", "A=1", "--tag", "t")
    made = commands.run("template", "create", "lab", "lua", *words, env=served)
    assert (made.code, made.stderr) == (0, "✔ The template lab is created.\n")
    (row,) = json.loads(commands.run("template", "list", "--json", env=served).text)
    assert (row["name"], row["id"], row["image"]) == ("lab", made.text.strip(), "lua")
    definition = json.loads(commands.run("template", "get", "lab", env=served).text)
    assert definition == row["definition"]
    assert definition["spec"]["resources"] == {"cpu": "1"}
    code = "print(os.getenv('A'), os.getenv('B'))"
    run = commands.run("run", "-q", "lua", "--template", "lab", "-e", "B=2", "-c", code, env=served)
    assert run.text.split() == ["1", "2"]
    job = commands.run("batch", "-q", "-", "--template", row["id"], "--", "echo $A", env=served)
    assert job.text == "1\n"
    made = commands.run("create", "-q", "-", "--template", "lab", "-t", "one", env=served)
    assert made.text == "one\n"
    assert json.loads(commands.run("info", "one", "--json", env=served).text)["runtime"] == "lua"
    commands.run("rm", "-q", "one", env=served)
    replaced = commands.run("template", "update", "lab", "python", env=served)
    assert replaced.stderr == "✔ The template lab is replaced.\n"
    for line, reason in [
        (("create", "-"), "name the template with --template"),
        (("template", "create", "x", "lua", "--priority", "1"), "does not hold a priority"),
        (("template", "create", "x", "lua", "--no-reuse"), "does not hold --max-wait and"),
    ]:
        assert reason in commands.run(*line, env=served).problem(125)
    gone = commands.run("template", "delete", "lab", "lab", env=served)
    assert "✔ The template lab is deleted." in gone.stderr and gone.code == 126
    for line in (("create", "-", "--template", "lab"), ("template", "get", "lab")):
        problem = commands.run(*line, env=served).problem(126)
        assert "No template 'lab'; 'backend.ai template list' lists" in problem
    assert commands.run("ps", "--json", env=served).text == "[]\n"
