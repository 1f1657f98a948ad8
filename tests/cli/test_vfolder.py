"""`backend.ai vfolder`, from a shell: with a gateway that stays, and with none."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

from backendai_trio.testing import gateway_in_thread

from .commands import ACCESS_KEY, NO_SERVER, SECRET_KEY, Commands, variables_of
from .terminal import on_terminal

MIB = 1024 * 1024


@pytest.fixture
def files(commands: Commands) -> Path:
    """Some files in the current folder."""
    (commands.work / "sub" / "empty").mkdir(parents=True)
    (commands.work / "a.txt").write_text("eins\n")
    (commands.work / "sub" / "b.bin").write_bytes(random.Random(0).randbytes(2_000_000))
    return commands.work


def peak_mib(pid: int) -> float:
    """The most memory a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def test_columns_of_lists(commands: Commands, served: Mapping[str, str]) -> None:
    commands.run("vfolder", "create", "data", env=served)
    shown = commands.run("vfolder", "list", "-f", "usage_mode,name", "--json", env=served)
    assert json.loads(shown.text) == [{"usage_mode": "general", "name": "data"}]
    table = commands.run("vfolder", "list", "-f", "host,name", env=served).text.split()
    assert table[:2] == ["Host", "Name"] and table[-1] == "data"
    for name in ("list", "trash", "invitations"):
        wrong = commands.run("vfolder", name, "-f", "nonsense", env=served)
        assert "there is no column 'nonsense'" in wrong.problem(125)


def test_a_life(commands: Commands, served: Mapping[str, str], files: Path) -> None:
    def run(*arguments: str) -> str:
        result = commands.run("vfolder", *arguments, env=served)
        assert result.code == 0, result.stderr
        return result.text

    assert "no virtual folders" in run("list")
    assert run("create", "data") == ""
    (row,) = json.loads(run("list", "--json"))
    assert row["name"] == "data" and row["is_owner"]
    assert "data" in run("list")
    assert run("upload", "data", "a.txt", "sub", "-r") == ""
    assert [item["name"] for item in json.loads(run("ls", "data", "--json"))] == ["a.txt", "sub"]
    assert "b.bin" in run("ls", "data", "sub")
    assert json.loads(run("info", "data", "--json"))["num_files"] == 2
    assert "2,000,005" in run("info", "data")
    run("mkdir", "data", "x/y", "-p")
    run("mv", "data", "a.txt", "x/y/c.txt")
    run("download", "data", "x", "sub", "-b", "back")
    assert (files / "back" / "x" / "y" / "c.txt").read_text() == "eins\n"
    assert (files / "back" / "sub" / "b.bin").read_bytes() == (files / "sub" / "b.bin").read_bytes()
    run("rm", "data", "x", "-r")
    run("rename", "data", "other")
    assert json.loads(run("invitations", "--json")) == []
    run("delete", "other")
    assert json.loads(run("list", "--json")) == []


def test_options_clones_hosts_and_archives(
    commands: Commands, served: Mapping[str, str], files: Path
) -> None:
    def run(*arguments: str) -> str:
        result = commands.run("vfolder", *arguments, env=served)
        assert result.code == 0, result.stderr
        return result.text

    def fails(*arguments: str) -> str:
        return commands.run("vfolder", *arguments, env=served).problem(125, 126)

    run("create", "data", "--usage-mode", "model", "-p", "ro")
    run("upload", "data", "a.txt", "sub", "-r")
    assert "update-options --cloneable" in fails("clone", "data", "data-2")
    assert "name an option" in fails("update-options", "data")
    run("update-options", "data", "--cloneable", "-p", "wd")
    shown = run("info", "data")
    for line in ("Cloneable   yes", "Permission  wd", "Usage mode  model", "Host        local"):
        assert line in shown
    assert "Project" not in shown and "Quota scope" not in shown
    copied = json.loads(run("clone", "data", "data-2", "--json"))
    assert (copied["name"], copied["usage_mode"], copied["num_files"]) == ("data-2", "model", 2)
    said = commands.run("vfolder", "clone", "data", "data-3", env=served).stderr
    assert said.startswith("✔ Cloned the virtual folder data to data-3 (ID: ")
    run("update-options", "data", "--set-cloneable", "false")
    assert "Cloneable   no" in run("info", "data")
    (host,) = json.loads(run("hosts", "--json"))
    assert host == {"name": "local", "default": True, "used_percent": None}
    assert "local" in run("hosts") and run("hosts") == run("list-hosts")
    assert run("list-allowed-types") == "user\n"
    assert json.loads(run("list-allowed-types", "--json")) == ["user"]
    run("rename-file", "data", "a.txt", "b.txt")
    assert "sub/a.txt" in fails("rename-file", "data", "b.txt", "sub/a.txt")
    run("download", "data", "b.txt", "sub", "--archive", "all.zip")
    with ZipFile(files / "all.zip") as archive:
        assert archive.read("b.txt") == b"eins\n" and archive.testzip() is None
    assert "all.zip exists already" in fails("download", "data", "b.txt", "--archive", "all.zip")
    run("download", "data", "b.txt", "--archive", "all.zip", "-f")
    assert ZipFile(files / "all.zip").namelist() == ["b.txt"]
    assert "list-hosts" not in run("--help") and "hosts" in run("--help")
    fails("list", "-g", "nonesuch")


