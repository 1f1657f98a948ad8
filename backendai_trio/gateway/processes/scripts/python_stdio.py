"""Standard output and standard error of the Python interpreter (see `interpreter_main.py`)."""

from __future__ import annotations

import io
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .ordered_output import OrderedOutput
    from .python_blocks import Blocks
else:
    from ordered_output import OrderedOutput
    from python_blocks import Blocks


class Stdio:
    """sys.stdout and sys.stderr: line buffered, and in the order in which they are written.

    In a run whose client writes to a pipe, many lines of sys.stdout are gathered (see `Blocks`).
    """

    def __init__(self) -> None:
        out, err = OrderedOutput(1, 2), OrderedOutput(2, 1)
        self.out = Stdout(out, **self.settings("surrogateescape"))
        self.err = io.TextIOWrapper(err, **self.settings("backslashreplace"))
        for stream in (self.out, self.err):
            stream.mode = "w"  # type: ignore[misc]
        self.blocks = self.out.blocks = Blocks(self.out, out, self.err)
        out.flush_other = self.err.flush
        err.flush_other = self.blocks.flush_before_error

    @staticmethod
    def settings(errors: str) -> dict[str, Any]:
        # 10 MB in lines of 80 bytes take 0.6 s this way, 1.5 s without a buffer (two writes for
        # each print), and 0.45 s with a block buffer, which shows a loop's output only at its end.
        return {"encoding": "utf-8", "errors": errors, "newline": "\n", "line_buffering": True}

    def flush(self) -> None:
        """Flush all buffers, including those of C libraries."""
        for stream in (sys.stdout, sys.stderr, self.out, self.err):
            try:
                stream.flush()
            except Exception:  # noqa: S110 (the user may have put anything there)
                pass
        # Only extension modules can have output in C's buffers, and nearly all of them (numpy,
        # torch, ...) import ctypes. Importing it always would cost 4 ms a run.
        if "ctypes" in sys.modules:
            sys.modules["ctypes"].CDLL(None).fflush(None)


class Stdout(io.TextIOWrapper):
    """sys.stdout. Each line goes to the descriptor, or to a block that `flush` writes as well."""

    blocks: Blocks

    def flush(self) -> None:
        super().flush()
        self.blocks.flush()

    @property
    def buffer(self) -> Any:
        """The descriptor. What is written there directly has its order among the lines."""
        self.blocks.forbid()
        return super().buffer

    def detach(self) -> Any:
        self.blocks.forbid()
        return super().detach()
