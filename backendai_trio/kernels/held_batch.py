"""Batch runs on managers whose agents lose what a run prints between two stages.

From 24.09.12 on, an agent drops the output of a batch run from the end of one stage until the
manager asks for more (docs/protocol.md, section 4.7). What the next stage prints in that time is
lost, mostly with the end of the run, and the kernel is busy for good. So the run has only one stage
here: a shell script with the commands of all stages. It prints a mark again and again until the
client has seen one, which proves that output arrives from now on. The client then uploads the file
that the script waits for, and the commands begin.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from shlex import quote

import trio

from ..errors import BackendError
from ..transport.client import Client
from ..transport.connection_state import ConnectionState
from ..wire.execution import BatchOptions, ExecuteRequest
from ..wire.run_events import BuildFinished, CleanFinished, Event, Finished, Stdout, TimedOut
from .run_stream import RunStream
from .shields import finish_within
from .upload_form import FormFile, send_form

__all__ = ["PYTHON_RULE", "HeldBatch", "hold_batch"]

_START = b"start\n"
_CANCEL = b"cancel\n"
_INTERRUPTED = 130
_BUILD_FAILED = 127
"""What managers' kernels say when they leave out the exec stage."""
_SCRIPT = """\
trap '' INT
tries=0
until [ -s {order} ]; do
  tries=$((tries + 1))
  [ $tries -le 600 ] || {{ echo "the client did not start this run within a minute" >&2; exit 1; }}
  echo {mark}
  sleep 0.1 2>/dev/null || sleep 1
done
read -r order <{order}
rm -f {order}
[ "$order" = start ] || exit {interrupted}
trap - INT
echo {mark}.
{commands}"""
PYTHON_RULE = """\
python=$(tr '\\0' '\\n' </proc/$PPID/cmdline 2>/dev/null | tail -n 1)
case $python in /*python*) ;; *) python=$(command -v python || command -v python3) ;; esac"""
"""Lines of a shell, in a stage of a batch run on a manager, that set ``$python`` to the image's own
interpreter. The manager's kernel runner has started the shell; its last argument is that path."""
_BUILD_RULE = """\
(
if [ -f Makefile ]; then make
elif [ -f setup.py ]; then "$python" -m pip install --user -e .
fi
)"""
_EXEC_RULE = """\
if [ -f main.py ]; then exec "$python" main.py
elif [ -f main ] && [ -x main ]; then exec ./main
fi
echo "There is no main.py, and no program main, to run. Name the commands that build and run the \
files: --build, --exec." >&2
exit 127"""


