"""Every call of the asyncio and the blocking face, interrupted at random steps: nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from backendai_trio import GatewayOptions, Kernel, VFolder
from backendai_trio import asyncio as asyncio_face
from backendai_trio.faces import Admin, ForwardedApp, StreamExecute, StreamPty
from backendai_trio.testing import gateway_in_thread

from ..cli.terminal import eventually
from ..local_kernels import kernel_processes
from ..programs import bare_environ
from .census import Place, settle
from .face_calls import CALLS, STREAMS, public_methods
from .rounds import chance, share
from .tls import certificate_files

ROOT = Path(__file__).parents[2]
SECONDS_OF_ROUND, SECONDS = 10, 120
ENDING_SECONDS = 5.0
FACES = ("asyncio", "blocking")
SERVERS = ("http", "https", "local")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("face", FACES)
def test_interrupted_calls(face: str, server: str, tmp_path: Path, gateway_parent: Path) -> None:
    pick = chance(face, server)
    rounds = share(5, 3)
    names = sorted(CALLS)
    pick.shuffle(names)
    calls = [names[index % len(names)] for index in range(rounds)]
    here = tmp_path / "here"
    here.mkdir()
    environ = bare_environ(TMPDIR=str(gateway_parent), HOME=str(here))
    options = GatewayOptions(max_vfolders=10_000, max_sessions=1000)
    if server == "https":
        ca, chain, key = certificate_files(tmp_path)
        options = GatewayOptions(max_vfolders=10_000, max_sessions=1000, certificate=(chain, key))
        environ["BACKEND_CA_FILE"] = str(ca)
    place = Place((gateway_parent,))
    empty = place.census()
    with nullcontext() if server == "local" else gateway_in_thread(options) as gateway:
        if gateway is not None:
            environ |= gateway.environ
        details = {
            "face": face,
            "calls": calls,
            "seed": pick.random(),
            "here": str(here),
            "temporary": str(gateway_parent if server == "local" else here),
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.leaks.interrupted_faces", json.dumps(details)],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=SECONDS + SECONDS_OF_ROUND * rounds,
            check=False,
        )
        assert done.returncode == 0, f"{details}\n{done.stderr[-3000:]}"
        report = json.loads(done.stdout)
        assert not report["problems"], "\n".join([*report["problems"], str(details)])
        assert sum(report["outcomes"].values()) == rounds
        # Otherwise the moments were badly chosen, and this has tested little.
        assert report["outcomes"].get("interrupted", 0) >= rounds // 4, report
        if gateway is not None:
            assert gateway.tokens() == []
            assert eventually(lambda: not kernel_processes(gateway_parent), ENDING_SECONDS)
    assert settle(place, empty) == []


def test_every_public_method_has_an_entry() -> None:
    blocking = {"Kernel": Kernel, "VFolder": VFolder, "Admin": Admin}
    streams = (StreamPty, StreamExecute, ForwardedApp)
    entered = {*CALLS, *(name for names in STREAMS.values() for name in names)}
    aliases = {"StreamPty.write"}
    for classes in (
        {**blocking, **{cls.__name__: cls for cls in streams}},
        {name: getattr(asyncio_face, name) for name in ("Kernel", "VFolder", "Admin")}
        | {cls.__name__: getattr(asyncio_face, cls.__name__) for cls in streams},
    ):
        assert public_methods(classes) - aliases == entered
