"""`backend.ai ssh` and `backend.ai scp`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..parameters import NAME, LocalPath
from ..progress_bars import split_remote

__all__ = ["command", "scp"]

_VALUED = frozenset("cDFiJloPSX")
"""Options of scp that take a value."""

_identity = click.option(
    "-i",
    "--identity",
    type=LocalPath(exists=True, dir_okay=False),
    metavar="FILE",
    help="Private key to use [default: the kernel's own].",
)


@click.command(
    "ssh", context_settings={"allow_interspersed_args": False}, options_metavar="[OPTIONS]"
)
@click.argument("session", metavar="ID", type=NAME)
@click.argument("arguments", metavar="[SSH ARGS]...", nargs=-1, type=click.UNPROCESSED)
@_identity
@click.option(
    "-l",
    "--user",
    metavar="USER",
    type=NAME,
    help="Whom to log in as [default: whom the kernel names].",
)
@click.option(
    "--print-config", is_flag=True, help="Print an entry for ~/.ssh/config; do not log in."
)
def command(
    session: str,
    arguments: tuple[str, ...],
    identity: Path | None,
    user: str | None,
    print_config: bool,
) -> int:
    """Log in to a kernel with OpenSSH, or run a command there.

    ID is the token or id of a session ('backend.ai ps') that offers the service sshd
    ('backend.ai apps ID'). What follows it goes to ssh as it is: options such as -L, and a command.
    No local port is opened. The kernel's private key is kept in a file that only you can read.

    Editors and other programs use the entry that --print-config prints; print it anew when the
    session was made anew. They find the server by their own environment, or by a profile that was
    chosen when the entry was printed ('backend.ai --profile NAME ssh ...').

    \b
    Examples:
      backend.ai ssh lab1
      backend.ai ssh lab1 -L 8888:127.0.0.1:8888
      backend.ai ssh lab1 nvidia-smi
      rsync -e 'backend.ai ssh' -a src/ lab1:src/
      backend.ai ssh --print-config lab1 >> ~/.ssh/config
    """
    from ..openssh import connect, find_program, host_block, replace_process

    if print_config:
        click.echo(host_block(connect(session, key=identity, user=user)), nl=False)
        return 0
    ssh = find_program("ssh")
    return replace_process(ssh, connect(session, key=identity, user=user), [session, *arguments])


@click.command(
    "scp",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True},
    options_metavar="[-r] [OPTIONS]",
)
@click.argument("arguments", metavar="SRC... DST", nargs=-1, type=click.UNPROCESSED)
@_identity
def scp(arguments: tuple[str, ...], identity: Path | None) -> int:
    """Copy files to or from a kernel with OpenSSH's scp. Either SRC or DST is written ID:PATH.

    ID is the token or id of a session ('backend.ai ps') that offers the service sshd
    ('backend.ai apps ID'). Other options, such as -r for folders, go to scp as they are.
    'backend.ai cp' copies without ssh.

    \b
    Examples:
      backend.ai scp data.csv lab1:
      backend.ai scp -r lab1:results .
    """
    from ..openssh import connect, find_program, replace_process

    sessions = {remote[0] for text in _operands(arguments) if (remote := split_remote(text))}
    names = {session.rpartition("@")[2] for session in sessions}
    users = {session.rpartition("@")[0] for session in sessions}
    if len(names) != 1 or len(users) != 1:
        raise click.UsageError(
            "write either SRC or DST as ID:PATH, with one kernel; a local name "
            "with a colon is written ./NAME"
        )
    program = find_program("scp")
    connection = connect(names.pop(), key=identity, user=users.pop() or None)
    return replace_process(program, connection, arguments)


def _operands(arguments: Sequence[str]) -> list[str]:
    """The files among the arguments of scp.

    Raises:
        click.UsageError: one is an option that scp does not have.
    """
    found: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word.startswith("--"):  # scp has no such options
            raise click.NoSuchOption(word)
        if not word.startswith("-") or word == "-":
            found.append(word)
        elif word[-1] in _VALUED and not _VALUED.intersection(word[1:-1]):
            next(rest, None)
    return found
