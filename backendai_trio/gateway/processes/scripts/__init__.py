"""The program that runs Python and Lua code inside a kernel, by another Python process.

It is `interpreter_main.py`; the gateway never imports it. The other files are found in its folder,
which is on `sys.path` only while they are imported.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["INTERPRETER"]

INTERPRETER = str(Path(__file__).with_name("interpreter_main.py"))
