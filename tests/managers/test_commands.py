"""The commands, as a person runs them."""

from __future__ import annotations

import json
import random
import signal
import struct
import subprocess
from pathlib import Path

import pytest
import trio

from .conftest import Commands, Done
from .targets import Target

pytestmark = pytest.mark.needs("sessions")


@pytest.fixture
async def token(commands: Commands, target: Target):  # type: ignore[no-untyped-def]
    """A session that stays, made and ended by commands."""
    name = f"t-{random.randbytes(6).hex()}"
    await commands.succeed("create", *_resources(target), "-t", name, "python")
    yield name
    done = await commands.run("rm", name)
    assert done.code == 0, done


def _resources(target: Target) -> list[str]:
    return [word for pair in target.python.resources.items() for word in ("-r", "=".join(pair))]


async def test_doctor(commands: Commands) -> None:
    done = await commands.run("doctor")
    assert done.code == 0, done
    assert "✘" not in done.text + done.stderr


async def test_run_of_code(commands: Commands) -> None:
    done = await commands.run("run", "python", "-c", "print(6 * 7)")
    assert (done.code, done.stdout) == (0, b"42\n"), done
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr


async def test_main_job_of_each_kind_of_user(commands: Commands, target: Target) -> None:
    """Code, files and lists as the super-administrator, a domain administrator and a user."""
    (commands.work / "main.py").write_text("import sys\nprint('from a file')\nsys.exit(5)\n")
    for account in target.accounts:
        commands.env |= target.variables(account)
        assert await commands.succeed("run", "-q", "python", "-c", "print(6 * 7)") == "42\n"
        done = await commands.run("run", "-q", "python", "main.py")
        assert (done.code, done.stdout) == (5, b"from a file\n"), (account, done)
        await commands.succeed("ps")
        await commands.succeed("vfolder", "list")


@pytest.mark.parametrize("code", [0, 3])
async def test_exit_code_of_code(commands: Commands, code: int) -> None:
    done = await commands.run("run", "python", "-c", f"import sys; print(1); sys.exit({code})")
    assert (done.code, done.stdout) == (code, b"1\n"), done


async def test_exception_is_a_failure(commands: Commands) -> None:
    done = await commands.run("run", "-q", "python", "-c", "1 / 0")
    assert done.code == 1, done
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.needs("exit-codes")
async def test_run_of_files(commands: Commands) -> None:
    (commands.work / "main.py").write_text("import other, sys\nother.f()\nsys.exit(5)\n")
    (commands.work / "other.py").write_text("def f():\n    print('from other')\n")
    done = await commands.run("run", "python", "main.py", "other.py")
    assert (done.code, done.stdout) == (5, b"from other\n"), done


async def test_run_of_a_file_of_another_name(commands: Commands) -> None:
    (commands.work / "ask.py").write_text("print('asked')\n")
    done = await commands.run("run", "python", "ask.py")
    assert (done.code, done.stdout) == (0, b"asked\n") or "main.py" in done.stderr, done


@pytest.mark.needs("session-files")
@pytest.mark.parametrize("name", ["draw.py", "main.py"])
async def test_pictures_of_files(commands: Commands, name: str) -> None:
    """One of them is larger than what managers send of a file."""
    show = "backendai_display.show('image/png', bytes(%d))\n"
    program = f"import backendai_display\n{show % 5}{show % (3 << 20)}print('on')\n"
    (commands.work / name).write_text(program)
    done = await commands.run("run", "-q", "python", name)
    assert (done.code, done.stdout) == (0, b"on\n"), done
    saved = [commands.work / f"picture-{number}.png" for number in (1, 2)]
    assert [path.stat().st_size for path in saved] == [5, 3 << 20]


@pytest.mark.needs("session-files")
async def test_figures_of_files(commands: Commands) -> None:
    (commands.work / "plot.py").write_text(
        "import matplotlib.pyplot as plt\nplt.figure(figsize=(3, 2))\n"
        "plt.plot([1, 3, 2])\nplt.show()\nprint('on')\n"
    )
    done = await commands.run("run", "-q", "python", "plot.py")
    assert (done.code, done.stdout) == (0, b"on\n"), done
    content = (commands.work / "picture-1.png").read_bytes()
    assert content.startswith(b"\x89PNG") and content.endswith(b"IEND\xaeB`\x82")
    assert struct.unpack(">II", content[16:24]) == (300, 200)


async def test_standard_input(commands: Commands) -> None:
    code = "for _ in range(3): print(input().upper())"
    done = await commands.run("run", "-q", "python", "-c", code, stdin=b"a\nb\nc\n")
    assert (done.code, done.stdout) == (0, b"A\nB\nC\n"), done


async def test_standard_input_of_files(commands: Commands) -> None:
    (commands.work / "main.py").write_text("import sys\nprint(len(sys.stdin.read()))\n")
    done = await commands.run("run", "-q", "python", "main.py", stdin=b"x" * 1000)
    assert (done.code, done.stdout) == (0, b"1000\n"), done


