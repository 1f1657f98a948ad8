"""Rows of calls about code that runs in a kernel, its terminal and its services."""

from __future__ import annotations

import hashlib

import trio
import trio.testing

from backendai_trio import Finished, InputRequest, Stdout, Terminal, open_app, open_terminal
from backendai_trio.kernels import (
    copy_both_ways,
    list_apps,
    open_app_stream,
    start_service,
)

from ..app_servers import SERVER
from .cells import Cell
from .rows import row

STREAM = "what a program sends has no limit: it may work for as long as it likes"
BROKEN = trio.BrokenResourceError
COUNT = "import pathlib\nwith open('count', 'a') as f: f.write('x')\nprint('y' * 3000)\n"


async def times_run(cell: Cell) -> int:
    """How often `COUNT` has run, or has begun to."""
    text = await cell.printed(
        "import pathlib\nprint(pathlib.Path('count').read_text() if pathlib.Path('count').exists() "
        "else '')"
    )
    return len(text.strip())


@row("TrioKernel.run", kernel=True)
async def running(cell: Cell) -> None:
    async with cell.armed():
        result = await cell.kernel.run(COUNT)
    if cell.succeeded:
        assert result["exitCode"] == 0
        assert "".join(str(text) for _, text in result["console"]) == "y" * 3000 + "\n"
        assert await times_run(cell) == 1
    else:
        assert await times_run(cell) <= 1


@row("TrioKernel.execute", "Execution.__anext__", kernel=True)
async def executing(cell: Cell) -> None:
    text, code = "", None
    async with cell.armed(), cell.kernel.execute(COUNT) as run:
        async for event in run:
            if isinstance(event, Stdout):
                text += event.text
            elif isinstance(event, Finished):
                code = event.exit_code
    if cell.succeeded:
        assert (text, code) == ("y" * 3000 + "\n", 0)
        assert await times_run(cell) == 1
    else:
        assert await times_run(cell) <= 1


@row("Execution.collect", kernel=True)
async def collecting(cell: Cell) -> None:
    async with cell.armed(), cell.kernel.execute(COUNT) as run:
        result = await run.collect()
    if cell.succeeded:
        assert result["exitCode"] == 0 and run.outcome is not None
        assert await times_run(cell) == 1


@row("Execution.send_input", kernel=True)
async def answering(cell: Cell) -> None:
    text = ""
    async with cell.armed(), cell.kernel.execute("print(input() + '!' * 200)") as run:
        async for event in run:
            if isinstance(event, InputRequest):
                await run.send_input("typed")
            elif isinstance(event, Stdout):
                text += event.text
    if cell.succeeded:
        assert text == "typed" + "!" * 200 + "\n"


@row("Execution.send_stdin", "Execution.close_stdin", kernel=True)
async def sending_input(cell: Cell) -> None:
    text = ""
    sent = (b"0123456789" * 200 + b"\n") * 10
    async with cell.armed():
        code = "import sys, hashlib\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
        async with cell.kernel.execute(code) as run:
            await run.send_stdin(sent)
            await run.close_stdin()
            async for event in run:
                if isinstance(event, Stdout):
                    text += event.text
    if cell.succeeded:
        assert text.strip() == hashlib.sha256(sent).hexdigest()


@row("Execution.resize", kernel=True)
async def resizing_a_program(cell: Cell) -> None:
    text = ""
    code = "input()\nimport os\nprint(os.get_terminal_size())"
    async with cell.armed(), cell.kernel.execute(code, window=(20, 60)) as run:
        await run.resize(30, 90)
        await run.send_stdin(b"\n")
        async for event in run:
            if isinstance(event, Stdout):
                text += event.text
    if cell.succeeded:
        assert "columns=90, lines=30" in text


@row("Execution.interrupt", kernel=True)
async def interrupting_a_run(cell: Cell) -> None:
    code = (
        "import time\ntry:\n  print('on', flush=True)\n  time.sleep(60)\n"
        "except KeyboardInterrupt: print('off')"
    )
    text = ""
    async with cell.armed(), cell.kernel.execute(code) as run:
        async for event in run:
            if isinstance(event, Stdout):
                text += event.text
                if text == "on\n":
                    await run.interrupt()
    if cell.succeeded:
        assert text == "on\noff\n"


# --- terminals -----------------------------------------------------------------------------------


async def read_until(terminal: Terminal, wanted: bytes) -> bytes:
    """What the terminal sends up to some text."""
    data = b""
    while wanted not in data:
        more = await terminal.receive_some()
        if not more:
            break
        data += more
    return data


@row(
    "open_terminal",
    "Terminal.send_all",
    "Terminal.receive_some",
    "Terminal.__anext__",
    kernel=True,
)
async def terminal(cell: Cell) -> None:
    data = b""
    async with cell.armed(BROKEN), open_terminal(cell.kernel) as opened:
        await opened.send_all(b"echo $((6*7))-$((2*4)); echo x >> typed\n")
        data = await read_until(opened, b"42-8")
    if cell.succeeded:
        assert b"42-8" in data
        for _ in range(50):
            typed = await cell.printed(
                "import os\nprint(os.path.exists('typed') and open('typed').read())"
            )
            if "x" in typed:
                break
            await trio.sleep(0.05)
        assert typed.count("x") == 1


