"""A kernel's terminal: one shell, which stays when its user goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
import trio
import trio.testing

from backendai_trio import (
    Client,
    ConnectionFailed,
    GatewayOptions,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    Stdout,
    Terminal,
    TrioKernel,
    open_client,
    open_gateway,
    open_kernel,
    open_terminal,
)
from backendai_trio.gateway import Gateway
from backendai_trio.transport import ConnectionState
from backendai_trio.wire.resumable import RESUMABLE_STREAMS
from backendai_trio.wire.versions import ERAS, SESSION_6, Era

PYTHON = KernelSpec(runtime="python")

MemorySend: TypeAlias = trio.testing.MemorySendStream
MemoryReceive: TypeAlias = trio.testing.MemoryReceiveStream


@pytest.fixture
def era() -> Era:
    """The newest one, where a test does not say another."""
    return SESSION_6


@pytest.fixture
def form() -> str:
    """How messages travel; tests that hold for both ways are parametrised by it."""
    return "resumable"


@pytest.fixture
async def gateway(era: Era, gateway_parent: Path) -> AsyncIterator[Gateway]:
    """A gateway that speaks this era's API and no other."""
    async with open_gateway(GatewayOptions(eras=(era,))) as opened:
        yield opened


@pytest.fixture
async def client(gateway: Gateway, form: str) -> AsyncIterator[Client]:
    """A client; in the managers' form it takes the gateway for a manager."""
    async with open_client(gateway.config) as opened:
        if form == "managers":
            features = opened.hello.features - {RESUMABLE_STREAMS}
            opened.hello = replace(opened.hello, features=features)
        yield opened


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    """A kernel for Python."""
    async with open_kernel(client, PYTHON) as opened:
        yield opened


every_era = pytest.mark.parametrize("era", ERAS, ids=lambda era: era.name)
both_forms = pytest.mark.parametrize("form", ["resumable", "managers"])


async def shows(terminal: Terminal, text: str) -> str:
    """Read until the terminal shows `text`; all that came until then."""
    got = b""
    with trio.fail_after(10):
        while text.encode() not in got:
            data = await terminal.receive_some()
            assert data, f"the shell ended, but showed {got!r}"
            got += data
    return got.decode("utf-8", "replace")


async def says(terminal: Terminal, command: str, text: str) -> str:
    """Give a command, and read until it has printed `text` (which must not be in the command)."""
    assert text not in command
    await terminal.send_all(command.encode() + b"\n")
    return await shows(terminal, text)


async def rest(terminal: Terminal) -> bytes:
    """All that comes until the shell ends."""
    got = b""
    with trio.fail_after(10):
        while data := await terminal.receive_some():
            got += data
    return got


# --- the shell -----------------------------------------------------------------------------------


