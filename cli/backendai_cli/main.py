"""The commands, loaded only when called: `--help` waits for no event loop."""

from __future__ import annotations

import gc
import os
import sys
from copy import copy
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from backendai_trio import __version__

from . import exit_codes
from .groups import Group

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["lcc", "lpython", "main"]

# What is loaded stays: looking it over every 700 objects for garbage takes a tenth of the start.
gc.set_threshold(50_000, 20, 20)

_COMMANDS = {
    "admin": "Ask the server what it has.",
    "app": "Reach a service in a kernel through a local port.",
    "apps": "List the services that a kernel offers.",
    "attach": "Attach to the terminal of a running kernel.",
    "complete": "Print how code may go on in a kernel.",
    "config": "Show the settings in use, or change those of a profile.",
    "create": "Create a kernel that stays ('start' is the same).",
    "doctor": "Look whether all is well.",
    "cp": "Copy files to a kernel or from one.",
    "download": "Get files of a kernel.",
    "events": "Follow what happens to sessions.",
    "exec": "Run a command in a running kernel.",
    "completion": "Print what makes a shell complete commands and options.",
    "gc": "End the kernels that killed commands have left behind.",
    "help": "Show this help, or that of a command.",
    "images": "List the images, or runtimes, that kernels can be made from.",
    "info": "Show what the server says of a kernel.",
    "interrupt": "Stop what runs in a kernel.",
    "login": "Log in at a server that has logins.",
    "logout": "End the login.",
    "logs": "Show what a kernel has printed.",
    "ls": "List the files of a kernel.",
    "proxy": "Sign requests of programs that cannot, and serve GraphiQL.",
    "ps": "List the running kernels.",
    "rename": "Give a kernel another token.",
    "repl": "Type code for a kernel, piece by piece.",
    "restart": "Start a kernel anew.",
    "rm": "End kernels ('destroy' and 'kill' are the same).",
    "run": "Run code or files in a kernel.",
    "shell": "Open a terminal in a kernel.",
    "serve": "Serve the Backend.AI API on this machine.",
    "sync": "Send what has changed in a folder to a kernel.",
    "upload": "Put files into a kernel.",
    "vfolder": "Keep files in virtual folders, which outlive kernels.",
}

# Those whose module is not called like them, or has several: module and name in it.
_ELSEWHERE = {
    "complete": ("sessions", "complete"),
    "create": ("sessions", "create"),
    "images": ("admin", "images"),
    "info": ("sessions", "info"),
    "interrupt": ("sessions", "interrupt"),
    "logout": ("login", "logout"),
    "rename": ("sessions", "rename"),
    "restart": ("sessions", "restart"),
    "rm": ("sessions", "remove"),
}
# Other words for them, which the official clients have taught.
_ALIASES = {"destroy": "rm", "kill": "rm", "start": "create"}


class _LazyGroup(Group):
    """A group whose commands live in modules of their own name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        name = _ALIASES.get(name, name)
        if name == "help":
            return _help
        if name not in _COMMANDS:
            return None
        module, attribute = _ELSEWHERE.get(name, (name, "command"))
        command: click.Command = getattr(
            import_module(f".commands.{module}", __package__), attribute
        )
        return command

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """From the table, so that none is loaded."""
        return dict(sorted(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands by name, without loading any, and our own options."""
        from click.shell_completion import CompletionItem

        names = [name for name in sorted(_COMMANDS) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=_COMMANDS[name]) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)


@click.command(
    "help",
    help=f"""{_COMMANDS["help"]}

\b
Examples:
  backend.ai help
  backend.ai help run
  backend.ai help vfolder upload
""",
)
@click.argument("names", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def _help(ctx: click.Context, names: tuple[str, ...]) -> None:
    assert ctx.parent is not None  # it is a command of `backend.ai`
    shown, command = ctx.parent, ctx.parent.command
    for name in names:
        if not isinstance(command, click.Group):
            raise click.UsageError(f"{shown.command_path!r} has no commands below it", shown)
        _, found, _ = command.resolve_command(shown, [name])
        assert found is not None  # else that has raised
        shown, command = click.Context(found, shown, name), found
    click.echo(command.get_help(shown))


@click.group(
    cls=_LazyGroup,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="backend.ai", message="%(prog)s (trio) %(version)s")
@click.option("--profile", metavar="NAME", help="Use this profile, see 'backend.ai config'.")
@click.option("-v", "--verbose", is_flag=True, help="Show requests on standard error.")
@click.pass_context
def cli(ctx: click.Context, profile: str | None, verbose: bool) -> None:
    """Run code in Backend.AI compute sessions.

    A server is set with BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY, as variables
    or in a .env file, or in a profile. With none of them set, code runs on this machine.

    \b
    Examples:
      backend.ai run python3 -c "print('hello world')"
      backend.ai run c main.c mylib.c mylib.h
      backend.ai serve
      backend.ai help run
    """
    if verbose:
        from .console import show_requests

        show_requests()
    if profile is not None:
        _choose_profile(profile)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _choose_profile(name: str) -> None:
    """For this process `--profile` is the variable; what wins over the profile is said."""
    from .console import Status

    os.environ["BACKEND_PROFILE"] = name
    for setting in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY"):
        for variable in (f"BACKEND_{setting}", f"SORNA_{setting}"):
            if os.environ.get(variable):
                Status().info(f"{variable} is set, and wins over the profile {name!r}.")


def main() -> NoReturn:
    """`backend.ai`."""
    exit_codes.leave_with(cli, sys.argv[1:], "backend.ai")


def lcc() -> NoReturn:
    """`lcc ...` is `backend.ai run c ...`."""
    _shortcut("c", "lcc")


def lpython() -> NoReturn:
    """`lpython ...` is `backend.ai run python ...`."""
    _shortcut("python", "lpython")


def _shortcut(runtime: str, name: str) -> NoReturn:
    if sys.argv[1:] == ["--version"]:
        exit_codes.leave_with(cli, sys.argv[1:], name)
    from .commands.run import command as run

    # A copy of `run` without its first argument, so that help and errors speak of what was typed.
    short = copy(run)
    assert run.callback is not None
    short.callback = partial(run.callback, lang=runtime)
    short.params = [param for param in run.params if param.name != "lang"]
    short.help = (
        f"Run code or files in a kernel of the runtime {runtime!r}.\n\n"
        f"The same as 'backend.ai run {runtime} ...'; 'backend.ai run --help' tells more."
    )
    short.context_settings = {"help_option_names": ["-h", "--help"]}
    exit_codes.leave_with(short, sys.argv[1:], name)
