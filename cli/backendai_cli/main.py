"""The commands. Each is loaded when it is called, so that `--help` loads no event loop."""

from __future__ import annotations

import gc
import sys
from copy import copy
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from backendai_trio import __version__

from .errors import main_with_exit_code
from .groups import Group
from .parameters import NAME

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["main", "run_shortcut"]

# Imported modules are not garbage; to check them every 700 objects takes a tenth of the start.
gc.set_threshold(50_000, 20, 20)

_COMMANDS = {
    "admin": "List what the server has, change it, and query its admin API.",
    "announcement": "Show what the administrators of the server announce.",
    "app": "Forward a local port to a service in a kernel.",
    "apps": "List the services that a kernel offers.",
    "attach": "Attach to the terminal of a running kernel.",
    "batch": "Run a command in a session of its own, and follow it.",
    "complete": "Print completions of code in a kernel.",
    "config": "Show the settings in use, or change those of a profile.",
    "create": "Create a kernel that stays (alias: start).",
    "doctor": "Check settings, connection, key pair and runtimes.",
    "cp": "Copy files to or from a kernel.",
    "dotfile": "Manage small files that each new kernel gets.",
    "download": "Download files from a kernel.",
    "events": "Follow the events of sessions.",
    "exec": "Run a command in a running kernel.",
    "completion": "Complete commands with the Tab key of your shell.",
    "gc": "End kernels that killed commands left behind.",
    "help": "Show this help, or the help of a command.",
    "images": "List the images (runtimes) for kernels.",
    "info": "Show information about a kernel.",
    "interrupt": "Interrupt the code that runs in a kernel.",
    "login": "Log in to a web server.",
    "logout": "Log out.",
    "logs": "Show the output log of a kernel.",
    "ls": "List the files in a kernel.",
    "proxy": "Run a local proxy that signs requests, and GraphiQL.",
    "ps": "List the kernels that run or wait.",
    "rename": "Change the token of a kernel.",
    "resources": "Show what you may use, and what of it is free.",
    "repl": "Run code interactively in a kernel.",
    "restart": "Restart a kernel.",
    "rm": "End kernels (aliases: destroy, kill).",
    "run": "Run code or files in a kernel.",
    "scp": "Copy files to or from a kernel with OpenSSH.",
    "shell": "Open a terminal in a kernel.",
    "serve": "Serve the Backend.AI API on this machine.",
    "shutdown-service": "End a service in a kernel.",
    "ssh": "Log in to a kernel with OpenSSH.",
    "start-service": "Start a service, and print its address at the app proxy.",
    "ssh-key": "Manage the SSH key pair that lets you into sessions.",
    "sync": "Synchronize a local folder to a kernel.",
    "template": "Manage templates of kernels, kept on the server.",
    "upload": "Upload files to a kernel.",
    "vfolder": "Manage virtual folders, which outlive kernels.",
}

# Commands in modules of another name: module and attribute.
_ELSEWHERE = {
    "complete": ("sessions", "complete"),
    "create": ("sessions", "create"),
    "images": ("admin", "images"),
    "info": ("sessions", "info"),
    "interrupt": ("sessions", "interrupt"),
    "logout": ("login", "logout"),
    "rename": ("sessions", "rename"),
    "restart": ("sessions", "restart"),
    "scp": ("ssh", "scp"),
    "shutdown-service": ("services", "shutdown"),
    "start-service": ("services", "start"),
    "ssh-key": ("ssh_key", "command"),
    "vfolder": ("vfolder.group", "command"),
}
# Names of the official clients, which help does not show.
_ALIASES = {"destroy": "rm", "kill": "rm", "start": "create", "watch": "events"}
_SESSION_ALIASES = {
    "create": "create",
    "destroy": "rm",
    "download": "download",
    "events": "events",
    "info": "info",
    "kill": "rm",
    "list": "ps",
    "logs": "logs",
    "ls": "ls",
    "rename": "rename",
    "restart": "restart",
    "rm": "rm",
    "scp": "scp",
    "ssh": "ssh",
    "start": "create",
    "upload": "upload",
    "watch": "events",
}


class _SessionGroup(Group):
    """The group `session` of the official clients: commands of ours under its names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_SESSION_ALIASES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return cli.get_command(ctx, _SESSION_ALIASES[name]) if name in _SESSION_ALIASES else None

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """What each of them is called otherwise, without loading any."""
        return {
            name: f"The same as 'backend.ai {own}'."
            for name, own in sorted(_SESSION_ALIASES.items())
        }


_session = _SessionGroup(
    "session", help="Commands for kernels, under the names that the official client has for them."
)


class _LazyGroup(Group):
    """A group that imports the module of a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        name = _ALIASES.get(name, name)
        if name == "help":
            return _help
        if name == "session":
            return _session
        if name not in _COMMANDS:
            return None
        module, attribute = _ELSEWHERE.get(name, (name, "command"))
        command: click.Command = getattr(
            import_module(f".commands.{module}", __package__), attribute
        )
        return command

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """From the table, without loading any command."""
        return dict(sorted(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options, without loading any command."""
        from click.shell_completion import CompletionItem

        names = [name for name in sorted(_COMMANDS) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=_COMMANDS[name]) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)


@click.command(
    "help",
    help=f"""{_COMMANDS["help"]}

At a terminal, help that is longer than the window is shown in a pager: the program that the
variable PAGER names, or 'less', which ends with the key q. The option --help never uses one.

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
    from .pager import show_text

    assert ctx.parent is not None  # it is a command of `backend.ai`
    shown, command = ctx.parent, ctx.parent.command
    for name in names:
        if not isinstance(command, click.Group):
            raise click.UsageError(f"{shown.command_path!r} has no subcommands", shown)
        _, found, _ = command.resolve_command(shown, [name])
        assert found is not None  # otherwise it has raised
        shown, command = click.Context(found, shown, name), found
    show_text(command.get_help(shown))


@click.group(
    cls=_LazyGroup,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="backend.ai", message="%(prog)s (trio) %(version)s")
@click.option(
    "--profile",
    metavar="NAME",
    type=NAME,
    help="Profile to use, whatever the environment says; see 'backend.ai config'.",
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Show requests on standard error, and in errors."
)
@click.pass_context
def cli(ctx: click.Context, profile: str | None, verbose: bool) -> None:
    """Run code in Backend.AI compute sessions.

    Set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY to use a server, in the
    environment, in a .env file or in a profile. Without them, code runs on this machine.

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
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> NoReturn:
    """Run `backend.ai`."""
    main_with_exit_code(cli, sys.argv[1:], "backend.ai")


def run_shortcut(runtime: str, name: str) -> NoReturn:
    """Run `backend.ai run` with a given runtime.

    Args:
        runtime: the runtime.
        name: the program that was called, for help and errors.
    """
    if sys.argv[1:] == ["--version"]:
        main_with_exit_code(cli, sys.argv[1:], name)
    from .commands.run import command as run

    # A copy of `run` without its first argument, so that help and errors show this program.
    short = copy(run)
    assert run.callback is not None
    short.callback = partial(run.callback, lang=runtime)
    short.params = [param for param in run.params if param.name != "lang"]
    short.help = (
        f"Run code or files in a kernel of the runtime {runtime!r}.\n\n"
        f"It is 'backend.ai run {runtime} ...'; see 'backend.ai run --help'."
    )
    short.context_settings = {"help_option_names": ["-h", "--help"]}
    main_with_exit_code(short, sys.argv[1:], name)
