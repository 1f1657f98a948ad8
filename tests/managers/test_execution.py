"""Code in a session: query and batch runs, over WebSockets and by polls."""

from __future__ import annotations

import hashlib

import pytest
import trio

from backendai_trio import (
    BatchOptions,
    Client,
    Finished,
    Html,
    InputRequest,
    KernelSpec,
    Media,
    Stdout,
    TrioKernel,
    find_kernel,
    open_client,
    open_kernel,
)

from .runs import chunks, poll_only, run
from .targets import Target

pytestmark = pytest.mark.needs("sessions")


@pytest.fixture(params=["stream", "polls"])
async def kernel(request: pytest.FixtureRequest, client: Client, python: KernelSpec):  # type: ignore[no-untyped-def]
    """A kernel whose runs go over WebSockets (where the server has them), or by polls."""
    if request.param == "polls":
        poll_only(client)
    async with open_kernel(client, python) as opened:
        yield opened


async def test_state_is_kept(kernel: TrioKernel) -> None:
    await run(kernel, "x = [1, 2]\ndef f():\n    return sum(x)")
    assert (await run(kernel, "x.append(3)\nprint(f())")).stdout == "6\n"


async def test_text_of_every_kind(kernel: TrioKernel) -> None:
    ran = await run(kernel, "print('ä€😀')\nimport sys\nprint('err', file=sys.stderr)")
    assert (ran.stdout, ran.stderr) == ("ä€😀\n", "err\n")


async def test_exception(kernel: TrioKernel, target: Target) -> None:
    ran = await run(kernel, "def f():\n    return 1 / 0\nprint('before')\nf()")
    assert ran.stdout == "before\n"
    assert "ZeroDivisionError" in ran.stderr
    if target.can("query-exit-code"):
        assert ran.exit_code == 1
    assert (await run(kernel, "print('after')")).stdout == "after\n"


@pytest.mark.needs("syntax-errors")
async def test_syntax_error(kernel: TrioKernel) -> None:
    assert "SyntaxError" in (await run(kernel, "print('x';")).stderr
    # Code that is cut short has an error of its own from Python 3.13 on.
    cut = (await run(kernel, "print('x'")).stderr
    assert "SyntaxError" in cut or "_IncompleteInputError" in cut


async def test_input(kernel: TrioKernel) -> None:
    code = "first = input('name? ')\nsecond = input('again? ')\nprint('hello', first, second)"
    ran = await run(kernel, code, answers=["ä b", ""])
    assert ran.stdout.replace("name? ", "").replace("again? ", "").strip() == "hello ä b"


async def test_password(kernel: TrioKernel, target: Target) -> None:
    code = "import getpass\np = getpass.getpass('secret? ')\nprint(len(p))"
    ran = await run(kernel, code, answers=["1234"])
    asked = [event for event in ran.events if isinstance(event, InputRequest)]
    assert len(asked) == 1
    assert asked[0].is_password or target.name.startswith("1.")
    assert ran.stdout.replace("secret? ", "").strip() == "4"


async def test_three_megabytes(kernel: TrioKernel) -> None:
    code = (
        "import hashlib\nline = 'x' * 79\n"
        "for i in range(37500):\n    print(f'{i:06d}' + line[:73])\n"
    )
    expected = "".join(f"{i:06d}{'x' * 73}\n" for i in range(37500))
    ran = await run(kernel, code)
    assert len(ran.stdout) == len(expected) == 3_000_000
    assert _digest(ran.stdout) == _digest(expected)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_output_comes_while_the_code_runs(kernel: TrioKernel, target: Target) -> None:
    seconds = 2 if target.name == "gateway" else 6
    code = f"import time\nprint('first', flush=True)\ntime.sleep({seconds})\nprint('last')"
    start = trio.current_time()
    first_at = 0.0
    text = ""
    async with kernel.execute(code) as execution:
        async for event in execution:
            if isinstance(event, Stdout):
                first_at = first_at or trio.current_time()
                text += event.text
    assert text == "first\nlast\n"
    assert trio.current_time() - start > seconds
    assert first_at - start < seconds