def test_trash(commands: Commands, files: Path) -> None:
    with gateway_in_thread() as gateway:
        gateway.faults.trash = True

        def run(*arguments: str) -> tuple[str, str]:
            result = commands.run("vfolder", *arguments, env=gateway.environ)
            assert result.code == 0, result.stderr
            return result.text, result.stderr

        assert "The trash is empty." in "".join(run("trash"))
        run("create", "data")
        _, said = run("delete", "data")
        assert "to the trash" in said
        assert "vfolder restore data" in said and "vfolder purge data" in said
        assert json.loads(run("list", "--json")[0]) == []
        assert json.loads(run("trash", "--json")[0])[0]["status"] == "delete-pending"
        assert "delete-pending" in run("trash")[0]
        taken = commands.run("vfolder", "create", "data", env=gateway.environ).problem(126)
        assert "in the trash" in taken and "[" not in taken
        run("restore", "data")
        assert json.loads(run("list", "--json")[0])[0]["name"] == "data"
        run("delete", "data")
        assert run("purge", "data", "--yes")[1] == "✔ Purged the virtual folder data.\n"
        run("create", "data")
        assert run("delete", "--purge", "-y", "data")[1] == "✔ Deleted the virtual folder data.\n"
        assert json.loads(run("trash", "--json")[0]) == []
        missing = commands.run("vfolder", "restore", "data", env=gateway.environ).problem(126)
        assert "the trash has no virtual folder 'data'" in missing


@pytest.mark.parametrize("has_trash", [True, False])
def test_what_is_removed_for_good(commands: Commands, has_trash: bool) -> None:
    with gateway_in_thread() as gateway:
        gateway.faults.trash = has_trash

        def kept() -> bool:
            rows = json.loads(commands.run("vfolder", "list", "--json", env=gateway.environ).text)
            return [row["name"] for row in rows] == ["data"]

        assert commands.run("vfolder", "create", "data", env=gateway.environ).code == 0
        for words in (["purge", "data"], ["delete", "--purge", "data"]):
            problem = commands.run("vfolder", *words, env=gateway.environ).problem(125)
            assert "data is about to be removed for good" in problem and "--yes" in problem
            assert kept()
        # Without a terminal as official clients do it: test_trash, test_a_life.
        if not has_trash:  # a person who cannot be asked
            script = '"$0" vfolder delete data 2>log'
            words = ["sh", "-c", script, *commands.argv()]
            environ = commands.env | gateway.environ
            with on_terminal(words, env=environ, cwd=commands.work) as shown:
                assert shown.wait() == 125
            assert "There is no terminal to ask at" in (commands.work / "log").read_text()
            assert kept()
        with commands.terminal("vfolder", "delete", "data", env=gateway.environ) as shown:
            if not has_trash:
                shown.expect("Go on? [y/N]")
                shown.send("n\n")
            assert shown.wait() == (0 if has_trash else 130)
        assert kept() is not has_trash
        last = "purge" if has_trash else "delete"
        with commands.terminal("vfolder", last, "data", env=gateway.environ) as shown:
            shown.expect("Go on? [y/N]")
            shown.send("y\n")
            assert shown.wait() == 0
        assert not kept()


def test_no_server(commands: Commands, files: Path) -> None:
    """Each command has a gateway of its own, and folders last from one to the next."""
    made = commands.run("vfolder", "create", "data")
    assert (made.code, made.stdout) == (0, b""), made.stderr
    assert made.stderr.startswith(NO_SERVER + "✔ Created the virtual folder data (ID: ")
    assert commands.run("vfolder", "upload", "-q", "data", "a.txt").stderr == ""
    code = "print(open('data/a.txt').read(), end=''); open('data/result', 'w').write('zwei')"
    ran = commands.run("run", "-q", "python", "-m", "data", "-c", code)
    assert (ran.code, ran.text) == (0, "eins\n"), ran.stderr
    assert commands.run("vfolder", "download", "-q", "data", "result").code == 0
    assert (files / "result").read_text() == "zwei"
    folder = commands.home / ".local" / "share" / "backendai-trio"
    assert folder.stat().st_mode & 0o777 == 0o700
    # And `serve` has the same ones.
    with commands.serve() as gateway:
        url = variables_of(gateway)["BACKEND_ENDPOINT"]
        lines = commands.run("serve", "--print-env", "--port", url.rpartition(":")[2]).text
        shown = commands.shell(f"{lines}\nbackend.ai vfolder ls data --json")
        assert [item["name"] for item in json.loads(shown.stdout)] == ["a.txt", "result"]


def test_a_run_without_folders_leaves_nothing_at_home(commands: Commands) -> None:
    assert commands.run("run", "-q", "python", "-c", "1").code == 0
    assert list(commands.home.iterdir()) == []


