"""Programs and modules for the inside of kernels; the gateway never imports them.

`interpreter_main.py` runs Python and Lua code. The other files are found in its folder, which is on
`sys.path` only while they are imported. The modules in `python_path` are for users' programs.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["INTERPRETER", "PYTHON_PATH"]

INTERPRETER = str(Path(__file__).with_name("interpreter_main.py"))
PYTHON_PATH = str(Path(__file__).with_name("python_path"))
"""A folder of modules that every Python in a kernel can import."""
