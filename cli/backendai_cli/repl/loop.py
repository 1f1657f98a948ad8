"""The loop of `repl`: read code, run it in the kernel, show its output."""

from __future__ import annotations

import re
import sys
from functools import partial
from importlib import import_module

import click
import trio

from backendai_trio import (
    BackendError,
    Config,
    Execution,
    InputRequest,
    NotFound,
    TrioKernel,
    open_client,
)
from backendai_trio.kernels import one_error

from .. import exit_codes
from ..console import Status, is_dumb_terminal
from ..errors import report_error
from ..keyboard import TerminalMode
from ..languages import STATEFUL, language_of
from ..run.device_attributes import DeviceAttributes
from ..run.kernel import KernelRequest, kernel_session
from ..run.media_options import MediaOptions
from ..run.output import Output
from ..run.signals import Interrupts
from ..run.terminal import report_outages
from ..server import journal_for
from ..standard_input import Stdin
from ..termination import EndedBySignal
from .source_code import PROGRAMS
from .sources import DumbTerminal, Keyboard, PipedInput, Source

__all__ = ["Repl"]

_EXIT = re.compile(r"\s*(?:(?:os\.|sys\.)?exit|quit)(?:\((\d{0,3})\))?;?\s*")
"""Code that ends the `repl`. The kernel's interpreter would go on."""


class Repl:
    """One call of `repl`."""

    def __init__(
        self, request: KernelRequest, config: Config, status: Status, media: MediaOptions
    ) -> None:
        self._request = request
        self._config = config
        self._status = status
        self._language = language_of(request.spec.runtime)
        self._is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._has_editor = self._is_interactive and not is_dumb_terminal()
        self._stdin = Stdin()
        self._mode = TerminalMode()
        attributes = DeviceAttributes(self._stdin, self._mode)
        self._output = Output(status, media, attributes)
        self._interrupts = Interrupts(status, keep=request.keep)

    async def run(self) -> int:
        """Run it; returns the exit code of the command.

        Raises:
            EndedBySignal: a signal has ended the command.
        """
        code = exit_codes.FAILED
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._interrupts.watch, nursery)
                if self._has_editor:
                    # It takes as long to load as a kernel to start.
                    nursery.start_soon(trio.to_thread.run_sync, _load_editor)
                code = await self._run()
                nursery.cancel_scope.cancel()
        if self._interrupts.number is not None:
            raise EndedBySignal(self._interrupts.number)
        return code

    async def _run(self) -> int:
        async with (
            open_client(self._config, journal=journal_for(self._config)) as client,
            kernel_session(client, self._request, self._status) as kernel,
        ):
            self._output.of_managers_query = not client.hello.features
            if not self._is_interactive:
                return await self._run_all(kernel, PipedInput(self._language, self._stdin))
            leave = "leaves" if self._request.keep else "ends it and the kernel"
            editor = "Tab completes, Ctrl-C interrupts or clears"
            keys = editor if self._has_editor else "Ctrl-C interrupts"
            self._status.info(f"{keys}, Ctrl-D {leave}.")
            if client.hello.features and self._language not in STATEFUL:
                self._status.info(
                    "Each input is a program of its own: files stay, variables do not."
                )
                if self._language in PROGRAMS:
                    self._status.info("An empty line ends a program.")
            self._interrupts.at_prompt = True
            if self._has_editor:
                keyboard = Keyboard(self._language, self._stdin, kernel, self._status)
                return await self._converse(kernel, keyboard)
            return await self._converse(kernel, DumbTerminal(self._language, self._stdin))

    async def _run_all(self, kernel: TrioKernel, source: Source) -> int:
        """Run all code up to the first that fails; returns its exit code."""
        while (code := await source.read_code()) is not None:
            if (leave := _EXIT.fullmatch(code)) is not None:
                return _exit_code_of(leave)
            if exit_code := await self._execute(kernel, source, code):
                return exit_code
        return 0

    async def _converse(self, kernel: TrioKernel, source: Source) -> int:
        """Run code as a person enters it. Failures are shown, and the next code is read."""
        while (code := await source.read_code()) is not None:
            if not code.strip():
                continue
            if (leave := _EXIT.fullmatch(code)) is not None:
                return _exit_code_of(leave)
            try:
                exit_code = await self._execute(kernel, source, code)
            except NotFound:
                raise  # the kernel is gone
            except BackendError as exc:
                report_error(exc)
                continue
            if self._output.mid_line:
                click.echo()
                self._output.mid_line = False
            if exit_code == exit_codes.TIMED_OUT:
                return exit_code  # the kernel is gone as well
            if exit_code and self._language not in STATEFUL:
                cause = exit_codes.cause_of(exit_code)
                self._status.info(f"Exit code {exit_code}{f', {cause}' if cause else ''}.")
        return 0

    async def _execute(self, kernel: TrioKernel, source: Source, code: str) -> int:
        """Run code; returns its exit code."""
        hold = self._stdin.is_terminal
        with (
            self._mode,
            self._output.holding_prompts(enabled=hold),
            one_error(),
        ):
            async with (
                kernel.execute(code, show_value=True) as run,
                trio.open_nursery() as nursery,
            ):
                answers = _Answers(source, self._output, self._mode)
                nursery.start_soon(answers.send, run)
                url = kernel.client.config.endpoint.url
                leave = "Ctrl-C twice leaves" if self._interrupts.at_prompt else "Ctrl-C leaves"
                report = partial(report_outages, leave=leave)
                nursery.start_soon(report, run.connection, url, self._status)
                nursery.start_soon(self._output.release_held)
                with self._interrupts.of(run):
                    async for event in run:
                        if isinstance(event, InputRequest):
                            await answers.request(event)
                        else:
                            await self._output.show(event)
                nursery.cancel_scope.cancel()
        return self._interrupts.exit_code(run, kernel.client)


class _Answers:
    """Answers the input requests of a run, while its output goes on."""

    def __init__(self, source: Source, output: Output, mode: TerminalMode) -> None:
        self._source = source
        self._output = output
        self._mode = mode
        self._send, self._receive = trio.open_memory_channel[InputRequest](1)

    async def request(self, request: InputRequest) -> None:
        """Have a request answered. The echo goes off before the prompt of a password is shown."""
        if request.is_password:
            self._mode.hide()
        await self._output.release()
        try:
            self._send.send_nowait(request)
        except trio.WouldBlock:
            pass  # it is the same request again

    async def send(self, run: Execution) -> None:
        """Send an answer for each request."""
        async for _ in self._receive:
            answer = await self._source.read_answer()
            self._mode.restore()
            if answer:
                self._output.mid_line = False  # the answer ended the line
                await run.send_stdin(answer)
            else:
                await run.close_stdin()


def _exit_code_of(leave: re.Match[str]) -> int:
    return int(leave[1] or 0) & 0xFF


def _load_editor() -> None:
    import_module(f"{__package__}.line_editor")
