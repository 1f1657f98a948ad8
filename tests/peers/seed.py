"""A gateway of the seed era alone, whose managers client 1.1.1 was made for."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..cli.commands import ACCESS_KEY, SECRET_KEY, Commands
from ..cli.terminal import on_pipes

__all__ = ["open_seed_gateway"]

_PROGRAM = """
import sys, trio
from backendai_trio import GatewayOptions, open_gateway
from backendai_trio.wire.versions import SEED

async def main():
    options = GatewayOptions(eras=(SEED,), access_key=sys.argv[1], secret_key=sys.argv[2])
    async with open_gateway(options) as gateway:
        print(gateway.url, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@contextmanager
def open_seed_gateway(commands: Commands) -> Iterator[Mapping[str, str]]:
    """Serve until the block ends; gives the variables that lead there."""
    argv = [sys.executable, "-c", _PROGRAM, ACCESS_KEY, SECRET_KEY]
    with on_pipes(argv, env=commands.env, cwd=commands.work) as gateway:
        yield {
            "BACKEND_ENDPOINT": gateway.expect("\n"),
            "BACKEND_ACCESS_KEY": ACCESS_KEY,
            "BACKEND_SECRET_KEY": SECRET_KEY,
        }
        gateway.signal(signal.SIGINT)  # it clears away what it keeps in files
        gateway.wait()
