"""`backend.ai completion`."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

__all__ = ["command"]

_PROGRAMS = ("backend.ai", "lcc", "lpython")


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print a script that completes commands and options with the Tab key.

    \b
    Examples:
      eval "$(backend.ai completion bash)"               # in ~/.bashrc
      eval "$(backend.ai completion zsh)"                # in ~/.zshrc
      backend.ai completion fish | source                # in config.fish
    """
    if shell == "zsh":
        # Without compinit in ~/.zshrc there is no `compdef`, which the script calls.
        click.echo("(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }")
    made = get_completion_class(shell)
    assert made is not None  # one of the choices
    for program in _PROGRAMS:
        variable = f"_{program.upper().replace('.', '_')}_COMPLETE"
        completer = made(click.Command(program), {}, program, variable)
        # Not the method of the class for bash: it starts bash to get its version.
        click.echo(ShellComplete.source(completer))