class HeldBatch:
    """See `RunStream`: the run of a request that `hold_batch` has made.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        stream: the run, as its server shows it.
        name: from `hold_batch`.

    Attributes:
        started: whether the commands run: only their output follows.
    """

    def __init__(self, client: Client, address: str, stream: RunStream, name: str) -> None:
        self.started = False
        self._client = client
        self._address = address
        self._stream = stream
        self._mark = _mark(name)
        self._order = _order(name)
        self._text = ""
        self._listened = False
        self._ordered = False
        self._interrupted = False
        self._events: deque[Event] = deque()

    @property
    def run_id(self) -> str | None:
        """See `RunStream.run_id`."""
        return self._stream.run_id

    @property
    def outcome(self) -> Finished | TimedOut | None:
        """See `RunStream.outcome`."""
        return self._stream.outcome

    @property
    def connection(self) -> ConnectionState:
        """See `RunStream.connection`."""
        return self._stream.connection

    @property
    def begun(self) -> bool:
        """See `RunStream.begun`."""
        return self._stream.begun

    @property
    def asks(self) -> bool:
        """See `RunStream.asks`."""
        return not self._events and self._stream.asks

    async def receive(self) -> list[Event]:
        """See `RunStream.receive`."""
        while True:
            await self._give_order()
            if not self._events:
                self._events.extend(self._visible(await self._stream.receive()))
                continue
            events = list(self._events)
            self._events.clear()
            return events

    async def send_stdin(self, data: bytes) -> None:
        """See `RunStream.send_stdin`."""
        await self._stream.send_stdin(data)

    async def close_stdin(self) -> None:
        """See `RunStream.close_stdin`."""
        await self._stream.close_stdin()

    async def resize(self, rows: int, columns: int) -> None:
        """See `RunStream.resize`."""
        await self._stream.resize(rows, columns)

    async def interrupt(self) -> None:
        """See `RunStream.interrupt`. Commands that have not begun never begin."""
        if self.started:
            await self._stream.interrupt()
        else:
            await trio.lowlevel.checkpoint()
            self._interrupted = True

    async def stop(self) -> Finished | TimedOut | None:
        """See `RunStream.stop`.

        The order to cancel waits for the mark as well, as long as the stream can be read: an end
        that comes before output arrives is lost, and the kernel is busy for good.
        """
        if not self.begun:
            await trio.lowlevel.checkpoint()
            return None
        self._interrupted = True
        try:
            with trio.move_on_after(self._client.config.grace_seconds / 2):
                while not self.started and self._stream.outcome is None:
                    await self._give_order()
                    self._visible(await self._stream.receive())
        except BackendError:
            pass  # such as a poll that was lost: the mark will not be seen
        if self._stream.outcome is not None:
            await trio.lowlevel.checkpoint()
            return self._stream.outcome
        if not self._ordered:
            await self._send_order()
        return await self._stream.stop()

    async def _give_order(self) -> None:
        """Start the commands, as soon as their output would arrive."""
        if self._listened and not self._ordered:
            # The pauses of a rate limit can be cancelled, and are longer than a shield may last.
            await self._client.sender.wait_out(self._send_order)
        if self.started and self._interrupted:
            # The interrupt came between the order and the commands.
            await self._stream.interrupt()
            self._interrupted = False

    async def _send_order(self) -> None:
        content = _CANCEL if self._interrupted else _START
        # Not to be cancelled half-way: a second file would stay in the kernel.
        with finish_within(self._client.config.grace_seconds):
            order = FormFile(self._order, content)
            await send_form(self._client, self._address, [order], waits=False)
            self._ordered = True

    def _visible(self, events: Sequence[Event]) -> list[Event]:
        """The events without those of the script itself."""
        found: list[Event] = []
        for event in events:
            match event:
                case Stdout(text) if not self.started:
                    self._text += text
                    self._listened = self._listened or self._mark in self._text
                    _, begin, rest = self._text.partition(f"{self._mark}.\n")
                    self.started = bool(begin)
                    if rest:
                        found.append(Stdout(rest))
                case CleanFinished() | BuildFinished():
                    pass  # of the stages that are left out
                case _:
                    found.append(event)
        return found


def hold_batch(first: ExecuteRequest) -> tuple[ExecuteRequest, str]:
    """A batch run with all its stages in one, which waits for its client.

    Args:
        first: the run's first request.

    Returns:
        The request to send, and the name that `HeldBatch` needs.
    """
    name = secrets.token_hex(8)
    script = _SCRIPT.format(
        mark=_mark(name),
        order=_order(name),
        interrupted=_INTERRUPTED,
        commands=_commands(first.batch_options()),
    )
    options = BatchOptions(build=None, exec=script)
    return replace(first, options=dict(first.options) | options.as_json() | {"clean": ""}), name


def _commands(options: BatchOptions) -> str:
    """The commands of all stages, one after the other, as a shell script."""
    stages: list[str] = []
    if options.clean not in (None, "*"):  # the rule of images cleans nothing
        stages.append(f"sh -c {quote(options.clean or '')}")
    if "*" in (options.build, options.exec):
        stages.append(PYTHON_RULE)
    if options.build is not None:
        build = _BUILD_RULE if options.build == "*" else f"sh -c {quote(options.build)}"
        stages.append(f"{build} || exit {_BUILD_FAILED}")
    if options.exec is not None:
        exec_ = _EXEC_RULE if options.exec == "*" else f"exec sh -c {quote(options.exec)}"
        stages.append(exec_)
    return "\n".join([*stages, ""])


def _mark(name: str) -> str:
    return f"backendai-{name}"


def _order(name: str) -> str:
    return f".backendai-{name}.order"
