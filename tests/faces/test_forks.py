"""Forks, and processes of `multiprocessing`: the Trio thread exists in the parent only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backendai_trio.testing import TestGateway

from ..programs import bare_environ
from .face_programs import run


def test_fork_is_noticed(served: TestGateway, tmp_path: Path) -> None:
    done = run(
        """
with Kernel.get_or_create("python") as kernel:
    child = os.fork()
    if child == 0:
        for call in (kernel.info, lambda: Kernel.get_or_create("python")):
            try:
                call()
            except Exception as exc:
                print(type(exc).__name__, "spawn" in str(exc), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(kernel.execute("print('parent')")["console"])
""",
        tmp_path,
        served.environ,
    )
    expected = "PortalError True\nPortalError True\n[('stdout', 'parent\\n')]\n"
    assert done.stdout == expected, done.stderr


def test_fork_before_the_first_use(served: TestGateway, tmp_path: Path) -> None:
    done = run(
        """
child = os.fork()
with Kernel.get_or_create("python") as kernel:
    kernel.execute("print(1)")
if child:
    assert os.waitpid(child, 0)[1] == 0
""",
        tmp_path,
        served.environ,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_gateway_of_a_forked_child_ends_with_it(tmp_path: Path) -> None:
    """The child is the first to use the library, which both have imported."""
    done = run(
        """
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    print(os.listdir(os.environ["TMPDIR"]))  # at once: a gateway that was killed is cleaned up, too
else:
    print(Kernel.get_or_create("python").execute("print(1)")["console"])
""",
        tmp_path,
    )
    assert (done.stdout, done.returncode) == ("[('stdout', '1\\n')]\n[]\n", 0), done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_of_multiprocessing_ends_its_gateway(tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import multiprocessing, os, sys
from backendai_trio import Kernel

def work():
    print(Kernel.get_or_create("python").execute("print(1)")["console"], flush=True)

if __name__ == "__main__":
    worker = multiprocessing.get_context(sys.argv[1]).Process(target=work)
    worker.start()
    worker.join()
    print(os.listdir(os.environ["TMPDIR"]))
    sys.exit(worker.exitcode)
"""
    )
    gateways = tmp_path / "gateways"
    gateways.mkdir()
    done = subprocess.run(
        [sys.executable, str(program), method],
        env=bare_environ(TMPDIR=str(gateways)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[('stdout', '1\\n')]\n[]\n", 0), done.stderr


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)", "raise SystemExit"])
def test_forked_child_ends_by_itself(served: TestGateway, tmp_path: Path, end: str) -> None:
    """The child has the parent's objects, but not the thread that their end would wait for."""
    done = run(
        f"""
kernel = Kernel.get_or_create("python")
child = os.fork()
if child == 0:
    {end}
assert os.waitpid(child, 0)[1] == 0
print(kernel.execute("print('parent')")["console"])
kernel.destroy()
""",
        tmp_path,
        served.environ,
    )
    assert done.stdout == "[('stdout', 'parent\\n')]\n", done.stderr
    assert (done.returncode, done.stderr) == (0, "")