@row("Terminal.resize", kernel=True)
async def resizing(cell: Cell) -> None:
    data = b""
    async with cell.armed(BROKEN), open_terminal(cell.kernel) as opened:
        await opened.resize(33, 99)
        await opened.send_all(b"stty size; echo fin''ished\n")
        data = await read_until(opened, b"finished")
    if cell.succeeded:
        assert b"33 99" in data


@row("Terminal.interrupt", kernel=True)
async def interrupting_a_terminal(cell: Cell) -> None:
    data = b""
    async with cell.armed(BROKEN), open_terminal(cell.kernel) as opened:
        await opened.send_all(b"sh -c 'echo be''gun; exec sleep 60'\n")
        await read_until(opened, b"begun")
        await opened.interrupt()
        await opened.send_all(b"echo af''ter\n")
        data = await read_until(opened, b"after")
    if cell.succeeded:
        assert b"after" in data


@row("Terminal.restart", kernel=True)
async def restarting_a_terminal(cell: Cell) -> None:
    data = b""
    async with cell.armed(BROKEN), open_terminal(cell.kernel) as opened:
        await opened.send_all(b"value=42; PS1='se''t>'\n")
        await read_until(opened, b"set>")  # no prompt of this shell shows the folder now
        await opened.restart()
        await read_until(opened, b"work")  # the prompt of a fresh shell
        await opened.send_all(b'echo "<$value>"\n')
        data = await read_until(opened, b"<>")
    if cell.succeeded:
        assert b"<>" in data


@row("Terminal.send_eof", kernel=True)
async def ending_the_input(cell: Cell) -> None:
    data = b"x"
    async with cell.armed(BROKEN), open_terminal(cell.kernel) as opened:
        # At its prompt the shell takes the end; before, the terminal may make a NUL of it.
        await opened.send_all(b"PS1='pro''mpt>'\n")
        await read_until(opened, b"prompt>")
        await opened.send_eof()
        while data:
            data = await opened.receive_some()
    if cell.succeeded:
        assert data == b""


@row(
    "Terminal.aclose", "Terminal.__aenter__", "Terminal.wait_send_all_might_not_block", kernel=True
)
async def closing_a_terminal(cell: Cell) -> None:
    async with cell.armed(BROKEN), open_terminal(cell.kernel) as opened:
        await opened.wait_send_all_might_not_block()
        await opened.aclose()


# --- services ------------------------------------------------------------------------------------


async def service_port(cell: Cell) -> str:
    """Start a TCP server in the cell's kernel."""
    return (await cell.printed(SERVER)).strip()


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    data = b""
    async for more in stream:
        data += more
    return data


@row(
    "kernels.open_app_stream",
    "AppStream.send_all",
    "AppStream.send_eof",
    "AppStream.receive_some",
    "AppStream.__anext__",
    kernel=True,
    unlimited=STREAM,
)
async def service(cell: Cell) -> None:
    data = b""
    port = await service_port(cell)
    async with cell.armed(BROKEN), open_app_stream(cell.kernel, port) as stream:
        await stream.send_all(b"abcdef" * 500)
        await stream.send_eof()
        data = await read_all(stream)
    if cell.succeeded:
        assert data == b"fedcba" * 500


@row(
    "AppStream.aclose",
    "AppStream.__aenter__",
    "AppStream.wait_send_all_might_not_block",
    kernel=True,
)
async def closing_a_service(cell: Cell) -> None:
    port = await service_port(cell)
    async with cell.armed(BROKEN), open_app_stream(cell.kernel, port) as stream:
        await stream.wait_send_all_might_not_block()
        await stream.aclose()


@row("open_app", kernel=True, unlimited=STREAM)
async def forwarded_port(cell: Cell) -> None:
    data = b""
    problems = 0
    port = await service_port(cell)
    async with cell.armed(BROKEN), open_app(cell.kernel, port) as app:
        async with await trio.open_tcp_stream(app.host, app.port) as stream:
            await stream.send_all(b"abcdef" * 500)
            await stream.send_eof()
            data = await read_all(stream)
        problems = app.problems.statistics().current_buffer_used
    if cell.succeeded:
        assert data == b"fedcba" * 500 or problems


@row("kernels.copy_both_ways", kernel=True, unlimited=STREAM)
async def copying(cell: Cell) -> None:
    near, far = trio.testing.memory_stream_pair()
    port = await service_port(cell)
    async with cell.armed(BROKEN), open_app_stream(cell.kernel, port) as stream:
        await near.send_all(b"abcdef" * 500)
        await near.send_eof()
        await copy_both_ways(far, stream)
        await far.aclose()
    if cell.succeeded:
        assert await read_all(near) == b"fedcba" * 500


@row("kernels.list_apps", kernel=True)
async def services(cell: Cell) -> None:
    expected = await list_apps(cell.direct_kernel)
    async with cell.armed():
        found = await list_apps(cell.kernel)
    if cell.succeeded:
        assert found == expected


@row("kernels.start_service", kernel=True, unlimited="a service may take long to start")
async def starting_a_service(cell: Cell) -> None:
    cell.world.more["gateway"].faults.app_proxy = "http://127.0.0.1:9"  # type: ignore[attr-defined]
    port = await service_port(cell)
    async with cell.armed():
        started = await start_service(cell.kernel, port)
    if cell.succeeded:
        assert started.url().startswith("http://127.0.0.1:9")
