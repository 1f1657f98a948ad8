"""Scripts for the completion of shells, and their installation into a user's own files.

bash and zsh read one startup file, which gets a few marked lines that load a script of ours; fish
finds scripts by the name of the command. Nothing else of the user's files is changed.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from click.shell_completion import ShellComplete, get_completion_class

from backendai_trio.config import data_folder, make_private_folder
from backendai_trio.files import PendingFile

__all__ = ["SHELLS", "Setup", "Shell", "script_for", "setup_for"]

Shell = Literal["bash", "zsh", "fish"]

SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")
PROGRAMS = ("backend.ai", "lcc", "lpython")

_MARK = b"# Written by 'backend.ai completion install'"
_BEGIN = b"# >>> backend.ai completion >>>"
_END = b"# <<< backend.ai completion <<<"


def script_for(shell: Shell, programs: tuple[str, ...] = PROGRAMS) -> str:
    """The script that lets a shell complete the command lines of some of our programs."""
    parts = []
    if shell == "zsh":
        # Without compinit in ~/.zshrc there is no `compdef`, which the script calls.
        parts.append("(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }")
    made = get_completion_class(shell)
    assert made is not None  # one of the choices
    for program in programs:
        variable = f"_{program.upper().replace('.', '_')}_COMPLETE"
        completer = made(click.Command(program), {}, program, variable)
        # Not the method of the class for bash: it starts bash to get its version.
        parts.append(ShellComplete.source(completer))
    return "\n".join(parts)


@dataclass(frozen=True)
class Setup:
    """What completion in a shell needs in the user's files.

    Attributes:
        shell: the shell.
        scripts: files of ours, and what is in them.
        startup: the shell's startup file, which loads the script; None if the shell finds it.
        by_hand: a file with settings of the shell, in which people load the script by themselves.
    """

    shell: Shell
    scripts: dict[Path, str]
    startup: Path | None
    by_hand: Path

    def line_by_hand(self) -> int:
        """The number of the line in which the user loads the completion already, or 0."""
        wanted = f"backend.ai completion {self.shell}".encode()
        for number, line in enumerate(_read(self.by_hand).split(b"\n"), 1):
            if wanted in line.partition(b"#")[0]:
                return number
        return 0

    def install(self) -> list[Path]:
        """Write the scripts, and the lines that load them.

        Returns:
            The files that were changed: none if all is as it should be.

        Raises:
            click.ClickException: a file is there that is not ours, or our lines in the startup file
                are damaged, and nothing was changed; or a file cannot be read or written.
        """
        wanted = {}
        if self.startup is not None:  # first: this is the file that may be protected
            before, _, after = _split(self.startup)
            if before and not before.endswith(b"\n"):
                before += b"\n"
            wanted[self.startup] = before + self._lines() + after
        for path, text in self.scripts.items():
            _check_ours(path)
            wanted[path] = _MARK + b"\n" + text.encode()
        return [path for path, content in wanted.items() if _write(path, content)]

    def uninstall(self) -> list[Path]:
        """Remove what `install` has written.

        Returns:
            The files that were changed or removed.

        Raises:
            click.ClickException: as for `install`.
        """
        changed = []
        present = [path for path in self.scripts if os.path.lexists(path)]
        for path in present:
            _check_ours(path)
        if self.startup is not None:
            before, lines, after = _split(self.startup)
            if lines and _write(self.startup, before + after):
                changed.append(self.startup)
        for path in present:
            with _explained(path):
                path.unlink()
        return changed + present

    def _lines(self) -> bytes:
        """The lines of the startup file."""
        (script,) = self.scripts
        home = Path.home()
        if script.is_relative_to(home):  # the file may be used where the home is elsewhere
            shown = f'"$HOME"/{shlex.quote(str(script.relative_to(home)))}'
        else:
            shown = shlex.quote(str(script))
        note = _MARK + b"; 'backend.ai completion uninstall' removes these lines."
        load = f"if [ -r {shown} ]; then . {shown}; fi".encode()
        return b"\n".join((_BEGIN, note, load, _END, b""))


def setup_for(shell: Shell) -> Setup:
    """What completion in a shell needs in the files of this user."""
    home = Path.home()
    if shell == "fish":
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish"
        scripts = {
            folder / "completions" / f"{program}.fish": script_for(shell, (program,))
            for program in PROGRAMS
        }
        return Setup(shell, scripts, None, folder / "config.fish")
    zsh_folder = Path(os.environ.get("ZDOTDIR") or home)
    startup = home / ".bashrc" if shell == "bash" else zsh_folder / ".zshrc"
    script = data_folder() / f"completion.{shell}"
    return Setup(shell, {script: script_for(shell)}, startup, startup)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what was tried, and what else can be done, when the system refuses it."""
    try:
        yield
    except OSError as exc:
        raise click.ClickException(
            f"{path} cannot be read and changed: {exc.strerror}; 'backend.ai completion install "
            "--print' prints the script, which you can load in another way"
        ) from None


def _read(path: Path) -> bytes:
    with _explained(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""


def _check_ours(path: Path) -> None:
    """Refuse to touch a script that is there and does not bear our mark."""
    if os.path.lexists(path) and not _read(path).startswith(_MARK):
        raise click.ClickException(
            f"{path} is not from 'backend.ai completion install': remove it, or load what "
            "'backend.ai completion install --print' prints in another way"
        )


def _split(path: Path) -> tuple[bytes, bytes, bytes]:
    """A startup file: what is before our lines, these lines, and what is after them."""
    lines = _read(path).splitlines(keepends=True)
    marks = [(number, line.strip()) for number, line in enumerate(lines) if _is_mark(line)]
    if not marks:
        return b"".join(lines), b"", b""
    if [mark for _, mark in marks] != [_BEGIN, _END]:
        raise click.ClickException(
            f"the lines of 'backend.ai completion install' in {path} are damaged: remove what is "
            f"left of them, from line {marks[0][0] + 1} on, and try again"
        )
    (first, _), (last, _) = marks
    parts = lines[:first], lines[first : last + 1], lines[last + 1 :]
    before, ours, after = (b"".join(part) for part in parts)
    return before, ours, after


def _is_mark(line: bytes) -> bool:
    return line.strip() in (_BEGIN, _END)


def _write(path: Path, content: bytes) -> bool:
    """Replace a file in one step, unless it has this content; follows a link to the file."""
    target = Path(os.path.realpath(path))
    if target.exists() and _read(target) == content:
        return False
    with _explained(path):
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "it is read-only")
        make_private_folder(target.parent)
        with PendingFile(target, overwrite=True, like_cp=True) as file:
            file.write(content)
            file.sync()
            file.complete()
    return True