def test_folders_outlive_the_gateway(commands: Commands, files: Path) -> None:
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    for first in (True, False):
        with commands.serve("--access-key", ACCESS_KEY, env=secret) as gateway:
            served = variables_of(gateway)
            if first:
                assert commands.run("vfolder", "create", "data", env=served).code == 0
                assert commands.run("vfolder", "upload", "data", "a.txt", env=served).code == 0
            else:
                assert "a.txt" in commands.run("vfolder", "ls", "data", env=served).text
            gateway.signal(signal.SIGKILL if first else signal.SIGTERM)
            gateway.wait()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "no name"), 125, "cannot name"),
        (("create", ".."), 125, "cannot name"),
        (("info", "nope"), 126, "nope"),
        (("upload", "data", "missing"), 125, "missing"),
        (("upload", "data", "sub"), 125, "folder"),
        (("upload", "nope", "a.txt"), 126, "nope"),
        (("download", "data", "missing"), 125, "missing"),
        (("download", "data", "../../x"), 125, ".."),
        (("mkdir", "data", "../x"), 126, ".."),
        (("mv", "data", "missing", "x"), 126, "missing"),
        (("rm", "data", "missing"), 126, "missing"),
        (("invite", "data", "nobody@example.com"), 125, "nobody"),
        (("accept", "nope"), 126, "invitation"),
        (("restore", "data"), 125, "no trash"),
        (("purge", "-y", "data"), 125, "no trash"),
    ],
)
@pytest.mark.usefixtures("files")
def test_refusals_are_one_line(
    commands: Commands,
    served: Mapping[str, str],
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert commands.run("vfolder", "create", "data", env=served).code == 0
    assert said in commands.run("vfolder", *arguments, env=served).problem(code)


def test_a_mount_that_is_missing(commands: Commands, served: Mapping[str, str]) -> None:
    result = commands.run("run", "-q", "python", "-m", "nope", "-c", "1", env=served)
    assert "nope" in result.problem(126)
    assert json.loads(commands.run("ps", "--json", env=served).stdout) == []


def test_progress_on_a_terminal_and_silence_in_a_pipe(
    commands: Commands, served: Mapping[str, str], files: Path
) -> None:
    (files / "big").write_bytes(bytes(40 * MIB))
    assert commands.run("vfolder", "create", "data", env=served).code == 0
    quiet = commands.run("vfolder", "upload", "data", "big", env=served)
    assert (quiet.stdout, quiet.stderr) == (b"", "✔ Uploaded 1 file to data.\n")
    with commands.terminal("vfolder", "upload", "data", "big", env=served) as shown:
        shown.expect("total")
        shown.expect("✔ Uploaded 1 file to data.")
        assert shown.wait() == 0
    with commands.terminal("vfolder", "upload", "-q", "data", "big", env=served) as shown:
        assert shown.wait() == 0
        assert shown.text().strip() == ""


@pytest.mark.parametrize("way", ["upload", "download"])
def test_ctrl_c_leaves_no_half_file(
    commands: Commands, served: Mapping[str, str], files: Path, way: str
) -> None:
    with (files / "big").open("wb") as big:
        big.truncate(2000 * MIB)
    assert commands.run("vfolder", "create", "data", env=served).code == 0
    data = commands.home / ".local" / "share" / "backendai-trio" / "vfolders"
    (stored,) = data.glob("*/files")
    if way == "download":
        (files / "big").rename(stored / "big")
    with commands.terminal("vfolder", way, "data", "big", env=served) as running:
        running.expect("big")  # its bar
        running.send("\x03")
        assert running.wait() == 130
    target = stored if way == "upload" else files
    assert sorted(p.name for p in target.iterdir() if p.is_file()) == (
        [] if way == "upload" else ["a.txt"]
    )


def test_512_mib_in_little_memory(commands: Commands, files: Path, tmp_path: Path) -> None:
    """Neither side grows by 60 MiB, there and back."""
    with (files / "big").open("wb") as big:
        big.truncate(512 * MIB)
        big.write(b"begin")
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=secret) as gateway:
        served = commands.env | variables_of(gateway)

        def peak_of(*arguments: str) -> float:
            process = subprocess.Popen(
                commands.argv("vfolder", *arguments), env=served, cwd=commands.work
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            return usage.ru_maxrss / 1024

        peak_of("create", "data")
        small = peak_of("upload", "data", "a.txt")
        before = peak_mib(gateway.pid)
        assert peak_of("upload", "data", "big") - small < 60
        assert peak_of("download", "data", "big", "-b", "back") - small < 60
        assert peak_mib(gateway.pid) - before < 60
    sizes = [(files / name).stat().st_size for name in ("big", "back/big")]
    assert sizes[0] == sizes[1]
    subprocess.run(["cmp", files / "big", files / "back" / "big"], check=True)


def test_what_a_kernel_names_its_files_does_not_reach_the_terminal(commands: Commands) -> None:
    assert commands.run("vfolder", "create", "data").code == 0
    code = "open('data/x\\x1b]0;owned\\x07y', 'w').close()"
    assert commands.run("run", "-q", "python", "-m", "data", "-c", code).code == 0
    listed = commands.run("vfolder", "ls", "data")
    assert "x?]0;owned?y" in listed.text and b"\x1b" not in listed.stdout
