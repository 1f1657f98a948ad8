"""One call of `run` or `exec`: a run in a kernel, connected to the user's standard streams."""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import trio

from backendai_trio import (
    BatchOptions,
    Client,
    Config,
    Execution,
    InputRequest,
    LocalProtocolError,
    Stderr,
    TrioKernel,
    find_kernel,
    open_client,
)
from backendai_trio.files import Upload
from backendai_trio.kernels import CHOOSE_STDIO, one_error

from .. import exit_codes
from ..console import Status
from ..keyboard import CTRL_C, TerminalMode, terminal_name
from ..languages import STATEFUL, language_of
from ..server import journal_for
from ..standard_input import Stdin
from ..termination import EndedBySignal
from .code_arguments import set_arguments
from .device_attributes import DeviceAttributes
from .kernel import KernelRequest, kernel_session
from .manager_pictures import open_pictures
from .manager_programs import (
    command_for_input,
    command_of_program,
    guarded_code,
    input_file,
    reads_input,
)
from .media_options import MediaOptions
from .output import Output
from .signals import Interrupts
from .stdio import terminal_fds, user_stdio
from .terminal import follow_window_size, raw_terminal, report_outages

__all__ = ["RunRequest", "Runner"]


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The run that a command line asks for."""

    kernel: KernelRequest | str
    """The kernel to create or to join; a token or id for a kernel that exists, and stays."""
    code: str | None
    """Code to run in query mode; None to build and run files."""
    uploads: list[Upload]
    options: BatchOptions
    arguments: tuple[str, ...] = ()
    """Arguments of the code, in query mode; those of a program are in the options."""
    size: tuple[int, int] | None = None
    """Rows and columns of the user's terminal, for variables of a temporary kernel; None for none.
    A program that has a terminal of that size gets no such variables: they would hide its next
    size."""
    window: tuple[int, int] | None
    """Rows and columns of the user's terminal, if the program gets the terminal."""
    media: MediaOptions = field(default_factory=MediaOptions)
    """What to do with pictures and other media."""

    @property
    def keeps_kernel(self) -> bool:
        """Whether the kernel stays when the command ends."""
        return isinstance(self.kernel, str) or self.kernel.keep


