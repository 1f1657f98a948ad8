"""What the command line of `backend.ai run` asks for, checked before anything is sent."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from ..console import Status
from ..copy_options import Selection
from ..kernel_options import KernelOptions
from ..keyboard import check_terminal, is_terminal, window_size
from ..languages import find_program, interpreter_of, language_of
from ..options import keeps_kernel
from ..parameters import STREAM, LocalPath, Stream
from .media_options import MediaOptions
from .program import CommandLine, read_code
from .sweep_options import SweepOptions

if TYPE_CHECKING:
    from backendai_trio import BatchOptions, Case
    from backendai_trio.files import Upload

__all__ = ["FILE", "RunArguments"]

FILE = LocalPath(or_stream=True)
"""Type of the command's files; ``-`` is code on standard input."""
_SHOWN = 4
"""How many files an error names."""


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """The command line, as click has parsed it."""

    lang: str
    files: tuple[Path, ...]
    program: str = ""
    """The name of the script that is run, in the work folder; empty for the runtime's choice."""
    words: tuple[str, ...] = ()
    """The arguments of the program."""
    by_name: bool = False
    """Whether the file was named in the way in which a program is named before its arguments."""
    client_token: str | None
    code: str | None
    build: str | None
    execute: str | None
    stats: bool
    quiet: bool
    remove: bool | None
    tty: bool
    selection: Selection
    local: bool
    enqueue_only: bool
    media: MediaOptions
    sweep: SweepOptions
    kernel: KernelOptions

    @classmethod
    def of(
        cls,
        line: CommandLine,
        *,
        files: tuple[Path | Stream, ...],
        code: str | None,
        **parameters: Any,
    ) -> Self:
        """Take the program's arguments from the command line, and code from standard input.

        Raises:
            click.UsageError: there is no code on standard input, or there are files beside it.
        """
        words, by_name = line.program, line.by_shebang
        if not files and code is None and words:
            # `run python -- script.py ARGS`
            files, words, by_name = (FILE.convert(words[0], None, None),), words[1:], True
        if code is None and (files == (STREAM,) or (not files and not is_terminal())):
            if is_terminal():
                status = Status(quiet=parameters["quiet"])
                status.info("Reading the program from the terminal; Ctrl-D ends it.")
            files, code = (), read_code()
        paths = tuple(file for file in files if isinstance(file, Path))
        if len(paths) < len(files):
            raise click.UsageError("give either code on standard input (-) or files, not both")
        return cls(files=paths, code=code, words=tuple(words), by_name=by_name, **parameters)

    @property
    def size(self) -> tuple[int, int] | None:
        """Rows and columns of the user's terminal, if that is where the output of a temporary
        kernel goes and `--tty` does not give the terminal to the program."""
        lasting = keeps_kernel(self.remove, self.client_token)
        if self.tty or lasting or self.client_token is not None or not sys.stdout.isatty():
            return None
        return window_size()

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            click.UsageError: they do not.
        """
        if self.code is None and not self.files:
            raise click.UsageError("nothing to run: give code with -c, or name files")
        if self.by_name and not os.path.lexists(self.files[0]):
            raise click.UsageError(
                f"{self.files[0]}: no such file, and without a file before -- it is the program; "
                "for the arguments of code on standard input, write - before --"
            )
        if self.code is not None and self.files:
            raise click.UsageError("give either code with -c or files, not both")
        if self.code is not None and (self.build is not None or self.execute is not None):
            raise click.UsageError("--build and --exec go with files, not with -c")
        if self.enqueue_only:
            raise click.UsageError(
                "run waits for its program. To leave a kernel in the queue: 'backend.ai create "
                "--enqueue-only'; to leave a program there: 'backend.ai batch --enqueue-only'"
            )
        if self.tty:
            check_terminal("--tty")
        if self.code is not None and self.words and language_of(self.lang) != "python":
            raise click.UsageError(
                "only code of Python gets arguments; save the code in a file, and name that"
            )

    def missing_files(self) -> list[Path]:
        """Files behind the first one that do not exist, if that one does."""
        missing = [path for path in self.files if not os.path.lexists(path)]
        return [] if self.files[:1] == tuple(missing[:1]) else missing

    def plan_cases(self) -> list[Case] | None:
        """The cases of a sweep; None for a single run.

        Raises:
            click.UsageError: an option does not go with a sweep.
        """
        cases = self.sweep.cases(self.kernel.environ, self.build, self.execute)
        if cases is not None and (
            self.client_token is not None or self.tty or self.remove is False
        ):
            raise click.UsageError("the kernels of a sweep are temporary: no -t, --tty or --keep")
        if cases is not None and self.kernel.max_wait is not None:
            raise click.UsageError("--max-wait is for one kernel, not for those of a sweep")
        return cases

    def plan_uploads(self, status: Status) -> list[Upload]:
        """The files to upload.

        Raises:
            UploadError: a file cannot be read.
        """
        if not self.files:
            return []
        uploads = self.selection.plan(self.files, base=None, recursive=True)
        self.selection.left_out.report(status)
        return uploads

    def with_program(self, uploads: list[Upload], status: Status) -> Self:
        """The arguments, with the program among the files; says which one it is.

        Raises:
            click.UsageError: it is undecided.
        """
        if self.execute is not None or not uploads:
            return self
        if not interpreter_of(self.lang):
            self._check_sources(uploads)
            return self
        named = {upload.path: upload.name for upload in uploads if not upload.is_folder}
        files = [named[path] for path in self.files if path in named]
        if self.by_name:
            return replace(self, program=files[-1])
        folders = {
            path.as_posix(): [upload.name for upload in uploads if upload.path.parent == path]
            for path in self.files
            if path not in named
        }
        program, candidates = find_program(self.lang, files, folders)
        if not self._joins and self.build is None:
            if not program and not candidates and len(files) == len(self.files) == 1:
                program = files[0]  # whatever it is called
            if not program:
                raise click.UsageError(self._question(candidates))
        if program and len(uploads) > 1:
            status.info(f"The program is {program}.")
        return replace(self, program=program)

    @property
    def _joins(self) -> bool:
        """Whether there may be other files in the kernel, and one called main among them."""
        return bool(self.client_token or self.kernel.mount)

    def _question(self, candidates: list[str]) -> str:
        """What to do where the program is undecided."""
        command = interpreter_of(self.lang)
        if not candidates:
            return (
                "which file is the program? None of them is a script of this runtime; "
                f"name the command that runs it, such as --exec '{command} FILE'"
            )
        shown = candidates[:_SHOWN] + ["another one"] * (len(candidates) > _SHOWN)
        return (
            f"which file is the program, {' or '.join(shown)}? Call it main"
            f"{Path(candidates[0]).suffix}, or name the command that runs it, such as "
            f"--exec '{command} {candidates[0]}'"
        )

    def _check_sources(self, uploads: list[Upload]) -> None:
        """Refuse sources that no build would find: those in folders only.

        Raises:
            click.UsageError: they are.
        """
        if self.build is not None or self._joins:
            return
        if all(upload.is_folder or "/" in upload.name for upload in uploads):
            folder = uploads[0].name.partition("/")[0]
            raise click.UsageError(
                f"only files in the work folder itself are built, and these are in {folder}. "
                f"Call this in {folder}, with the folder '.'; or name the commands that build and "
                f"run them, such as --build 'make -C {folder}' --exec {folder}/main"
            )

    def batch_options(self) -> BatchOptions:
        """The commands of the files, and what the program gets."""
        from backendai_trio import BatchOptions

        return BatchOptions(
            build=self.build or "*",
            exec=self.execute or "*",
            program=self.program,
            arguments=() if self.code is not None else self.words,
        )

    @property
    def code_arguments(self) -> tuple[str, ...]:
        """The arguments of the code, in query mode."""
        return self.words if self.code is not None else ()
