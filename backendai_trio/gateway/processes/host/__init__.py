"""The process host of a kernel: a program that starts the kernel's programs.

It is `host_main.py`, which finds the other files in its folder. The gateway uses them, too.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["HOST_MAIN"]

HOST_MAIN = str(Path(__file__).with_name("host_main.py"))
