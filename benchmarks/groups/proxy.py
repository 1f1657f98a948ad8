"""What `backend.ai proxy` adds to a request."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from ..peers import USUAL
from ..rows import BARE, OURS, Limit, Row
from ..servers import backend_ai, null_server, started
from ..setting import Setting
from ..turns import in_turns
from ..workers import open_worker

NAME = "proxy"
TITLE = "What backend.ai proxy adds to a request, with a server that answers at once"


def measure(setting: Setting) -> Iterator[Row]:
    with setting.place() as (_, env), ExitStack() as stack:
        server = stack.enter_context(null_server(env))
        served = env | server.variables | {"PYTHONUNBUFFERED": "1"}
        ours = [backend_ai(), "proxy", "--bind", "127.0.0.1", "--port", "0"]
        pattern = r"Signing requests to (http://\S+) for"
        urls = {OURS: stack.enter_context(started(ours, served, pattern)).url}
        for release, commands in setting.peers.items():
            theirs = [str(commands / "backend.ai"), "proxy", "--bind", "127.0.0.1"]
            theirs += ["--port", str(_free_port())]
            proxy = stack.enter_context(started(theirs, served, r"Running on (http://\S+)"))
            urls[release] = proxy.url
        urls[BARE] = server.url
        measures: dict[str, Callable[[], float]] = {}
        for who, url in urls.items():
            worker = stack.enter_context(open_worker(sys.executable, "bare.py", env, url))
            measures[who] = partial(worker.seconds, "calls", setting.count(200, 100))
        samples = in_turns(measures, setting.round_count(9, 4))
    direct = samples[BARE]
    # A busy machine can make the direct request the slower one for a round; no proxy adds nothing.
    added = {
        who: [max(via - bare, 1e-6) for via, bare in zip(values, direct, strict=True)]
        for who, values in samples.items()
        if who != BARE
    }
    name = "overhead of the proxy for each request"
    bare = "the request itself"
    yield Row(NAME, name, added | {BARE: direct}, bare=bare, limit=Limit(1, USUAL), headline=True)


def _free_port() -> int:
    """One that is free now: these proxies do not say which one they were given."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
