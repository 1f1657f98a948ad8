"""The main job of the official clients of nine years, unmodified.

Against `backend.ai serve` as it is, and as a manager of their own time. Each client needs a Python
of its time; where that is not to be had, the client is left out, loudly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from backendai_trio.gateway import RELEASES

from ..cli.commands import ACCESS_KEY, SECRET_KEY, Commands, Result, variables_of
from .conftest import AIOHTTP, YARL, install_client


@dataclass(frozen=True)
class Official:
    """An official client."""

    version: str
    python: str
    """Version of Python that it runs on."""
    era: str
    """The manager that it was made for (`serve --era`)."""
    pins: tuple[str, ...] = ()
    """Older packages that it needs, put over what its own requirements bring."""


CLIENTS = (
    Official("1.5.1", "3.11", "18.12", (AIOHTTP, YARL)),
    Official("18.12.3", "3.7", "18.12"),
    Official("19.9.10", "3.7", "19.09"),
    Official("20.3.10", "3.8", "20.03"),
    Official("20.9.9", "3.8", "20.09"),
    Official("21.9.5", "3.9", "20.09", (YARL,)),
    Official("22.9.23", "3.10", "22.03", (YARL,)),
    Official("23.9.10", "3.11", "23.09", (YARL,)),
    Official("24.9.14", "3.12", "24.03"),
    Official("25.15.12", "3.13", "25.12"),
    Official("26.9.6", "3.13", "26.9"),
)


@pytest.fixture(scope="session", params=CLIENTS, ids=lambda client: client.version)
def official(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Official, Path]:
    """A client, and the folder of its commands."""
    client: Official = request.param
    return client, install_client(tmp_path_factory, client.version, client.python, client.pins)


def run(
    commands: Commands,
    env: Mapping[str, str],
    bin_folder: Path,
    *arguments: str,
    stdin: bytes = b"",
) -> Result:
    quiet = dict(env) | {"PYTHONWARNINGS": "ignore"}
    return commands.run(
        *arguments,
        stdin=stdin,
        env=quiet,
        program=str(bin_folder / "backend.ai"),
        seconds=180,  # the first time they are compiled
    )


def main_job(
    commands: Commands, env: Mapping[str, str], bin_folder: Path, *, files: bool = True
) -> None:
    result = run(commands, env, bin_folder, "run", "python", "-c", "print('hello world')")
    assert result.code == 0, result.stderr
    assert "hello world\n" in result.text
    if not files:
        return
    (commands.work / "main.py").write_text("name = input('your name? ')\nprint('hello,', name)\n")
    result = run(
        commands, env, bin_folder, "run", "--exec", "python main.py", "python", "main.py",
        stdin=b"LABLUP\n",
    )  # fmt: skip
    assert result.code == 0, result.stderr
    assert "hello, LABLUP\n" in result.text, result.stderr  # the prompt is among its own lines


def test_main_job(commands: Commands, official: tuple[Official, Path]) -> None:
    """With a gateway as it is, that answers all of them."""
    _, bin_folder = official
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=secret) as gateway:
        main_job(commands, variables_of(gateway), bin_folder)


def test_main_job_in_its_era(commands: Commands, official: tuple[Official, Path]) -> None:
    """With a gateway that behaves as a manager of that time.

    Where batch runs lose their end, files hang these clients as they do on the manager
    (docs/protocol.md, section 4.7).
    """
    client, bin_folder = official
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, "--era", client.era, env=secret) as gateway:
        keeps_ends = not RELEASES[client.era].hello.loses_batch_ends
        main_job(commands, variables_of(gateway), bin_folder, files=keeps_ends)
