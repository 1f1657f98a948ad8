"""Much output through a gateway and a client, each a process: memory stays flat."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

from . import reader
from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .reader import LINE, MIB, memory
from .terminal import on_pipes

SIZE = 100 * MIB
GROWTH = 20_000_000


@pytest.mark.parametrize("pace", ["fast", "slow"])
@pytest.mark.parametrize("kind", ["terminal", "execute"])
def test_memory_stays_flat(commands: Commands, kind: str, pace: str) -> None:
    """100 MiB: every byte arrives, and neither side grows by 20 MB."""
    wanted = hashlib.sha256()
    for _ in range(SIZE // MIB):
        wanted.update(LINE * (MIB // len(LINE)))
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=secret) as gateway:
        argv = [sys.executable, reader.__file__, kind, pace]
        env = commands.env | variables_of(gateway)
        with on_pipes(argv, env=env, cwd=commands.work, stdin=subprocess.PIPE) as client:
            client.expect("\n")
            before = memory("VmRSS", gateway.pid)
            client.send("\n")
            said = json.loads(client.expect("\n", seconds=120))
            assert client.wait() == 0
        assert said["size"] == SIZE
        assert said["sha256"] == wanted.hexdigest()
        assert said["grown"] < GROWTH
        assert memory("VmHWM", gateway.pid) - before < GROWTH
