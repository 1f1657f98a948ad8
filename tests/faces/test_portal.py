"""The Trio thread under the blocking and the asyncio face: its start, its end, and a fork."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from backendai_trio import find_kernel, open_client
from backendai_trio.errors import PortalError
from backendai_trio.faces import calls, compat, waiting
from backendai_trio.testing import TestGateway

from ..local_kernels import kernel_processes
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


def test_threads_that_outlive_the_main_one(served: TestGateway, tmp_path: Path) -> None:
    done = run(
        """
def work():
    threading.main_thread().join()
    time.sleep(0.3)
    with Kernel.get_or_create("python") as kernel:
        print(kernel.execute("print(1)")["console"])
    with Kernel.get_or_create("python") as kernel:
        print(kernel.execute("print(2)")["console"])
Kernel.get_or_create("python").destroy()
threading.Thread(target=work).start()
""",
        tmp_path,
        served.environ,
    )
    assert done.stdout == "[('stdout', '1\\n')]\n[('stdout', '2\\n')]\n", done.stderr
    assert served.tokens() == []


def test_calls_of_daemon_threads_end_with_the_interpreter(
    served: TestGateway, tmp_path: Path
) -> None:
    """Their code is interrupted before the client closes: the kernel is free again. The threads
    print nothing, which could abort the interpreter."""
    done = run(
        """
kernel = Kernel.get_or_create("python", client_token="left")
code = "open('up', 'w').close()\\nwhile True: pass"
threading.Thread(target=kernel.execute, args=(code,), daemon=True).start()
while not any(file.name == "up" for file in kernel.list_files().files):
    time.sleep(0.01)
""",
        tmp_path,
        served.environ,
    )
    assert (done.returncode, done.stderr) == (0, "")

    async def main() -> str:
        async with open_client(served.config) as client:
            kernel = await find_kernel(client, "left")
            result = await compat.execute(kernel, "import os; print(os.path.exists('up'))")
            await kernel.destroy()
            return str(result["console"])

    assert trio.run(main) == "[('stdout', 'True\\n')]"


def test_daemon_threads_that_go_on_after_the_end(served: TestGateway, tmp_path: Path) -> None:
    """They end without a word, and hold no lock that later callbacks need, ours among them."""
    script = """
import atexit
def late():
    with lock:
        print("got the lock")
    try:
        kernel.info()
    except Exception as exc:
        print(type(exc).__name__)
atexit.register(late)  # before ours is, so it runs after it
"""
    done = run(
        """
kernel = Kernel.get_or_create("python", client_token="left")
lock = threading.Lock()
def call_on():
    while True:
        with lock:
            kernel.info()
def call_after_errors():
    while True:
        try:
            kernel.info()
        except Exception:
            pass
for work in (call_on, call_after_errors):
    threading.Thread(target=work, daemon=True).start()
kernel.info()
""",
        tmp_path,
        served.environ,
        before=script,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "got the lock\nPortalError\n"
    destroy_kernels(served)


JOINED = """
import atexit
threads = []
def join():  # registered before ours, so it runs after it
    for thread in threads:
        thread.join()
    print("joined")
atexit.register(join)
"""


def test_daemon_threads_go_on_after_a_call_that_has_ended(
    served: TestGateway, tmp_path: Path
) -> None:
    """What they do about an error is done: a queue's item is marked as done, for example."""
    done = run(
        """
import asyncio, queue
from backendai_trio.asyncio import AsyncKernel
from backendai_trio.errors import PortalError
tasks = queue.Queue()
def take_tasks():
    for _ in range(3):
        code = tasks.get()
        try:
            Kernel.get_or_create("python", client_token="left").execute(code)
        except PortalError:
            pass
        finally:
            tasks.task_done()
    tasks.join()
    print("tasks done")
up = threading.Barrier(3)
def call():
    kernel = Kernel.get_or_create("python", client_token="second")
    up.wait()
    kernel.execute("while True: pass")
async def call_twice():
    kernel = await AsyncKernel.get_or_create("python", client_token="third")
    up.wait()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(kernel.execute("while True: pass"))
for work in (take_tasks, call, lambda: asyncio.run(call_twice())):
    threads.append(threading.Thread(target=work, daemon=True))
    threads[-1].start()
for _ in range(3):
    tasks.put("while True: pass")
up.wait()
""",
        tmp_path,
        served.environ,
        before="import threading\n" + JOINED,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "tasks done\njoined\n"
    destroy_kernels(served)


def test_other_errors_of_daemon_threads_are_reported(served: TestGateway, tmp_path: Path) -> None:
    done = run(
        """
up = threading.Event()
def fail(error):
    try:
        with Kernel.get_or_create("python") as kernel:
            up.set()
            kernel.execute("while True: pass")
    finally:
        raise error
threads.append(threading.Thread(target=fail, args=(ValueError("of the program"),), daemon=True))
threads[-1].start()
up.wait()
""",
        tmp_path,
        served.environ,
        before=JOINED,
    )
    assert (done.returncode, done.stdout) == (0, "joined\n")
    assert "ValueError: of the program" in done.stderr
    destroy_kernels(served)


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


# --- calls ---------------------------------------------------------------------------------------


def test_error_is_the_very_object() -> None:
    error = ValueError("of the work")

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(ValueError, match="of the work") as caught:
        waiting.wait(calls.Call(fail))
    assert caught.value is error
    assert [entry.name for entry in caught.traceback][-1] == "fail"


def test_result_that_nobody_wants_is_undone() -> None:
    """Stopped when it is over already, and stopped when it does not let itself be cancelled."""
    undone: list[int] = []

    async def make(number: int) -> int:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.05)
        return number

    async def undo(number: int) -> None:
        await trio.lowlevel.checkpoint()
        undone.append(number)

    late = calls.Call(lambda: make(1), undo=undo)
    assert waiting.wait(late) == 1
    waiting._join(late)
    early = calls.Call(lambda: make(2), undo=undo)
    early.submit(lambda: None)
    waiting._join(early)
    never = calls.Call(lambda: make(3), undo=undo)
    waiting._join(never)
    assert undone == [1, 2]


def test_closed_object_refuses_calls(served: TestGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Thread

    from backendai_trio import Kernel

    for name, value in served.environ.items():
        monkeypatch.setenv(name, value)
    failures: list[BaseException] = []
    with Kernel.get_or_create("python") as kernel:
        run = kernel.stream_execute("input()")
        next(run)  # the question

        def read() -> None:
            try:
                next(run)
            except BaseException as exc:  # noqa: ASYNC103 (for the main thread)
                failures.append(exc)

        reader = Thread(target=read)
        reader.start()
        run.close()
        reader.join()
        assert isinstance(failures[0], trio.ClosedResourceError | StopIteration)
        with pytest.raises(trio.ClosedResourceError):
            run.send_stdin(b"x")
        run.close()
        assert run.closed
