"""Shows pictures and other media to the client of a run, from a program in a Python kernel.

::

    import backendai_display

    backendai_display.show("image/png", content)

The gateway's end is `backendai_trio.gateway.kernels.display`. On managers, `backend.ai run` uploads
this module and downloads what it has kept. It runs on Python 3.3 and later, and 2.7 can compile it:
a kernel has any Python, not only the gateway's.
"""

import os
import re
import socket
import sys

__all__ = ["show"]

VARIABLE = "BACKENDAI_DISPLAY"
"""The path of the kernel's socket; or of a folder, which the client reads after the run."""
MAX_BYTES = 8 * 1024 * 1024
PART_BYTES = 512 * 1024
"""Managers send files of less than 1 MiB."""
MIME_TYPE = re.compile(r"[\x21-\x7e]{1,100}\Z")


def show(mime_type, content):
    # type: (str, bytes) -> None
    """Show a medium, after all that the program has written so far.

    Args:
        mime_type: its type, such as ``image/png``.
        content: its bytes, 8 MiB at most.

    Raises:
        OSError: it cannot be shown; the text says why.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        raise OSError("%s is not set: this is no program of a kernel" % VARIABLE)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    message = ("%s %d\n" % (mime_type, len(content))).encode() + content
    if os.path.isdir(path):  # noqa: PTH112
        if not MIME_TYPE.match(mime_type):
            raise OSError("its MIME type or its size is malformed")
        if len(content) > MAX_BYTES:
            text = "it has {:,} bytes, and may have {:,} at most"
            raise OSError(text.format(len(content), MAX_BYTES))
        _keep(path, message)
        return
    answer = _exchange(path, message)
    if answer != "ok":
        raise OSError(answer or "the kernel is ending")


def _keep(folder, message):
    # type: (str, bytes) -> None
    """Write a message to files of its own, which are numbered: its number, and that of the part."""
    number = len(os.listdir(folder))  # noqa: PTH208
    for at in range(0, len(message), PART_BYTES):
        while True:
            name = "%06d.%03d" % (number, at // PART_BYTES)
            try:
                with open(os.path.join(folder, name), "xb") as file:  # noqa: PTH118, PTH123
                    file.write(message[at : at + PART_BYTES])
            except FileExistsError:  # of another program of the run, which has this number
                number += 1
            else:
                break


def _exchange(path, message):
    # type: (str, bytes) -> str
    """Send a message; returns the answer."""
    # An address holds no more than 107 bytes of a path.
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)  # noqa: PTH120
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            name = os.path.basename(path)  # noqa: PTH119
            connection.connect("/proc/self/fd/%d/%s" % (folder, name))
            answer = b""
            try:
                connection.sendall(message)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was refused, and the answer says why
            try:
                while True:
                    data = connection.recv(4096)
                    if not data:
                        break
                    answer += data
            except ConnectionResetError:
                pass  # the end, too, where not all was received
            return answer.decode()
    finally:
        os.close(folder)