async def test_run_that_is_silent_for_long(kernel: TrioKernel, target: Target) -> None:
    ran = await run(kernel, f"import time\ntime.sleep({20 * target.pace})\nprint('done')")
    assert ran.stdout == "done\n"


@pytest.mark.parametrize("code", [0, 1, 7, 255])
async def test_exit_code_of_a_batch_run(kernel: TrioKernel, target: Target, code: int) -> None:
    options = BatchOptions(build="", exec=f"sh -c 'echo said; sleep 0.1; exit {code}'")
    ran = await run(kernel, mode="batch", options=options)
    assert ran.stdout == "said\n"
    if target.can("exit-codes"):
        assert ran.exit_code == code


async def test_batch_of_files(kernel: TrioKernel) -> None:
    """Files that were uploaded, by the image's own rules: ``main.py`` is run."""
    await kernel.upload_stream("main.py", chunks(b"import other\nprint(other.value)\n"))
    await kernel.upload_stream("other.py", chunks(b"value = 42\n"))
    ran = await run(kernel, mode="batch", options=BatchOptions(build=""))
    assert ran.stdout == "42\n"


async def test_build_and_exec(kernel: TrioKernel) -> None:
    options = BatchOptions(build="echo built > a.txt", exec="cat a.txt; echo no >&2")
    ran = await run(kernel, mode="batch", options=options)
    assert (ran.stdout, ran.stderr) == ("built\n", "no\n")


async def test_twenty_commands_that_end_at_once(kernel: TrioKernel) -> None:
    for number in range(20):
        options = BatchOptions(build="", exec=f"echo {number}")
        with trio.fail_after(30):
            assert (await run(kernel, mode="batch", options=options)).stdout == f"{number}\n"


async def test_run_waits_for_the_one_before(kernel: TrioKernel) -> None:
    """Two at a time in one session: both end, and both say what they have to say."""
    said: dict[str, str] = {}

    async def say(name: str) -> None:
        said[name] = (await run(kernel, f"import time\ntime.sleep(1)\nprint({name!r})")).stdout

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say, "one")
        nursery.start_soon(say, "two")
    assert said == {"one": "one\n", "two": "two\n"}


async def test_interrupt(kernel: TrioKernel) -> None:
    code = "import time\nprint('up', flush=True)\nwhile True:\n    time.sleep(0.1)"
    async with kernel.execute(code) as execution:
        async for event in execution:
            if isinstance(event, Stdout) and "up" in event.text:
                await execution.interrupt()
        assert isinstance(execution.outcome, Finished)
    assert (await run(kernel, "print('alive')")).stdout == "alive\n"


@pytest.mark.needs("pictures")
async def test_picture(kernel: TrioKernel) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    code = (
        "class Svg:\n    def _repr_svg_(self):\n        return '<svg/>'\n"
        f"class Png:\n    def _repr_png_(self):\n        return {png!r}\n"
        "from IPython.display import display\ndisplay(Svg())\ndisplay(Png())"
    )
    ran = await run(kernel, code)
    assert [(e.mime_type, e.content()) for e in ran.events if isinstance(e, Media)] == [
        ("image/svg+xml", b"<svg/>"),
        ("image/png", png),
    ]


@pytest.mark.needs("html")
async def test_html(kernel: TrioKernel) -> None:
    code = "from IPython.display import display, HTML\ndisplay(HTML('<b>bold</b>'))"
    ran = await run(kernel, code)
    assert any(isinstance(e, Html | Media) for e in ran.events), ran.events
    assert (await run(kernel, "print('alive')")).stdout == "alive\n"


@pytest.mark.needs("complete")
async def test_completion(kernel: TrioKernel) -> None:
    await run(kernel, "a_long_name = 1")
    assert any("a_long_name" in found for found in await kernel.complete("a_lon"))


async def test_clients_may_come_and_go(target: Target, python: KernelSpec) -> None:
    """A run is not the client's: the next one finds what the one before has made."""
    async with open_client(target.config()) as first, open_kernel(first, python) as kernel:
        await run(kernel, "x = 1")
        async with open_client(target.config()) as second:
            found = await find_kernel(second, kernel.token)
            assert (await run(found, "print(x)")).stdout == "1\n"
