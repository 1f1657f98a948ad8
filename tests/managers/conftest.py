"""Fixtures of the contract suite: each test runs on the gateway, and on every manager asked for.

``pytest tests/managers --managers 1.3.12,23.9.10,26.9.6`` (or ``all``); see README.md.
"""

from __future__ import annotations

import logging
import os
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio

from backendai_trio import Client, KernelSpec, TrioKernel, open_client, open_kernel

from .capabilities import CAPABILITIES, GATEWAY, limits_of
from .lab.base import Lab
from .lab.processes import LabError
from .lab.releases import RELEASES, canonical, lab_of
from .main_job import is_main_job
from .recorder import Recorder, recording
from .table import AREAS, ResultTable
from .targets import ManagerTarget, Target, open_gateway_target

GATEWAY_SECONDS = 60.0
MANAGER_SECONDS = 180.0
"""What a test may take there, if it does not say so itself."""
ENDING_SECONDS = 60.0

_LAB: pytest.StashKey[Lab] = pytest.StashKey()
_TABLE: pytest.StashKey[ResultTable] = pytest.StashKey()
_RECORDER: pytest.StashKey[Recorder] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which managers to run."""
    parser.addoption(
        "--managers",
        default="",
        metavar="RELEASES",
        help="published managers to run the contract suite on beside the gateway: releases between "
        f"commas, or 'all' ({', '.join(RELEASES)})",
    )
    parser.addoption(
        "--main-job", action="store_true", help="of the contract suite, only the main job"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Markers of this folder, and the table of what the managers can do."""
    config.stash[_TABLE] = ResultTable()
    config.addinivalue_line(
        "markers", "needs(*capabilities): what a target must be able to do for a test"
    )
    config.addinivalue_line("markers", "seconds(number): what a test may take on a manager")


def chosen_targets(config: pytest.Config) -> list[str]:
    """The gateway, and the managers that were asked for."""
    text: str = config.getoption("--managers", default="")
    if not text:
        return [GATEWAY]
    if "PYTEST_XDIST_WORKER" in os.environ:
        raise pytest.UsageError("one manager at a time is enough for a machine: leave out -n")
    try:
        names = list(RELEASES) if text == "all" else [canonical(name) for name in text.split(",")]
    except LabError as exc:
        raise pytest.UsageError(str(exc)) from None
    return [GATEWAY, *names]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs on each target that can do it, one target after the other; as each user."""
    if "target_name" not in metafunc.fixturenames:
        return
    if "limit" in metafunc.fixturenames:
        pairs = [
            (target, name)
            for target in chosen_targets(metafunc.config)
            for name, limit in limits_of(target).items()
            if not limit.absent
        ]
        # An empty set would be a test that is skipped.
        metafunc.parametrize("target_name, limit", pairs or [(GATEWAY, "")], scope="session")
        return
    metafunc.parametrize("target_name", chosen_targets(metafunc.config), scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What a target cannot do is not tried; and a manager may take longer than other tests."""
    ours = [
        item
        for item in items
        if isinstance(item, pytest.Function) and "target_name" in item.fixturenames
    ]
    beyond = [
        item
        for item in ours
        if _wanted(item) & set(limits_of(_target_name(item)))
        or (config.getoption("--main-job") and not is_main_job(item.nodeid))
        or item.callspec.params.get("limit") == ""
    ]
    config.hook.pytest_deselected(items=beyond)
    items[:] = [item for item in items if item not in beyond]
    for item in ours:
        if iscoroutinefunction(item.obj):
            test = getattr(item.obj, "__wrapped__", item.obj)
            on_gateway = _target_name(item) == GATEWAY
            mark = item.get_closest_marker("seconds")
            on_manager = mark.args[0] if mark is not None else MANAGER_SECONDS
            item.obj = _bounded(test, GATEWAY_SECONDS if on_gateway else on_manager)


def _target_name(item: pytest.Function) -> str:
    name: str = item.callspec.params["target_name"]
    return name


def _wanted(item: pytest.Function) -> set[str]:
    wanted = {name for mark in item.iter_markers("needs") for name in mark.args}
    assert wanted <= set(CAPABILITIES), f"{item.name} needs what is no capability"
    return wanted


def _bounded(test: Callable[..., Awaitable[None]], seconds: float) -> Callable[..., Any]:
    @wraps(test)
    async def bounded(**arguments: object) -> None:
        with trio.fail_after(seconds):
            await test(**arguments)

    return bounded