async def test_unknown_image(commands: Commands) -> None:
    done = await commands.run("run", "nonesuch", "-c", "1")
    assert done.code == 127, done


async def test_session_that_stays(commands: Commands, token: str) -> None:
    await commands.succeed("run", "-q", "-t", token, "python", "-c", "x = 42")
    assert await commands.succeed("run", "-q", "-t", token, "python", "-c", "print(x)") == "42\n"
    assert token in await commands.succeed("ps")
    assert token in await commands.succeed("info", token)
    await commands.succeed("logs", token)


@pytest.mark.needs("exit-codes")
async def test_exec(commands: Commands, token: str) -> None:
    for number in range(5):
        done = await commands.run("exec", token, f"echo {number}; exit {number}")
        assert (done.code, done.text) == (number, f"{number}\n"), done


async def test_files(commands: Commands, token: str, target: Target) -> None:
    (commands.work / "a.txt").write_text("A")
    await commands.succeed("upload", token, "a.txt")
    code = "print(open('a.txt').read())"
    assert await commands.succeed("run", "-q", "-t", token, "python", "-c", code) == "A\n"
    if target.can("session-files"):
        assert "a.txt" in await commands.succeed("ls", token)
        await commands.succeed("cp", f"{token}:a.txt", "b.txt")
        assert (commands.work / "b.txt").read_text() == "A"
        await commands.succeed("cp", "b.txt", f"{token}:c.txt")
        assert "c.txt" in await commands.succeed("ls", token)


async def test_sync(commands: Commands, token: str) -> None:
    folder = commands.work / "project"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.txt").write_text(str(number))
    await commands.succeed("sync", "project", f"{token}:.")
    code = "import glob; print(len(glob.glob('**/*.txt', recursive=True)))"
    assert await commands.succeed("run", "-q", "-t", token, "python", "-c", code) == "30\n"
    (folder / "0.txt").write_text("changed")
    await commands.succeed("sync", "project", f"{token}:.")


async def test_sweep(commands: Commands) -> None:
    code = "import os; print(os.environ['N'])"
    done = await commands.run("run", "python", "-c", code, "--env-range", "N=range:4")
    assert done.code == 0, done
    assert sorted(line.split()[-1] for line in done.text.splitlines()) == ["0", "1", "2", "3"]


async def test_virtual_folder(commands: Commands, target: Target) -> None:
    name = f"v-{random.randbytes(6).hex()}"
    (commands.work / "a.txt").write_text("A")
    await commands.succeed("vfolder", "create", name)
    assert name in await commands.succeed("vfolder", "list")
    await commands.succeed("vfolder", "upload", name, "a.txt")
    if target.can("folder-files"):
        assert "a.txt" in await commands.succeed("vfolder", "ls", name)
    if target.can("folder-downloads"):
        (commands.work / "a.txt").unlink()
        await commands.succeed("vfolder", "download", name, "a.txt")
        assert (commands.work / "a.txt").read_text() == "A"
    code = f"print(open('{name}/a.txt').read())"
    assert await commands.succeed("run", "-q", "-m", name, "python", "-c", code) == "A\n"
    await commands.succeed("vfolder", "delete", name)
    assert name not in await _vfolders(commands, "list")
    if target.can("folder-trash"):
        assert name in await _vfolders(commands, "trash")
        await commands.succeed("vfolder", "restore", name)
        assert name in await _vfolders(commands, "list")
        await commands.succeed("vfolder", "delete", "--purge", "--yes", name)
        assert name not in await _vfolders(commands, "trash")


async def _vfolders(commands: Commands, command: str) -> list[str]:
    rows = json.loads(await commands.succeed("vfolder", command, "--json"))
    return [row["name"] for row in rows]


@pytest.mark.parametrize("seconds", [0.2, 0.7, 1.5, 3.0])
async def test_ctrl_c_while_the_session_is_made(commands: Commands, seconds: float) -> None:
    """No session is left; that is held for every test here."""
    code = "import time; time.sleep(60)"
    done = await _interrupted(commands, seconds, "run", "python", "-c", code)
    assert done in (130, 254, 1, -signal.SIGINT), done


