"""Shows pictures and other media to the client of a run, from a program in a Python kernel.

::

    import backendai_display

    backendai_display.show("image/png", content)

The gateway's end is `backendai_trio.gateway.kernels.display`. On managers, `backend.ai run` uploads
this module and downloads what it has kept. It runs on any Python that a kernel has.
"""

from __future__ import annotations

import os
import socket
import sys

__all__ = ["show"]

VARIABLE = "BACKENDAI_DISPLAY"
"""The path of the kernel's socket; or of a folder, which the client reads after the run."""
KEPT_BYTES = 8 * 1024 * 1024
PART_BYTES = 512 * 1024
"""Managers send files of less than 1 MiB."""


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
    message = f"{mime_type} {len(content)}\n".encode() + content
    if os.path.isdir(path):  # noqa: PTH112
        _keep(path, message)
        return
    answer = _exchange(path, message)
    if answer != "ok":
        raise OSError(answer or "the kernel is ending")


def _keep(folder: str, message: bytes) -> None:
    """Write a message to files of its own, which are numbered: its number, and that of the part."""
    if len(message) > KEPT_BYTES:
        raise OSError(f"it has {len(message):,} bytes, and may have {KEPT_BYTES:,} at most")
    number = len(os.listdir(folder))  # noqa: PTH208
    for at in range(0, len(message), PART_BYTES):
        while True:
            name = f"{number:06}.{at // PART_BYTES:03}"
            try:
                with open(os.path.join(folder, name), "xb") as file:  # noqa: PTH118, PTH123
                    file.write(message[at : at + PART_BYTES])
            except FileExistsError:  # of another program of the run, which has this number
                number += 1
            else:
                break


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