class Runner:
    """A run, and what signals do to it."""

    def __init__(self, request: RunRequest, config: Config, status: Status) -> None:
        self._request = request
        self._config = config
        self._status = status
        self._stdin = Stdin()
        self._mode = TerminalMode()
        self._input_requested = trio.Event()
        attributes = DeviceAttributes(self._stdin, self._mode)
        self._output = Output(status, request.media, attributes)
        self._interrupts = Interrupts(status, keep=request.keeps_kernel)

    async def run(self) -> int:
        """Run it; returns the exit code of the command.

        Raises:
            EndedBySignal: a signal has ended the command.
        """
        code = exit_codes.FAILED
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._interrupts.watch, nursery)
                code = await self._run()
                nursery.cancel_scope.cancel()
        if self._interrupts.number is not None:
            raise EndedBySignal(self._interrupts.number)
        return code

    async def _run(self) -> int:
        request = self._request
        async with (
            open_client(self._config, journal=journal_for(self._config)) as client,
            self._open_kernel(client) as kernel,
        ):
            if request.uploads:
                self._status.wait("Uploading source files...")
                await kernel.upload(request.uploads)
                self._status.done("Uploading done.")
                self._status.wait("Building your code...")
            if request.code is not None:
                said = await set_arguments(kernel, self._runtime, request.arguments)
                if said:
                    await self._output.show(Stderr(said))
            if client.hello.features or request.code is not None or not request.uploads:
                return await self._execute(kernel, request.options)
            return await self._execute_on_manager(kernel)

    @asynccontextmanager
    async def _open_kernel(self, client: Client) -> AsyncIterator[TrioKernel]:
        requested = self._request.kernel
        if isinstance(requested, str):
            yield await find_kernel(client, requested)
            return
        sees_size = self._request.code is None and client.has(CHOOSE_STDIO)
        if self._request.size is not None and not sees_size:
            requested = requested.with_size(*self._request.size)
        async with kernel_session(client, requested, self._status) as kernel:
            yield kernel

    @property
    def _runtime(self) -> str:
        """The runtime, if the command line names it."""
        kernel = self._request.kernel
        return "" if isinstance(kernel, str) else kernel.spec.runtime

    async def _execute_on_manager(self, kernel: TrioKernel) -> int:
        """Run the files on a manager, which has to be told more; returns their exit code."""
        request = self._request
        runtime = self._runtime
        options = command_of_program(request.options, runtime)
        keeps = request.keeps_kernel
        async with open_pictures(
            kernel, options, request, runtime, keeps_kernel=keeps, status=self._status
        ) as pictures:
            options = await self._with_input(kernel, pictures.options)
            code = await self._execute(kernel, options)
            with self._mode:  # the terminal may be asked whether it draws them
                await pictures.show(self._output.show)
        return code

    async def _with_input(self, kernel: TrioKernel, options: BatchOptions) -> BatchOptions:
        """The options, with standard input from a file that is uploaded, if there may be input."""
        if not self._has_input():
            return options
        name = f".stdin-{secrets.token_hex(4)}"
        program = self._request.options.program
        redirected = command_for_input(options, self._runtime, program, name)
        if redirected is None:
            return options
        if not self._stdin.has_unread:
            self._status.info("Waiting for the end of standard input, to upload it.")
        async with input_file(self._stdin, name) as upload:
            await kernel.upload([upload])
        return redirected

    async def _execute(self, kernel: TrioKernel, options: BatchOptions) -> int:
        """Run the code, with its output and its input; returns its exit code."""
        request = self._request
        mode: Literal["query", "batch"] = "query" if request.code is not None else "batch"
        owns_terminal = request.window is not None
        terminal = raw_terminal(self._mode, self._status) if owns_terminal else self._mode
        hold = self._stdin.is_terminal and not owns_terminal
        self._output.of_managers_query = mode == "query" and not kernel.client.hello.features
        with terminal, self._output.holding_prompts(enabled=hold), one_error():
            async with (
                kernel.execute(
                    guarded_code(request.code or "", self._runtime, kernel.client),
                    mode=mode,
                    options=options,
                    window=request.window,
                    term=terminal_name() if owns_terminal else None,
                    stdio=None if owns_terminal else user_stdio(),
                ) as run,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._send_input, run)
                url = kernel.client.config.endpoint.url
                nursery.start_soon(report_outages, run.connection, url, self._status)
                nursery.start_soon(self._output.release_held)
                if owns_terminal:
                    nursery.start_soon(follow_window_size, run)
                elif kernel.client.hello.features:
                    nursery.start_soon(_follow_window, run)
                with self._interrupts.of(run):
                    async for event in run:
                        if isinstance(event, InputRequest):
                            await self._prepare_input(is_password=event.is_password)
                        else:
                            await self._output.show(event)
                nursery.cancel_scope.cancel()
        code = self._interrupts.exit_code(run, kernel.client)
        if mode == "batch" and self._input_is_ignored(kernel.client):
            code = self._report_ignored_input(code)
        # Interpreters of our own gateway say it themselves, and what becomes of their variables.
        is_told = mode == "query" and language_of(self._runtime) in STATEFUL
        cause = "" if is_told or self._interrupts.interrupted else exit_codes.cause_of(code)
        is_silent = self._output.of_managers_query and not self._output.has_text
        if cause:
            self._status.fail(f"The program was {cause}.")
        elif is_silent and code == exit_codes.NOT_FOUND:
            self._status.fail(f"{exit_codes.NO_INTERPRETER}.")
        return code

    def _input_is_ignored(self, client: Client) -> bool:
        """Whether there was input for the program, on a server whose programs cannot read any."""
        if client.hello.features or self._input_requested.is_set():
            return False
        return self._stdin.has_unread or self._has_input()

    def _has_input(self) -> bool:
        """Whether the program reads standard input, and there is some or may be: whether the writer
        of a pipe has been faster does not matter."""
        pending = self._stdin.has_unread or self._stdin.may_go_on
        return pending and reads_input(self._request.uploads)

    def _report_ignored_input(self, code: int) -> int:
        """Tell that the program got no input; returns the exit code of the command."""
        message = (
            "The program got nothing of standard input: on this server, only input() of Python "
            "reads it. Upload the input as a file, and let --exec redirect it: "
            "--exec 'CMD <FILE'"
        )
        if code == 0 and reads_input(self._request.uploads):
            self._status.fail(message)
            return exit_codes.FAILED
        self._status.info(message)
        return code

    async def _prepare_input(self, *, is_password: bool) -> None:
        """Get ready for an answer: the echo goes off before the prompt is shown."""
        self._status.clear()
        if is_password:
            self._mode.hide()
        await self._output.release()
        self._input_requested.set()

    async def _send_input(self, run: Execution) -> None:
        """Send standard input to the program.

        Input from a terminal is sent at once. A pipe or file is not read before the program
        requests input: in the body of a shell's ``while read``, it is the input of the loop.
        """
        if not self._stdin.is_terminal:
            await self._input_requested.wait()
        while data := await self._stdin.read():
            if CTRL_C in data and self._request.window is not None and not run.connection.up:
                signal.raise_signal(signal.SIGINT)  # the program cannot get it
            await run.send_stdin(data)
            if self._request.window is None:
                self._mode.restore()  # after a password
        await run.close_stdin()


async def _follow_window(run: Execution) -> None:
    """Give a program the size of the window, if a standard stream of the user is a terminal."""
    if terminals := terminal_fds():
        with suppress(LocalProtocolError):  # polled: its terminal keeps the size from its beginning
            await follow_window_size(run, terminals[-1])
