"""A program: interrupts the calls of a face at random moments, and counts what is left.

``python -m tests.leaks.interrupted_faces DETAILS``, where DETAILS is a JSON object: ``face``,
``calls`` (names, one for each round), ``seed``, ``here`` (an empty folder), and ``temporary`` (the
folder whose files are counted). It prints a JSON object. Ctrl-C would end the tests, so it is a
program of its own.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import trio

from backendai_trio import Kernel, VFolder
from backendai_trio.asyncio import AsyncAdmin, AsyncKernel, AsyncVFolder
from backendai_trio.faces import Admin, portal, waiting

from ..faces.conftest import Awaited
from .census import Place, settle
from .face_calls import CALLS, Subject

WHOLE_SECONDS = 30.0
LATE_SECONDS = 5.0


class StepsOfPortal(trio.abc.Instrument):
    """Calls a function after some steps in the portal's thread.

    Attributes:
        count: the steps since `arm`.
    """

    def __init__(self) -> None:
        self.count = 0
        self._number = 0
        self._fire: Callable[[], bool] = bool

    def arm(self, number: int, fire: Callable[[], bool]) -> None:
        """Call `fire` after this many steps, and after each further one until it returns True."""
        self.count, self._number, self._fire = 0, number, fire

    def disarm(self) -> None:
        self._number = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1
        if 0 < self._number <= self.count and self._fire():
            self._number = 0


def instrument_portal() -> StepsOfPortal:
    """Count the steps in the portal's thread from now on."""
    instrument = StepsOfPortal()
    added = threading.Event()

    def add() -> None:
        trio.lowlevel.add_instrument(instrument)
        added.set()

    portal.running_portal().post(add)
    added.wait()
    return instrument


class Rounds:
    """The rounds of a face.

    Attributes:
        outcomes: how often a call completed, was interrupted, or failed as it does by itself.
        problems: what went wrong.
    """

    def __init__(self, details: dict[str, Any]) -> None:
        self.pick = random.Random(details["seed"])
        self.here = Path(details["here"])
        self.outcomes: Counter[str] = Counter()
        self.problems: list[str] = []
        self.steps: dict[str, int] = {}
        self.fails: dict[str, type[BaseException]] = {}

    def note_control(self, name: str, steps: int, error: BaseException | None) -> None:
        """Keep what a call does when nothing interrupts it."""
        self.steps[name] = max(1, steps)
        if error is not None:
            self.fails[name] = type(error)

    def note(self, name: str, number: int, error: BaseException | None) -> None:
        """Keep what came of a round."""
        if error is None:
            self.outcomes["completed"] += 1
        elif isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            self.outcomes["interrupted"] += 1
        elif type(error) is self.fails.get(name):
            self.outcomes["failed"] += 1
        else:
            lines = "".join(traceback.format_exception(error)[-12:])
            self.problems.append(f"{name} at step {number}: {error!r}\n{lines}")

    def check(self, name: str, on: Subject, answer: Any) -> None:
        """No partial file is left, and the kernel has answered."""
        self.problems += [f"{name}: {found} is left" for found in on.partial_files()]
        if answer["console"] != [("stdout", "42\n")]:
            self.problems.append(f"{name}: the kernel answers {answer}")


async def kept_kernel(classes: dict[str, Any]) -> Any:
    """A kernel with a file, for many rounds. Terminals that were opened in it live as long."""
    kernel = await classes["Kernel"].get_or_create("python")
    await kernel.run("open('kept', 'w').write('kept' * 20_000)")
    return kernel


async def subject(classes: dict[str, Any], here: Path) -> Subject:
    """What the calls are made on."""
    (here / "source").write_bytes(b"source" * 10_000)
    kernel = await kept_kernel(classes)
    (here / "kept").write_text("kept" * 20_000)
    folder = await classes["VFolder"].create("leaks-folder")
    await folder.upload([here / "kept"], base=here)
    return Subject(classes, kernel, folder, here)


# --- asyncio -------------------------------------------------------------------------------------


