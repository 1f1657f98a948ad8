"""Standard input and output as one stream, for programs that talk to another through this one."""

from __future__ import annotations

import os
import stat
import sys
from typing import IO

import trio

from .program_output import write_some
from .standard_input import Stdin

__all__ = ["StandardStreams", "is_pipe"]


def is_pipe(stream: IO[str]) -> bool:
    """Whether a standard stream is a pipe: no terminal, file, device or socket."""
    return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)


class StandardStreams(trio.abc.HalfCloseableStream):
    """Standard input and output, byte for byte.

    Neither is made non-blocking, or blocking: other processes share them.
    """

    def __init__(self) -> None:
        self._stdin = Stdin()
        self._output = 1

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for input; ``b""`` at its end."""
        return await self._stdin.read()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of the data.

        Raises:
            trio.BrokenResourceError: the program at the other end has gone.
        """
        view = memoryview(data)
        while view:
            try:
                written = await trio.to_thread.run_sync(
                    write_some, self._output, view, abandon_on_cancel=True
                )
            except OSError as exc:
                raise trio.BrokenResourceError(f"standard output: {exc.strerror}") from exc
            view = view[written:]

    async def send_eof(self) -> None:
        """Close standard output; input goes on."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._output)
        os.close(nowhere)
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Return at once: the streams are not ours alone."""
        await trio.lowlevel.checkpoint()

    async def wait_output_closed(self) -> None:
        """Return when the program that reads a pipe of standard output has closed it.

        Elsewhere that shows only when something is written; then this waits for ever.
        """
        if sys.platform == "win32" or not is_pipe(sys.stdout):
            await trio.sleep_forever()
        try:
            # An error is the only thing that can be "read" from this end of a pipe.
            await trio.lowlevel.wait_readable(self._output)
        except OSError:
            await trio.sleep_forever()
