"""What using the library changes in its process: nothing."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import warnings, hypercorn.trio.tcp_server, trio
before = list(warnings.filters), dict(vars(hypercorn.trio.tcp_server))
import backendai_trio
from backendai_trio import open_client, open_gateway

async def main():
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        pass

trio.run(main)
assert warnings.filters == before[0], "filters of warnings"
assert vars(hypercorn.trio.tcp_server) == before[1], "the HTTP server's module"
"""


def test_warnings_and_other_libraries_stay_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
