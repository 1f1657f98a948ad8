"""`backend.ai completion`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import click

from ..completion_setup import SHELLS, Setup, Shell, script_for, setup_for
from ..console import Status
from ..groups import Group

__all__ = ["command"]

_shell_option = click.option(
    "--shell", type=click.Choice(SHELLS), help="The shell; that of the variable SHELL by default."
)


@click.group("completion", cls=Group)
def command() -> None:
    """Complete commands and options with the Tab key of bash, zsh or fish.

    \b
    Examples:
      backend.ai completion install
      backend.ai completion uninstall
      eval "$(backend.ai completion bash)"               # for this shell only
    """


@command.command("install")
@_shell_option
@click.option("--print", "prints", is_flag=True, help="Print the script, and change nothing.")
def _install(shell: Shell | None, prints: bool) -> None:
    """Set the completion up for your shell, in your own files.

    bash and zsh get a few lines at the end of ~/.bashrc or ~/.zshrc, which load a script; fish gets
    a script for each command in its folder of completions. To do it again changes nothing, or
    brings the script up to date.

    \b
    Examples:
      backend.ai completion install
      backend.ai completion install --shell zsh
      backend.ai completion install --shell bash --print
    """
    setup = setup_for(shell or _own_shell())
    status = Status()
    if prints:
        click.echo(script_for(setup.shell))
        for path in _files(setup):
            status.info(f"Nothing was changed; without --print: {_shown(path)}")
        return
    if line := setup.line_by_hand():
        status.info(
            f"{_shown(setup.by_hand)} loads the completion for {setup.shell} already, in line "
            f"{line}; nothing was changed."
        )
        return
    changed = setup.install()
    for path in _files(setup):
        if path not in changed:
            status.info(f"{_shown(path)} is as it should be.")
        elif path == setup.startup:
            status.done(f"Put the lines that load it into {_shown(path)}")
        else:
            status.done(f"Wrote {_shown(path)}")
    if changed:
        status.info(_next_step(setup))


@command.command("uninstall")
@click.option("--shell", type=click.Choice(SHELLS), help="The shell; all of them by default.")
def _uninstall(shell: Shell | None) -> None:
    """Remove what 'backend.ai completion install' has written.

    \b
    Examples:
      backend.ai completion uninstall
      backend.ai completion uninstall --shell fish
    """
    status = Status()
    changed = False
    for name in (shell,) if shell else SHELLS:
        setup = setup_for(name)
        for path in setup.uninstall():
            changed = True
            removed = "Took our lines out of" if path == setup.startup else "Removed"
            status.done(f"{removed} {_shown(path)}")
    status.info("Shells that run keep the completion." if changed else "Nothing was installed.")


def _script_command(shell: Shell, example: str) -> click.Command:
    """The command that prints the script for a shell."""
    return click.Command(
        shell,
        callback=lambda: click.echo(script_for(shell)),
        help=f"Print the script for {shell}.\n\n\b\nExamples:\n  {example}\n",
    )


for _name, _example in (
    ("bash", 'eval "$(backend.ai completion bash)"'),
    ("zsh", 'eval "$(backend.ai completion zsh)"'),
    ("fish", "backend.ai completion fish | source"),
):
    command.add_command(_script_command(cast(Shell, _name), _example))


def _own_shell() -> Shell:
    """The shell of the variable SHELL."""
    path = os.environ.get("SHELL", "")
    for shell in SHELLS:
        if Path(path).name == shell:
            return shell
    named = f"SHELL is {path!r}" if path else "SHELL is not set"
    raise click.UsageError(
        f"{named}, so name your shell with --shell {'|'.join(SHELLS)}", click.get_current_context()
    )


def _files(setup: Setup) -> list[Path]:
    """All files that installing may write."""
    return [*([setup.startup] if setup.startup is not None else []), *setup.scripts]


def _next_step(setup: Setup) -> str:
    if setup.startup is None:
        return "It works in each new fish."
    return f"It works in each new {setup.shell}; in this one after: . {_shown(setup.startup)}"


def _shown(path: Path) -> str:
    """A path as people write it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
