"""Shows pictures and other media to the client of a run, from a program in a Python kernel.

::

    import backendai_display

    backendai_display.show("image/png", content)

The gateway's end is `backendai_trio.gateway.kernels.display`. This runs on any Python that a kernel
has, not only the gateway's.
"""

from __future__ import annotations

import os
import socket
import sys

__all__ = ["show"]

VARIABLE = "BACKENDAI_DISPLAY"
"""The path of the kernel's socket."""


def show(mime_type: str, content: bytes) -> None:
    """Show a medium, after all that the program has written so far.

    Args:
        mime_type: its type, such as ``image/png``.
        content: its bytes, 8 MiB at most.

    Raises:
        OSError: it cannot be shown; the text says why.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        raise OSError(f"{VARIABLE} is not set: this is no program of a kernel")
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    answer = _exchange(path, f"{mime_type} {len(content)}\n".encode() + content)
    if answer != "ok":
        raise OSError(answer or "the kernel is ending")


def _exchange(path: str, message: bytes) -> str:
    """Send a message; returns the answer."""
    # An address holds no more than 107 bytes of a path.
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)  # noqa: PTH120
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")  # noqa: PTH119
            try:
                connection.sendall(message)
            except BrokenPipeError:
                pass  # it was refused, and the answer says why
            with connection.makefile("rb") as answer:
                return answer.read().decode()
    finally:
        os.close(folder)