@pytest.mark.parametrize(
    "form", ["code", pytest.param("file", marks=pytest.mark.needs("batch-interrupts"))]
)
async def test_ctrl_c_while_the_program_runs(commands: Commands, form: str) -> None:
    """130, as in a shell; whatever the server says of a run that was interrupted."""
    source = "import time\nprint('started', flush=True)\nwhile True: time.sleep(0.05)\n"
    (commands.work / "main.py").write_text(source)
    arguments = ["-c", source] if form == "code" else ["main.py"]
    complaints = commands.work / "stderr"
    with complaints.open("wb") as stderr:
        process = await trio.lowlevel.open_process(
            commands.argv("run", "-q", "python", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=commands.work,
            env=commands.env,
        )
    try:
        assert process.stdout is not None
        said = b""
        while b"started" not in said:
            said += (chunk := await process.stdout.receive_some())
            assert chunk, (said, complaints.read_bytes())
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130, complaints.read_bytes()
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_code_from_a_pipe_ends_with_its_first_failure(commands: Commands) -> None:
    code = b"print('before')\n1 / 0\nprint('after')\n"
    done = await commands.run("repl", "-q", "python", stdin=code)
    assert (done.code, done.text) == (1, "before\n"), done
    assert "ZeroDivisionError" in done.stderr


async def test_log_is_followed_until_the_kernel_ends(commands: Commands, target: Target) -> None:
    token = f"t-{random.randbytes(6).hex()}"
    await commands.succeed("create", *_resources(target), "-t", token, "python")
    outcome: list[Done] = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def follow() -> None:
            outcome.append(await commands.run("logs", "-f", token))

        await commands.succeed("run", "-q", "-t", token, "python", "-c", "print('logged')")
        await commands.succeed("rm", token)
    assert outcome[0].code == 0, outcome


@pytest.mark.needs("rename")
async def test_token_that_is_taken_is_nobody_elses_name(
    commands: Commands, token: str, target: Target
) -> None:
    await commands.succeed("rename", token, token + "-2")
    other = f"o-{random.randbytes(6).hex()}"
    await commands.succeed("create", *_resources(target), "-t", other, "python")
    try:
        done = await commands.run("rename", other, token + "-2")
        assert done.code == 126 and "taken" in done.stderr, done
    finally:
        with trio.move_on_after(60, shield=True):
            await commands.succeed("rm", other)
            await commands.succeed("rename", token + "-2", token)


async def test_killed_command_is_cleaned_up_by_gc(commands: Commands, target: Target) -> None:
    process = await trio.lowlevel.open_process(
        commands.argv("run", "python", "-c", "import time; time.sleep(600)"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=commands.work,
        env=commands.env,
    )
    with trio.fail_after(target.session_seconds):
        while "RUNNING" not in (await target.live_sessions()).values():  # noqa: ASYNC110
            await trio.sleep(0.2)
    process.kill()
    await process.wait()
    await commands.succeed("gc")


@pytest.mark.seconds(900)
async def test_twenty_killed_commands_are_cleaned_up_by_gc(
    commands: Commands, target: Target
) -> None:
    """Killed at 0 to 8 seconds, some at a time: while they start, create, run or clean up.

    What a manager does not show yet may still come up for two minutes; `gc` keeps it for so long.
    """
    chance = random.Random(2018)
    limiter = trio.CapacityLimiter(4)

    async def start_and_kill(seconds: float) -> None:
        async with limiter:
            process = await trio.lowlevel.open_process(
                commands.argv("run", "-q", "python", "-c", "import time; time.sleep(600)"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=commands.work,
                env=commands.env,
            )
            await trio.sleep(seconds)
            process.kill()
            await process.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(start_and_kill, chance.uniform(0, 8 * target.pace))
    journal = Path(commands.env["HOME"]) / ".local/state/backendai-trio/kernels"
    while True:
        done = await commands.run("gc")
        if not any(journal.glob("*.json")):
            break
        assert "may still be started" in done.stderr or done.code, done
        await trio.sleep(10)
    # The fixture waits for those that are being ended.
    assert set((await target.live_sessions()).values()) <= {"TERMINATING"}


async def _interrupted(commands: Commands, seconds: float, *arguments: str) -> int:
    """Start a command, interrupt it once, and again when it takes long; its exit code."""
    process = await trio.lowlevel.open_process(
        commands.argv(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=commands.work,
        env=commands.env,
    )
    try:
        with trio.move_on_after(seconds):
            return await process.wait()
        process.send_signal(signal.SIGINT)
        with trio.move_on_after(10):
            return await process.wait()
        process.send_signal(signal.SIGINT)
        with trio.fail_after(60):
            return await process.wait()
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.mark.needs("login")
async def test_login(commands: Commands, target: Target) -> None:
    config, name, password = target.login()
    commands.env["BACKEND_ENDPOINT"] = config.endpoint.url
    commands.env["BACKEND_ENDPOINT_TYPE"] = "session"
    await commands.succeed("login", name, stdin=f"{password}\n".encode())
    assert await commands.succeed("run", "-q", "python", "-c", "print(6 * 7)") == "42\n"
    await commands.succeed("logout")
    assert (await commands.run("ps")).code == 125


@pytest.mark.parametrize(
    "kind",
    [
        "agents",
        pytest.param("images", marks=pytest.mark.needs("admin-images")),
        "keypairs",
        pytest.param("users", marks=pytest.mark.needs("admin-users")),
        "vfolders",
    ],
)
async def test_admin_lists(commands: Commands, target: Target, kind: str) -> None:
    commands.env |= target.variables("admin")
    done = await commands.run("admin", kind)
    assert done.code == 0, done