@pytest.fixture(scope="session")
def lab(target_name: str) -> Iterator[Lab | None]:
    """The servers of a manager, started for as long as its tests run; None for the gateway."""
    if target_name == GATEWAY:
        yield None
        return
    found = lab_of(target_name)
    try:
        started = found.start()
    except LabError as exc:
        pytest.fail(str(exc), pytrace=False)
    trio.run(_end_all, ManagerTarget(found))  # those of tests that were killed
    yield found
    if started:
        found.stop()


async def _end_all(manager: ManagerTarget) -> None:
    """End all sessions, as far as that can be had in time."""
    with trio.move_on_after(ENDING_SECONDS):
        while await manager.live_sessions():
            await manager.end_sessions()
            await trio.sleep(0.5)


@pytest.fixture(scope="module")
def fresh(lab: Lab | None) -> None:
    """23.9.10 slows down with every request that names a session: each module has it anew."""
    if lab is not None and lab.release == "23.9.10":
        lab.restart_manager()


@pytest.fixture
def recorder(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """Records what the test's clients and their server say to each other."""
    with recording() as recorder:
        request.node.stash[_RECORDER] = recorder
        yield recorder


@pytest.fixture
async def target(
    lab: Lab | None,
    fresh: None,
    recorder: Recorder,
    gateway_parent: Path,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[Target]:
    """The server under test. No session may be left on it when a test ends."""
    caplog.set_level(logging.DEBUG, "backendai_trio.http")  # a failure shows the requests
    if lab is None:
        async with open_gateway_target() as gateway:
            yield gateway
            assert await gateway.live_sessions() == {}
        return
    request.node.stash[_LAB] = lab
    manager = ManagerTarget(lab)
    yield manager
    left: Mapping[str, str] = {}
    with trio.move_on_after(ENDING_SECONDS):  # those that are being ended
        while left := await manager.live_sessions():
            if set(left.values()) != {"TERMINATING"}:
                break
            await trio.sleep(0.5)
    if left:
        await _end_all(manager)
    assert left == {}, "the test has left sessions on the manager"


@pytest.fixture
async def client(target: Target) -> AsyncIterator[Client]:
    """A client of an ordinary user."""
    async with open_client(target.config()) as opened:
        yield opened


@pytest.fixture
def python(target: Target) -> KernelSpec:
    """What to create for Python code."""
    return target.python


@pytest.fixture
async def kernel(client: Client, python: KernelSpec) -> AsyncIterator[TrioKernel]:
    """A Python kernel of an ordinary user."""
    async with open_kernel(client, python) as opened:
        yield opened


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Its output."""
        return self.stdout.decode()


class Commands:
    """The installed commands, run in a folder and with a HOME of their own.

    Attributes:
        work: their current folder.
        env: their environment.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.work = folder / "work"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            **variables,
        }
        self.work.mkdir()
        (folder / "home").mkdir()

    def argv(self, *arguments: str) -> list[str]:
        """A command line."""
        return [str(Path(sysconfig.get_path("scripts")) / "backend.ai"), *arguments]

    async def run(self, *arguments: str, stdin: bytes = b"") -> Done:
        """Run a command to its end."""
        done = await trio.run_process(
            self.argv(*arguments),
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=self.work,
            env=self.env,
        )
        return Done(done.returncode, done.stdout, done.stderr.decode())

    async def succeed(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run a command that must succeed; its output."""
        done = await self.run(*arguments, stdin=stdin)
        assert done.code == 0, (arguments, done)
        return done.text


@pytest.fixture
def commands(target: Target, tmp_path: Path) -> Commands:
    """The commands as an ordinary user of the target."""
    folder = tmp_path / "person"
    folder.mkdir()
    return Commands(folder, target.variables())


def _count(item: pytest.Function, report: pytest.TestReport) -> None:
    """Add a test to the table: when it was called, or when what surrounds it has failed."""
    module = item.module.__name__.rpartition(".")[2]
    if module in AREAS and (report.when == "call" or report.failed):
        table = item.config.stash[_TABLE]
        table.add(_target_name(item), module, _wanted(item), report.outcome)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table, if managers were asked for."""
    if config.getoption("--managers", default=""):
        terminalreporter.section("what holds on which release")
        for line in config.stash[_TABLE].lines():
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """The last exchanges, and what the servers logged last, belong to a failure."""
    report = yield
    if isinstance(item, pytest.Function) and "target_name" in item.fixturenames:
        _count(item, report)
    if not report.failed:
        return report
    if (recorder := item.stash.get(_RECORDER, None)) is not None and recorder.text:
        report.sections.append(("last exchanges", recorder.text))
    if (lab := item.stash.get(_LAB, None)) is not None:
        for name, text in lab.logs().items():
            report.sections.append((f"end of {lab.processes.log(name)}", text))
    return report
