"""Programs that use the blocking and the asyncio face, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import trio

from backendai_trio import find_kernel, open_client
from backendai_trio.testing import TestGateway

from ..programs import bare_environ

KERNELS = """
import os, sys, threading, time
from backendai_trio import Kernel
"""


def run(
    script: str, folder: Path, environ: Mapping[str, str] | None = None, *, before: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program that has no settings but these; its gateways' folders lie below `folder`.

    Args:
        script: the program, behind the imports that all need.
        folder: where it runs.
        environ: its further variables.
        before: what it does before it imports the library.
    """
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", before + KERNELS + script],
        env=bare_environ(TMPDIR=str(folder), **(environ or {})),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def destroy_kernels(served: TestGateway) -> None:
    """Destroy what a program has left."""

    async def main() -> None:
        async with open_client(served.config) as client:
            for token in served.tokens():
                await (await find_kernel(client, token)).destroy()

    trio.run(main)
