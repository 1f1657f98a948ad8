"""The official client 23.9.10, unmodified, logs in at `backend.ai serve --login` and works so."""

from __future__ import annotations

from pathlib import Path

from ..cli.commands import Commands, url_of
from ..cli.terminal import on_terminal

NAME, PASSWORD = "me@example.com", "geheim pass"
SECONDS = 60.0


def test_session_mode(official_23: Path, commands: Commands) -> None:
    program = str(official_23 / "backend.ai")
    file = commands.home / "password"
    file.write_text(PASSWORD)
    with commands.serve("--login", NAME, "--password-file", str(file)) as gateway:
        env = {
            # It keeps no cookie of a server that is named by a number.
            "BACKEND_ENDPOINT": url_of(gateway).replace("127.0.0.1", "localhost"),
            "BACKEND_ENDPOINT_TYPE": "session",
            "PYTHONWARNINGS": "ignore",
        }
        with on_terminal([program, "login"], env=commands.env | env, cwd=commands.work) as running:
            running.expect("User ID: ", seconds=SECONDS)
            running.send(f"{NAME}\n")
            running.expect("Password: ")
            running.send(f"{PASSWORD}\n")
            running.expect("Login succeeded")
            assert running.wait() == 0
        ran = commands.run(
            "run", "-q", "-c", "print(6 * 7)", "python", env=env, program=program, seconds=SECONDS
        )
        assert ran.code == 0 and "42" in ran.text, ran.stderr + ran.text
        done = commands.run("logout", env=env, program=program, seconds=SECONDS)
        assert "Logout done" in done.text + done.stderr