@every_era
@both_forms
async def test_shell_in_the_work_folder(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal:
        await says(terminal, "echo $((40 + 2))-$TERM; test -t 0 && echo is''tty", "istty")
        await terminal.send_all(b"exit\n")
        await rest(terminal)
        assert await terminal.receive_some() == b""


@every_era
async def test_exit_code(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal:
        assert terminal.exit_code is None
        await terminal.send_all(b"exit 3\n")
        await rest(terminal)
        assert terminal.exit_code == 3


@both_forms
async def test_end_of_input_ends_the_shell(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal:
        # At its prompt: an end of input that comes while nobody reads is lost on a terminal.
        await says(terminal, "PS1='pro''mpt> '", "prompt> ")
        await terminal.send_eof()
        await terminal.send_eof()
        with pytest.raises(trio.ClosedResourceError):
            await terminal.send_all(b"x")
        await rest(terminal)
    # The next user gets a fresh shell.
    async with open_terminal(kernel) as terminal:
        await says(terminal, "echo an''other", "another")


@both_forms
async def test_window_size(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal:
        await terminal.resize(33, 111)
        await says(terminal, "stty size", "33 111")
        await says(terminal, "trap 'echo resi''zed $(stty size)' WINCH; echo s''et", "set")
        await terminal.resize(40, 100)
        await terminal.send_all(b"\n")
        await shows(terminal, "resized 40 100")
        for rows, columns in ((0, 80), (24, 0), (10_001, 80), (24, -1)):
            with pytest.raises(LocalProtocolError):
                await terminal.resize(rows, columns)


@both_forms
async def test_interrupt(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal:
        await says(terminal, "PS1='pro''mpt>'", "prompt>")
        await says(terminal, "sh -c 'echo go''ing; exec sleep 1000'", "going")
        await terminal.interrupt()
        # What is typed before the prompt is back may be lost with the interrupted line.
        await shows(terminal, "prompt>")
        await says(terminal, "echo $?-sta''tus", "130-status")


@both_forms
async def test_every_byte_arrives(kernel: TrioKernel) -> None:
    typed = bytes(range(256)) * 400
    async with open_terminal(kernel) as terminal:
        await says(terminal, f"stty raw -echo; printf 're''ady>'; head -c {len(typed)}", "ready>")
        got = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(terminal.send_all, typed)
            with trio.fail_after(10):
                while len(got) < len(typed):
                    got += await terminal.receive_some(1000)
        assert got[: len(typed)] == typed


async def test_max_bytes(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal:
        await terminal.send_all(b"echo 01234''56789\n")
        got = b""
        while b"0123456789" not in got:
            piece = await terminal.receive_some(3)
            assert 1 <= len(piece) <= 3
            got += piece
        for wrong in (0, -1):
            with pytest.raises(ValueError, match="at least 1"):
                await terminal.receive_some(wrong)


@both_forms
async def test_restart(kernel: TrioKernel) -> None:
    """Variables and processes go, files stay, and so do the terminal and its size."""
    async with kernel.execute("left = 1"):
        pass
    async with open_terminal(kernel) as terminal:
        await terminal.resize(33, 111)
        await says(terminal, "mine=kept; echo $$ > shell; echo s''et", "set")
        await says(terminal, "sh -c 'echo go''ing; exec sleep 1000'", "going")
        await terminal.restart()
        await shows(terminal, "work")  # the prompt of a fresh shell
        await says(terminal, "stty size", "33 111")
        await says(terminal, "kill -0 $(cat shell) || echo o''ver,mi''ne=$mine.", "over,mine=.")
        async with kernel.execute("print('left' in globals())") as run:
            assert await anext(run) == Stdout("False\n")
        await terminal.send_all(b"exit 5\n")
        await rest(terminal)


@pytest.mark.parametrize("form", ["resumable"])
async def test_restart_is_over_when_it_returns(kernel: TrioKernel) -> None:
    """It does not end the code that is run next."""
    for _ in range(100):
        async with open_terminal(kernel) as terminal:
            await terminal.restart()
        assert (await kernel.run("print(1)"))["exitCode"] == 0


# --- rules of Trio's streams ---------------------------------------------------------------------


class PairedStream:
    """One end of a terminal whose other end is a terminal as well."""

    def __init__(self, stream: trio.StapledStream[MemorySend, MemoryReceive]) -> None:
        self.exit_code: int | None = None
        self.connection = ConnectionState()
        self._stream = stream

    async def receive_some(self) -> bytes:
        return bytes(await self._stream.receive_some())

    async def send_all(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def resize(self, rows: int, columns: int) -> None:
        await trio.lowlevel.checkpoint()

    async def restart(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def test_conformance() -> None:
    """Trio's own test of streams.

    It wants a pair of streams. A kernel's terminal has a program at its other end, and on a real
    one the end of input is a character, so the pair is made below `Terminal`.
    """

    async def make_pair() -> tuple[Terminal, Terminal]:
        await trio.lowlevel.checkpoint()
        one, other = trio.testing.memory_stream_pair()
        return Terminal(PairedStream(one)), Terminal(PairedStream(other))

    await trio.testing.check_half_closeable_stream(make_pair, None)


@both_forms
async def test_closed_terminal_has_detached(kernel: TrioKernel) -> None:
    """At once, not when its block ends."""
    async with open_terminal(kernel) as first:
        await says(first, "echo re''ady", "ready")
        await first.aclose()
        async with open_terminal(kernel) as second:
            await says(second, "echo an''other", "another")


async def test_two_receivers_clash(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal, trio.open_nursery() as nursery:
        await says(terminal, "PS1=; echo qu''iet", "quiet")
        nursery.start_soon(rest, terminal)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await terminal.receive_some()
        nursery.cancel_scope.cancel()


async def receive_always(terminal: Terminal) -> None:
    while True:
        await terminal.receive_some()


async def send_too_much(terminal: Terminal) -> None:
    await terminal.send_all(b"more than is ever read\n" * 1_000_000)


@both_forms
@pytest.mark.parametrize("wait", [receive_always, send_too_much])
async def test_closing_wakes_who_waits(
    kernel: TrioKernel, wait: Callable[[Terminal], Awaitable[None]]
) -> None:
    async with open_terminal(kernel) as terminal:
        await says(terminal, "stty -echo; echo re''ady; sleep 60", "ready")
        woken = 0

        async def waiting() -> None:
            nonlocal woken
            with pytest.raises(trio.ClosedResourceError):
                await wait(terminal)
            woken += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting)
            await trio.testing.wait_all_tasks_blocked()
            await terminal.aclose()
        assert woken == 1
        await terminal.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await terminal.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await terminal.receive_some()
        with pytest.raises(trio.ClosedResourceError):
            await terminal.resize(24, 80)


@both_forms
async def test_after_its_block_it_is_closed(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal:
        await says(terminal, "echo re''ady", "ready")
        assert not terminal.closed
    assert terminal.closed
    with pytest.raises(trio.ClosedResourceError):
        await terminal.send_all(b"x")


# --- coming and going ----------------------------------------------------------------------------


@every_era
@both_forms
async def test_coming_back_finds_the_same_shell(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as terminal:
        await says(terminal, "mine=kept; echo s''et", "set")
    async with open_terminal(kernel) as terminal:
        await shows(terminal, "set")  # what was shown before
        await says(terminal, "echo $mine-va''lue", "kept-value")


@both_forms
async def test_shell_that_printed_much_meanwhile(kernel: TrioKernel) -> None:
    """Nobody reads; then somebody comes, and it goes on."""
    async with open_terminal(kernel) as terminal:
        await says(terminal, "echo st''art; head -c 3000000 /dev/zero | tr '\\0' x", "start")
    async with open_terminal(kernel) as terminal:
        await terminal.send_all(b"\necho e''nd\n")
        with trio.fail_after(20):
            tail = b""
            while b"end" not in tail:
                tail = tail[-10:] + await terminal.receive_some()


@both_forms
async def test_history_asks_the_terminal_nothing(kernel: TrioKernel) -> None:
    """A terminal would answer again, and its answers would be typed into the shell."""
    asked = (
        r"\033[6n\033[?6n\033[c\033[>c\033[?25$p\033[18t\033[>q\033]11;?\007\033P+q544e\033\134\005"
    )
    async with open_terminal(kernel) as terminal:
        got = await says(terminal, rf"printf 'a{asked}\033[1;31mb''c'; echo fi''n", "bcfin")
        assert "a\x1b[6n\x1b[?6n\x1b[c\x1b[>c\x1b[?25$p" in got
    async with open_terminal(kernel) as terminal:
        assert "a\x1b[1;31mbcfin" in await shows(terminal, "bcfin")


async def test_attaching_elsewhere_ends_this_one(kernel: TrioKernel) -> None:
    async with open_terminal(kernel) as first:
        await says(first, "mine=kept; echo s''et", "set")
        async with open_terminal(kernel) as second:
            with pytest.raises(trio.BrokenResourceError, match="attached from elsewhere") as caught:
                await rest(first)
            assert isinstance(caught.value.__cause__, ConnectionFailed)
            await says(second, "echo $mine-va''lue", "kept-value")


async def test_kernel_that_is_not_there(kernel: TrioKernel) -> None:
    await kernel.destroy()
    with pytest.raises(NotFound):
        async with open_terminal(kernel):
            pass
