"""Files and programs of this machine that are missing, or are not what a command needs."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from .registry import KEY_PAIR, SITUATIONS, Variables, situation

_SCRIPTS = sysconfig.get_path("scripts")
_NOWHERE = {**KEY_PAIR, "BACKEND_ENDPOINT": "http://127.0.0.1:1"}


def _files(name: str, files: Mapping[str, str], variables: Variables | None = None) -> None:
    """Files below the folder in which the home folder and the work folder lie."""

    @asynccontextmanager
    async def made(work: Path) -> AsyncIterator[Variables]:
        await trio.lowlevel.checkpoint()
        for path, text in files.items():
            file = work.parent / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        yield variables or {}

    SITUATIONS[name] = made


_files(
    "results of another sweep",
    {"work/results.jsonl": '{"case": {"OTHER": "1"}, "succeeded": true}\n'},
)
_files("sources in a folder", {"work/src/main.c": "int main() { return 0; }\n"})
_files("two programs in a folder", {"work/src/a.py": "", "work/src/b.py": ""})
_files(
    "a startup file that was changed by hand",
    {"home/.bashrc": "# >>> backend.ai completion >>>\n"},
)
_files(
    "a script in place of the completion",
    {"home/.local/share/backendai-trio/completion.bash": "echo mine\n"},
)
_files("data that are no database", {"work/data/gateway.sqlite3": "x" * 8192})
_files("no OpenSSH on PATH", {}, {**_NOWHERE, "PATH": _SCRIPTS})


@situation
@asynccontextmanager
async def no_room_for_standard_input(work: Path) -> AsyncIterator[Variables]:
    """Files of the commands may have 32 KiB."""
    await trio.lowlevel.checkpoint()
    (work / "big").write_bytes(bytes(100_000))
    program = work.parent / "limited" / "backend.ai"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nulimit -f 64\nexec '{_SCRIPTS}/backend.ai' \"$@\"\n")
    program.chmod(0o755)
    yield {**_NOWHERE, "PATH": f"{program.parent}:{os.environ['PATH']}"}
