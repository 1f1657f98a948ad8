"""The Trio thread under the blocking and the asyncio face: its start, and its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from backendai_trio.errors import PortalError
from backendai_trio.faces import calls, waiting
from backendai_trio.testing import TestGateway

from ..local_kernels import kernel_processes
from ..programs import bare_environ
from .face_programs import run


def test_gateway_of_its_own_ends_with_the_interpreter(tmp_path: Path) -> None:
    """With nothing configured, kernels run here; those that nobody destroyed end all the same."""
    done = run(
        """
kernel = Kernel.get_or_create("python", client_token="stays")
print(kernel.execute("import os; print(os.environ['HOME'])")["console"][0][1])
""",
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)
    assert kernel_processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["sys.exit(7)", "raise SystemExit(7)", "os._exit(7)"])
def test_exit_code_is_the_programs(tmp_path: Path, end: str) -> None:
    done = run(f"Kernel.get_or_create('python')\n{end}", tmp_path)
    assert (done.returncode, done.stderr) == (7, "")


def test_unhandled_error_does_not_hang(tmp_path: Path) -> None:
    done = run("Kernel.get_or_create('python')\n1 / 0", tmp_path)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_atexit_callbacks_can_make_calls(served: TestGateway, tmp_path: Path) -> None:
    done = run(
        """
import atexit
kernel = Kernel.get_or_create("python")
atexit.register(kernel.destroy)
""",
        tmp_path,
        served.environ,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert served.tokens() == []


@pytest.mark.parametrize("used", [True, False])
def test_calls_after_the_end_are_refused(served: TestGateway, tmp_path: Path, used: bool) -> None:
    """Callbacks that were registered before the library was imported run after its end."""
    script = """
import atexit, sys
def late():
    try:
        call()
    except Exception as exc:
        print(type(exc).__name__, exc)
atexit.register(late)
from backendai_trio import Kernel
call = lambda: Kernel.find("nobody")
"""
    use = 'kernel = Kernel.get_or_create("python")\nkernel.destroy()\ncall = kernel.info'
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script + (use if used else "")],
        env=bare_environ(**served.environ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("PortalError the interpreter is ending"), done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def test_thread_that_fails_is_replaced(served: TestGateway, tmp_path: Path) -> None:
    """Its calls say why they end, and the next call starts another thread."""
    done = run(
        """
from backendai_trio.faces import calls, portal
from trio.lowlevel import checkpoint
first = portal.running_portal()
late = calls.Call(checkpoint)
async def fail():
    raise ValueError("of a client")
first.post(first._keepers.start_soon, fail)
first._main_task.exception()
over = threading.Event()
late.submit(over.set)
over.wait()
try:
    late.result()
except Exception as exc:
    print(type(exc).__name__, exc.__cause__.exceptions)
with Kernel.get_or_create("python") as kernel:
    print(kernel.execute("print(1)")["console"], portal.running_portal() is first)
late.cancel(), late.stop(over.set)
""",
        tmp_path,
        served.environ,
    )
    expected = "PortalError (ValueError('of a client'),)\n[('stdout', '1\\n')] False\n"
    assert done.stdout == expected, done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def test_call_in_the_portals_own_thread() -> None:
    async def call() -> None:  # noqa: ASYNC124 (it must not wait)
        waiting.wait(calls.Call(trio.lowlevel.checkpoint))

    with pytest.raises(PortalError, match="Trio API"):
        waiting.wait(calls.Call(call))
