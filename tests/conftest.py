"""Fixtures of all tests: a gateway on loopback and a client of it. Nothing is mocked."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path

import hypothesis
import pytest
import trio

from backendai_trio import Client, GatewayOptions, open_client, open_gateway
from backendai_trio.gateway import Gateway, GatewayLimits

from .faults.report import pytest_terminal_summary as pytest_terminal_summary
from .requirements import lacking

HANG_SECONDS = 30

# How long an example takes depends on what else the machine does. The examples are the same in each
# run, so that a run says what the next one says; `--hypothesis-profile=search` looks for others, as
# tests/fuzz does.
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.register_profile("any machine", deadline=None, derandomize=True)
hypothesis.settings.load_profile("any machine")

# What installs other clients, starts a program for each line, kills, soaks, or drives a browser.
# The other tests take five minutes on two cores; `.ci/run` runs all of them.
SLOW = (
    "benchmarks/test_command.py",
    "peers/",
    "cli/test_admin.py",
    "cli/test_administration.py",
    "cli/test_app_stdio.py",
    "cli/test_batch.py",
    "cli/test_command_lines.py",
    "cli/test_completion.py",
    "cli/test_copies.py",
    "cli/test_ctrl_c.py",
    "cli/test_doctor.py",
    "cli/test_empty_arguments.py",
    "cli/test_error_texts.py::test_error_text",
    "cli/test_events.py",
    "cli/test_examples.py",
    "cli/test_files.py",
    "cli/test_gc.py",
    "cli/test_habits.py",
    "cli/test_kept_settings.py",
    "cli/test_kernel_options.py",
    "cli/test_links.py",
    "cli/test_login.py",
    "cli/test_media.py",
    "cli/test_media_on_managers.py",
    "cli/test_media_sixel.py",
    "cli/test_memory.py",
    "cli/test_openssh.py",
    "cli/test_outages.py",
    "cli/test_pager.py",
    "cli/test_program.py",
    "cli/test_proxy.py",
    "cli/test_repl.py",
    "cli/test_rm.py",
    "cli/test_run_stdio.py",
    "cli/test_secrets.py",
    "cli/test_serve.py",
    "cli/test_sessions.py",
    "cli/test_shell.py",
    "cli/test_shortages.py",
    "cli/test_ssh.py",
    "cli/test_streams.py",
    "cli/test_sweep.py",
    "cli/test_tmux.py",
    "cli/test_tty.py",
    "cli/test_umask.py",
    "cli/test_vfolder.py",
    "cli/test_waiting.py",
    "docs/test_pictures.py::test_recorded_session",
    "docs/test_walk.py::test_page",
    "faces/test_interruptions.py",
    "faults/test_matrix.py::test_row",
    "faults/test_namespaces.py",
    "faults/test_network.py::test_answers_that_overtake",
    "files/test_tar.py::test_too_many_entries",
    "gateway/processes/test_kernel_end.py::test_nothing_survives_the_gateway",
    "gateway/storage/test_outside.py::test_deep_trees",
    "gateway/test_platforms.py",
    "gateway/storage/test_power_cuts.py",
    "kernels/execution/test_held_batch.py",
    "kernels/execution/test_matplotlib.py",
    "kernels/test_batch.py",
    "kernels/test_batch_outages.py",
    "kernels/test_cancel_matrix.py::test_hundred_cancels_at_random_points",
    "kernels/test_destroys.py",
    "kernels/test_queue.py",
    "kernels/test_silent_connections.py",
    "kernels/test_waiting_sessions.py",
    "leaks/",
    "proxy/test_graphiql.py",
    "proxy/test_memory.py",
    "release/",
    "test_testing.py::test_example_of_the_documentation",
    "test_testing.py::test_the_fixtures_are_typed",
    "vfolders/test_clones.py",
    "vfolders/test_interrupted_transfers.py",
    "vfolders/test_killed_gateways.py",
)

# On managers they are not told apart from the others: nothing is fast there.
COMMANDS_ON_TARGETS = "managers/test_commands.py::"


def pytest_xdist_auto_num_workers() -> int:
    """How many tests run at once with ``-n auto``: one more than there are cores, since they wait
    for much of their time."""
    chosen = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(chosen) if chosen else (os.cpu_count() or 1) + 1


def pytest_configure() -> None:
    """A shell that starts tests in the background has them, and all they start, ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import slow tests where only the others run, as by default."""
    if config.option.markexpr != "not slow":
        return None
    name = collection_path.relative_to(Path(__file__).parent).as_posix()
    slow = name.startswith(SLOW) or f"{name}/".startswith(SLOW)
    return True if slow else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and make a test fail that hangs."""
    for item in items:
        name = item.nodeid.partition("tests/")[2]
        if name.startswith(SLOW) or (name.startswith(COMMANDS_ON_TARGETS) and "gateway" in name):
            item.add_marker("slow")
        if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
            item.obj = _guarded(item.obj)


def _guarded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    if hasattr(test, "hypothesis"):  # pytest-trio takes these apart by itself
        return test

    @wraps(test)
    async def guarded(**arguments: object) -> None:
        with trio.fail_after(HANG_SECONDS):
            await test(**arguments)

    return guarded


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(("BACKEND_", "SORNA_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    yield


@pytest.fixture
def gateway_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the gateways of this test keep their kernels: nobody else's folder."""
    folder = tmp_path / "gateways"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def limits() -> GatewayLimits:
    """Time limits and sizes of the gateway; tests that need others are parametrized by them."""
    return GatewayLimits()


@pytest.fixture
async def gateway(gateway_parent: Path, limits: GatewayLimits) -> AsyncIterator[Gateway]:
    """A gateway; when the test ends, no kernel of it may be left by the client's doing."""
    async with open_gateway(GatewayOptions(limits=limits)) as opened:
        yield opened


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    """A client of the gateway."""
    async with open_client(gateway.config) as opened:
        yield opened


@pytest.fixture(scope="session")
def installed() -> Callable[..., str]:
    """Finds a program by the names it may have; without one the test is skipped (`lacking`)."""

    def find(*names: str) -> str:
        for name in names:
            if (path := shutil.which(name)) is not None:
                return path
        raise lacking(f"none of {', '.join(names)} was found")

    return find


@pytest.fixture(scope="session")
def ssh_keygen(installed: Callable[..., str]) -> str:
    """The program that makes key pairs of SSH."""
    return installed("ssh-keygen")


@pytest.fixture(scope="session")
def c_compiler(installed: Callable[..., str]) -> str:
    """The C compiler."""
    return installed("gcc", "cc", "clang")
