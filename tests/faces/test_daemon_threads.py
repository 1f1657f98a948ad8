"""Threads that make calls when the main one has ended."""

from __future__ import annotations

from pathlib import Path

import trio

from backendai_trio import find_kernel, open_client
from backendai_trio.faces import compat
from backendai_trio.testing import TestGateway

from .face_programs import destroy_kernels, run


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
