"""No processes, no room, no writing: one line with the cause, and nothing half-written."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping

import pytest

from ..requirements import lacking
from .commands import Commands, Result


@pytest.fixture
def mounting() -> str:
    """The command in front of a shell that may mount, for itself only."""
    for words in (["unshare", "-m"], ["unshare", "-rm"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], check=False).returncode == 0
        ):
            return shlex.join(words)
    raise lacking("unshare cannot make a mount namespace here")


@pytest.fixture
def limited() -> str:
    """The command in front of one that is run by a user without other processes."""
    if os.getuid() != 0 or not (shutil.which("setpriv") and shutil.which("prlimit")):
        raise lacking("this needs root, setpriv and prlimit")
    # Files of this test are root's; only the limit of processes is to be that of another user.
    capabilities = "+dac_override,+dac_read_search"
    return (
        "setpriv --reuid 64999 --regid 64999 --clear-groups "
        f"--inh-caps -all,{capabilities} --ambient-caps {capabilities}"
    )


def said(result: Result) -> str:
    """The one line on standard error."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("∙ ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_no_processes(commands: Commands, limited: str, processes: int) -> None:
    """Too few for a gateway, for its isolation, and for the threads of both sides."""
    result = commands.shell(f"{limited} prlimit --nproc={processes} backend.ai run -q python -c 1")
    assert result.code == 125 and "no more processes or threads can be started" in said(result)


@pytest.mark.parametrize(
    ("mount", "command", "codes", "cause"),
    [
        (
            "size=200k",
            "TMPDIR=$D backend.ai run -q python main.py big",
            {125, 126},
            "No space left",
        ),
        ("size=200k", "TMPDIR=$D backend.ai run -q python - <big.py", {1}, "No space left"),
        ("size=200k", "backend.ai download lab1 big --dest $D", {125}, "No space left"),
        ("size=200k", "backend.ai cp lab1:big $D/big", {125}, "No space left"),
        ("ro", "backend.ai cp lab1:big $D/big", {125}, "Read-only file system"),
        ("ro", "backend.ai serve --port 0 --data $D/data", {125, 126}, "Read-only file system"),
    ],
)
def test_disk(
    commands: Commands,
    served: Mapping[str, str],
    mounting: str,
    mount: str,
    command: str,
    codes: set[int],
    cause: str,
) -> None:
    (commands.work / "main.py").write_text("print(1)")
    (commands.work / "big").write_bytes(os.urandom(1_000_000))
    (commands.work / "big.py").write_text("open('new', 'wb').write(bytes(1_000_000))")
    (commands.work / "disk").mkdir()
    env = served
    if "lab1" in command:
        commands.run("create", "-t", "lab1", "python", env=served)
        assert commands.run("upload", "lab1", "big", env=served).code == 0
    else:
        env = {}
    script = (
        f"D=$PWD/disk; export D; mount -t tmpfs -o {mount} none $D && {{ {command}; }}; code=$?; "
    )
    result = commands.shell(f"{mounting} sh -c {shlex.quote(script + 'ls $D; exit $code')}", env)
    assert result.code in codes, result
    if "big.py" in command:
        assert cause in result.stderr  # the traceback of the program
    else:
        assert cause in said(result)
        assert result.stdout == b""
    if env:
        commands.run("rm", "lab1", env=env)


@pytest.fixture
def no_privileges() -> str:
    """The command in front of one that may read no more than the permissions of files say."""
    if os.getuid() != 0:
        return ""
    if not shutil.which("setpriv"):
        raise lacking("this needs setpriv, as root")
    return "setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all"


@pytest.mark.parametrize(
    ("command", "said_of"),
    [
        ("run -q python -c 'print(1)'", None),
        ("repl -q python </dev/null", None),
        ("doctor", None),
        ("serve --port 0", "--data"),
        ("vfolder list", "--data"),
    ],
)
def test_home_of_another_user(
    commands: Commands, no_privileges: str, command: str, said_of: str | None
) -> None:
    """It is not needed; what has to be kept there names the option for another folder."""
    home = commands.work / "others"
    home.mkdir(mode=0)
    env = {"HOME": str(home), "XDG_CONFIG_HOME": str(commands.work)}
    try:
        result = commands.shell(f"{no_privileges} backend.ai {command}", env)
        without = commands.shell(f"{no_privileges} backend.ai config", {"HOME": str(home)})
    finally:
        home.chmod(0o700)
    if said_of is None:
        assert result.code == 0, result.stderr
    else:
        assert "Permission denied" in result.problem(125) and said_of in result.problem(125)
    assert "HOME is another user's" in without.problem(125)


@pytest.mark.usefixtures("ssh_keygen")
def test_private_keys_of_a_busy_file_stay(
    commands: Commands, served: Mapping[str, str], mounting: str
) -> None:
    """Nothing else has them: another attempt leaves alone what the one before has written."""
    (commands.work / "id").touch()
    script = (
        "mount --bind id id || exit 3; for room in unlimited unlimited 0; do (ulimit -f $room; "
        "backend.ai ssh-key generate --yes -f id); done; true"
    )
    result = commands.shell(f"{mounting} sh -c {shlex.quote(script)}", served)
    assert result.code == 0, result
    first, second, third = result.stderr.splitlines()
    kept = sorted(commands.work.glob(".id.*"))
    named = re.compile(r"cannot write id: Device or resource busy; .* key is in (\S+);")
    assert sorted(named.findall(first) + named.findall(second)) == [str(path) for path in kept]
    assert len(kept) == 2 and all("PRIVATE KEY" in path.read_text() for path in kept)
    assert "File too large" in third