async def rounds_in_asyncio(rounds: Rounds, calls: list[str], left: Callable[..., None]) -> None:
    classes = {"Kernel": AsyncKernel, "VFolder": AsyncVFolder, "Admin": AsyncAdmin}
    on = await subject(classes, rounds.here)
    steps = instrument_portal()
    loop = asyncio.get_running_loop()

    async def once(name: str) -> BaseException | None:
        task = asyncio.create_task(_coroutine(CALLS[name](on)))
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                await task
        except Exception as exc:
            return exc
        return None

    async def attempt(name: str) -> None:
        number = rounds.pick.randint(1, rounds.steps[name])
        in_loop = rounds.pick.random() < 0.2
        task = asyncio.create_task(_coroutine(CALLS[name](on)))
        if in_loop:  # between two steps of the loop, where the call begins
            number = -rounds.pick.randint(0, 6)
            for _ in range(-number):
                await asyncio.sleep(0)
            task.cancel()
        else:

            def fire() -> bool:
                loop.call_soon_threadsafe(task.cancel)
                return True

            steps.arm(number, fire)
        error: BaseException | None = None
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                await asyncio.shield(task)
        except BaseException as exc:  # noqa: ASYNC103 (the task's)
            error = exc
        steps.disarm()
        rounds.note(name, number, error)

    for name in sorted(set(calls)):
        steps.arm(0, bool)
        error = await once(name)
        rounds.note_control(name, steps.count, error)
    on.partial_files()
    await on.kernel.destroy()
    left(before=True)
    on.kernel = await kept_kernel(classes)
    for name in calls:
        await attempt(name)
        rounds.check(name, on, await on.kernel.run("print(6 * 7)"))
    await on.kernel.destroy()
    left(before=False)
    if found := await AsyncAdmin.list_kernels():
        rounds.problems.append(f"kernels are left: {found}")


async def _coroutine(call: Awaitable[object]) -> None:
    await call


# --- blocking ------------------------------------------------------------------------------------


class Blocking:
    """A class of the blocking face, whose methods are to be awaited."""

    def __init__(self, cls: type) -> None:
        self._class = cls

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._class, name)

        async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ASYNC124
            result = method(*args, **kwargs)
            return Awaited(result) if isinstance(result, Kernel | VFolder) else result

        return call


def now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as exc:
        return exc.value
    raise AssertionError("it has waited")


def is_waiting(thread: int) -> bool:
    """Whether a thread waits for a call whose result is not on its way to the caller yet."""
    frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_code is not waiting.wait.__code__:
        frame = frame.f_back
    if frame is None:
        return False
    return frame.f_lineno != _RETURN_LINE


def _line_of(text: str) -> int:
    lines = Path(waiting.__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip() == text)


_RETURN_LINE = _line_of("return call.result()")


def rounds_of_blocking_calls(rounds: Rounds, calls: list[str], left: Callable[..., None]) -> None:
    classes = {"Kernel": Blocking(Kernel), "VFolder": Blocking(VFolder), "Admin": Blocking(Admin)}
    on = now(subject(classes, rounds.here))
    steps = instrument_portal()
    thread = threading.get_ident()
    fired = False

    def fire() -> bool:
        nonlocal fired
        # Elsewhere, what a call has returned may be lost before it is assigned to a variable.
        if is_waiting(thread):
            fired = True
            signal.pthread_kill(thread, signal.SIGINT)
        return fired

    def once(name: str) -> BaseException | None:
        try:
            now(_coroutine(CALLS[name](on)))
        except BaseException as exc:  # noqa: ASYNC103 (it is what was made to happen)
            return exc  # noqa: ASYNC104
        return None

    for name in sorted(set(calls)):
        steps.arm(0, bool)
        error = once(name)
        rounds.note_control(name, steps.count, error)
    on.partial_files()
    now(on.kernel.destroy())
    left(before=True)
    on.kernel = now(kept_kernel(classes))
    for name in calls:
        number, fired = rounds.pick.randint(1, rounds.steps[name]), False
        steps.arm(number, fire)
        error = once(name)
        try:
            steps.disarm()
            if fired and not isinstance(error, KeyboardInterrupt):
                time.sleep(LATE_SECONDS)
                rounds.problems.append(f"{name} at step {number}: Ctrl-C was lost ({error!r})")
        except KeyboardInterrupt as exc:
            error = exc
        rounds.note(name, number, error)
        rounds.check(name, on, now(on.kernel.run("print(6 * 7)")))
    now(on.kernel.destroy())
    left(before=False)
    if found := Admin.list_kernels():
        rounds.problems.append(f"kernels are left: {found}")


# --- the program ---------------------------------------------------------------------------------


def main(details: dict[str, Any]) -> None:
    rounds = Rounds(details)
    place = Place((Path(details["temporary"]),))
    censuses = []

    def left(*, before: bool) -> None:
        """Take a census, or compare with it."""
        if before:
            censuses.append(place.census())
        else:
            rounds.problems += settle(place, censuses[0])

    if details["face"] == "asyncio":
        asyncio.run(rounds_in_asyncio(rounds, details["calls"], left))
    else:
        rounds_of_blocking_calls(rounds, details["calls"], left)
    print(json.dumps({"outcomes": rounds.outcomes, "problems": rounds.problems}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
