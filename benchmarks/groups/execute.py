"""A run of code, from its call to its result, with a server that has every answer ready."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ..peers import NEWEST, USUAL
from ..rows import BARE, OURS, Limit, Row
from ..servers import certificate_in, null_server
from ..setting import Setting
from ..turns import in_turns
from ..workers import open_worker

NAME = "execute"
TITLE = "Runs of code over each interface, with a server that answers at once"
LIMITS = {"Trio": 0.5, "asyncio": 0.7, "blocking": 0.6}
"""Of the time of the official client."""

Starts = Mapping[str, tuple[Path | str, str, str]]
"""Python, program and argument of each client, by its name."""


def measure(setting: Setting) -> Iterator[Row]:
    with setting.place() as (folder, env), ExitStack() as stack:
        certificate = certificate_in(folder)
        for scheme in ("http", "https"):
            tls = certificate if scheme == "https" else None
            server = stack.enter_context(null_server(env, tls))
            variables = env | server.variables | certificate.trust
            for face, limit in LIMITS.items():
                clients = _clients(setting, face, server.url)
                yield from _rows(setting, clients, variables, f"{face}, {scheme}", limit)


def _clients(setting: Setting, face: str, url: str) -> Starts:
    clients: dict[str, tuple[Path | str, str, str]] = {
        OURS: (sys.executable, "faces.py", face.lower())
    }
    # The official client has no Trio; its asyncio session is the nearest.
    kind = "sync" if face == "blocking" else "async"
    for release in (USUAL, NEWEST):
        if release in setting.peers:
            python = setting.peers[release] / "python"
            clients[release] = (python, "official_faces.py", kind)
    return clients | {BARE: (sys.executable, "bare.py", url)}


def _rows(
    setting: Setting, clients: Starts, env: Mapping[str, str], name: str, limit: float
) -> Iterator[Row]:
    def first(who: str) -> float:
        python, program, argument = clients[who]
        with open_worker(python, program, env, argument) as worker:
            return worker.seconds("first")

    # The newest client takes seconds for that.
    some = [who for who in clients if who != NEWEST or not setting.quick]
    starts: dict[str, Callable[[], float]] = {who: partial(first, who) for who in some}
    # Each is a process of its own, which has nothing to warm up but the disk's cache.
    samples = in_turns(starts, setting.round_count(5, 2), warm_up=False, twice=False)
    bare = "a socket"
    yield Row(
        NAME, f"first execute of a process, {name}", samples, bare=bare, limit=Limit(1, USUAL)
    )
    with ExitStack() as stack:
        workers = {
            who: stack.enter_context(open_worker(python, program, env, argument))
            for who, (python, program, argument) in clients.items()
        }
        count = setting.count(200, 100)
        calls: dict[str, Callable[[], float]] = {
            who: partial(worker.seconds, "calls", count) for who, worker in workers.items()
        }
        samples = in_turns(calls, setting.round_count(11, 5))
    yield Row(
        NAME, f"execute, {name}", samples, bare=bare, limit=Limit(limit, USUAL), headline=True
    )
