"""Ctrl-C in callbacks, where Python drops exceptions."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time, weakref
from backendai_cli.lost_interrupts import deliver_lost_interrupts

class Thing:
    def __del__(self):
        {in_del}

deliver_lost_interrupts()
thing = Thing()
reference = weakref.ref(thing, lambda _: {in_callback})
try:
    del thing
    print("dropped", flush=True)
    {waits}
except KeyboardInterrupt:
    print("delivered")
"""
INTERRUPT = "signal.raise_signal(signal.SIGINT)"
WAIT = "time.sleep(60)"
TRIO_WAITS = "import trio; trio.run(trio.sleep_forever)"


@pytest.mark.parametrize("waits", [WAIT, TRIO_WAITS, "sys.stdin.read()"])
@pytest.mark.parametrize("where", ["in_callback", "in_del"])
def test_ctrl_c_in_a_callback(where: str, waits: str) -> None:
    code = PROGRAM.format(**{"in_del": "pass", "in_callback": "0", where: INTERRUPT}, waits=waits)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read() == "dropped\ndelivered\n"
        assert process.stderr.read() == ""


def test_other_errors_are_printed() -> None:
    code = PROGRAM.format(in_del="1 / 0", in_callback="0", waits="pass")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ZeroDivisionError" in done.stderr and "Exception ignored" in done.stderr
