"""The terminal of a kernel, without a shell."""

from __future__ import annotations

import trio

from backendai_trio.gateway.kernels.terminal import TerminalSession
from backendai_trio.gateway.limits import GatewayLimits


async def test_last_clients_are_remembered() -> None:
    """A page that makes up a name whenever it is loaded fills no memory."""
    terminal = TerminalSession(GatewayLimits())
    terminal.attach(trio.CancelScope(), "stays")
    for number in range(1000):
        terminal.attach(trio.CancelScope(), f"page{number}")
        if number % 50 == 0:
            terminal.attach(trio.CancelScope(), "stays")
    known = [number for number in range(1000) if terminal.was_attached(f"page{number}")]
    assert known == list(range(1000 - len(known), 1000))
    assert 50 < len(known) < 65
    assert terminal.was_attached("stays") and not terminal.was_attached("")
    await trio.lowlevel.checkpoint()
