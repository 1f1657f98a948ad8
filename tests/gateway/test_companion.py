"""A gateway in a process of its own: it serves, and it ends with the one that started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PRELUDE = """
import json, os, sys, time
from pathlib import Path
from backendai_trio import GatewayError, GatewayOptions
from backendai_trio.gateway import open_gateway_process

def children():
    path = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
    return [int(pid) for pid in Path(path).read_text().split()]

def say(**things):
    print(json.dumps(things), flush=True)
"""
RUN = """
    import trio
    from backendai_trio import KernelSpec, open_client, open_kernel

    async def main(then):
        async with open_client(config) as client:
            async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
                async with kernel.execute("print('hello')") as run:
                    events = [event async for event in run]
                await then(events)
"""


@contextmanager
def program(tmp_path: Path, code: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A program that is ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=cwd,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> dict[str, object]:
    """Its next line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    told: dict[str, object] = json.loads(line)
    return told


def gone(pid: object) -> bool:
    """Whether the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_it_serves_until_the_block_ends(tmp_path: Path) -> None:
    code = f"""
with open_gateway_process() as config:
    say(children=children()){RUN}
    async def then(events):
        say(events=[repr(event) for event in events], folders=os.listdir(os.environ["TMPDIR"]))

    trio.run(main, then)
say(children=children(), folders=os.listdir(os.environ["TMPDIR"]))
"""
    with program(tmp_path, code) as process:
        (pid,) = said(process)["children"]  # type: ignore[misc]
        told = said(process)
        assert told["events"] == ["Stdout(text='hello\\n')", "Finished(exit_code=0)"]
        assert told["folders"]
        assert said(process) == {"children": [], "folders": []}
        assert gone(pid)
        assert process.wait() == 0


def test_it_serves_where_the_working_folder_was_deleted(tmp_path: Path) -> None:
    code = f"""
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
with open_gateway_process() as config:{RUN}
    async def then(events):
        say(events=[repr(event) for event in events])

    trio.run(main, then)
"""
    with program(tmp_path, code, cwd=tmp_path) as process:
        assert said(process)["events"] == ["Stdout(text='hello\\n')", "Finished(exit_code=0)"]
        assert process.wait() == 0


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    code = f"""
with open_gateway_process() as config:
    say(children=children()){RUN}
    async def then(events):
        say(ready=True)
        await trio.sleep_forever()

    trio.run(main, then)
"""
    with program(tmp_path, code) as process:
        (pid,) = said(process)["children"]  # type: ignore[misc]
        assert said(process) == {"ready": True}
        process.kill()
        assert eventually(lambda: gone(pid) and list(tmp_path.iterdir()) == [])


def test_an_end_before_it_is_up(tmp_path: Path) -> None:
    code = """
with open_gateway_process() as config:
    pass
say(children=children(), folders=os.listdir(os.environ["TMPDIR"]))
try:
    with open_gateway_process() as config:
        raise ValueError("the block's own")
except ValueError as exc:
    say(children=children(), error=str(exc))
"""
    with program(tmp_path, code) as process:
        assert said(process) == {"children": [], "folders": []}
        assert said(process) == {"children": [], "error": "the block's own"}


def test_the_terminals_signals_do_not_reach_it(tmp_path: Path) -> None:
    code = """
with open_gateway_process() as config:
    (pid,) = children()
    while os.getpgid(pid) == os.getpgid(0) and os.getsid(pid) == os.getsid(0):
        time.sleep(0.01)
    say(group=os.getpgid(pid), session=os.getsid(pid), pid=pid)
"""
    with program(tmp_path, code) as process:
        told = said(process)
        assert told["group"] == told["session"] == told["pid"]
        assert process.wait() == 0


def test_when_it_is_killed_the_client_hears_of_it(tmp_path: Path) -> None:
    code = f"""
import signal
from backendai_trio import BackendError
with open_gateway_process() as config:
    (pid,) = children(){RUN}
    async def then(events):
        os.kill(pid, signal.SIGKILL)

    try:
        trio.run(main, then)
    except BackendError as exc:
        say(error=str(exc), url=config.endpoint.url)
    else:
        say(error=None)
say(folders=os.listdir(os.environ["TMPDIR"]))
"""
    with program(tmp_path, code) as process:
        told = said(process)
        if told["error"] is not None:
            assert str(told["url"]) in str(told["error"])
        said(process)
        assert process.wait() == 0
    assert eventually(lambda: list(tmp_path.iterdir()) == [])


def test_an_address_that_cannot_be_had(tmp_path: Path) -> None:
    code = """
try:
    with open_gateway_process(GatewayOptions(host="0.0.0.0")):
        say(error=None)
except GatewayError as exc:
    say(error=str(exc), children=children())
"""
    with program(tmp_path, code) as process:
        told = said(process)
    assert "can be reached from the network" in str(told["error"])
    assert told["children"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_gateway_that_was_killed_is_no_error_at_the_end(
    tmp_path: Path, number: signal.Signals
) -> None:
    code = f"""
with open_gateway_process() as config:
    os.kill(children()[0], {int(number)})
    while children():
        # A zombie has no command line any more.
        if not Path(f"/proc/{{children()[0]}}/cmdline").read_bytes():
            break
        time.sleep(0.01)
say(children=children())
"""
    with program(tmp_path, code) as process:
        assert said(process) == {"children": []}
        assert process.wait() == 0
