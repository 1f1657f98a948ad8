"""`backend.ai ssh-key`."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkstemp
from typing import TextIO

import click

from backendai_trio import Client
from backendai_trio.admin import (
    SSHKeyPair,
    generate_ssh_keypair,
    get_ssh_public_key,
    upload_ssh_keypair,
)
from backendai_trio.config import check_private
from backendai_trio.files import link_target

from ..confirmation import confirm, yes_option
from ..console import Status
from ..groups import Group
from ..options import quiet_option
from ..parameters import LocalPath
from ..server import call_server, configured_server

__all__ = ["command"]

_ROOM_BYTES = 16 * 1024
"""More than any private key has."""


@click.group("ssh-key", cls=Group)
def command() -> None:
    """Manage the SSH key pair that lets you into sessions. Managers from 19.09 on keep one for each
    key pair, and give it to new sessions.

    \b
    Examples:
      backend.ai ssh-key show
      backend.ai ssh-key generate ~/.ssh/id_backendai
      backend.ai ssh-key upload id_backendai
    """


@command.command("show")
def show() -> None:
    """Print the public key.

    \b
    Examples:
      backend.ai ssh-key show >>authorized_keys
    """
    key = call_server(configured_server("show the SSH key"), get_ssh_public_key)
    if not key:
        raise click.ClickException(
            "the server has no SSH key pair for you; 'backend.ai ssh-key generate FILE' makes one"
        )
    click.echo(key.rstrip("\n"))


@command.command("generate")
@click.argument("file", type=LocalPath(dir_okay=False))
@click.option("-f", "--overwrite", is_flag=True, help="Replace FILE and FILE.pub.")
@yes_option
@quiet_option
def generate(file: Path, overwrite: bool, yes: bool, quiet: bool) -> None:
    """Have the server make a new key pair, for FILE (the private key) and FILE.pub.

    It replaces the one that the server has, after a question; sessions that exist keep that. The
    server sends the private key only now.

    \b
    Examples:
      backend.ai ssh-key generate ~/.ssh/id_backendai
    """
    public = _public_file(file)
    for path in (file, public):
        if not overwrite and path.exists():
            raise click.UsageError(f"{path} exists already; replace it with -f (--overwrite)")
    if file.exists() and not file.is_file():
        raise click.UsageError(f"{file} is a device, a pipe or a socket; name a file")
    config = configured_server("generate an SSH key pair")
    if call_server(config, get_ssh_public_key):
        _confirm(yes=yes)
    # Made before the server replaces the old key pair: nothing else has the new private key.
    try:
        target = link_target(file)
        opened, part = _open_with_room(target)
    except OSError as exc:
        raise click.ClickException(f"cannot write {file}: {exc.strerror}") from None
    try:
        keypair = call_server(config, generate_ssh_keypair)
    except BaseException:  # Ctrl-C, too: there is no key to keep
        opened.close()
        part.unlink(missing_ok=True)
        raise
    _write(keypair, opened, part, file, target)
    Status(quiet=quiet).done(f"The private key is in {file}, the public key in {public}.")


def _open_with_room(file: Path) -> tuple[TextIO, Path]:
    """A new file next to `file` that only the user can read, with room for a private key.

    Its name is new as well: one that could not be given its name may have the only copy of a key.

    Raises:
        OSError: it cannot be written, or its file system lets others read it; then it is not there.
    """
    handle, name = mkstemp(prefix=f".{file.name}.", suffix=".part", dir=file.parent)
    part = Path(name)
    try:
        check_private(handle)
        left = _ROOM_BYTES
        while left:
            left -= os.write(handle, b"\n" * left)
        os.fsync(handle)
        os.lseek(handle, 0, os.SEEK_SET)
    except BaseException:  # Ctrl-C, too, leaves no file
        os.close(handle)
        part.unlink(missing_ok=True)
        raise
    return os.fdopen(handle, "w", encoding="utf-8", newline="\n"), part


def _write(keypair: SSHKeyPair, opened: TextIO, part: Path, file: Path, target: Path) -> None:
    """Write a new key pair to `file` and its public file, by way of `part`, which is `opened`.

    `file` may be a link to `target`, which `part` is next to.
    """
    try:
        with opened:
            opened.write(keypair.private_key)
            opened.truncate()
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise click.ClickException(
            f"cannot write {file}: {exc.strerror}; the server has a new key pair, whose private "
            "key is lost: make room, and generate another one"
        ) from None
    try:
        part.replace(target)
    except OSError as exc:
        raise click.ClickException(
            f"cannot write {file}: {exc.strerror}; the server has a new key pair, whose private "
            f"key is in {part}; 'backend.ai ssh-key show' prints the public one"
        ) from None
    public = _public_file(file)
    try:
        public.write_text(keypair.public_key, encoding="utf-8")
    except OSError as exc:
        raise click.ClickException(
            f"cannot write {public}: {exc.strerror}; the server has a new key pair, whose private "
            f"key is in {file}; 'backend.ai ssh-key show' prints the public one"
        ) from None


@command.command("upload")
@click.argument("file", type=LocalPath(exists=True, dir_okay=False))
@yes_option
@quiet_option
def upload(file: Path, yes: bool, quiet: bool) -> None:
    """Give the server the key pair of the private key in FILE and the public one in FILE.pub.

    The server keeps both, and new sessions have both. It replaces another one that the server has,
    after a question. Managers can from 23.03 on.

    \b
    Examples:
      backend.ai ssh-key upload id_backendai
    """
    public = _public_file(file)
    try:
        keypair = SSHKeyPair(public.read_text("utf-8"), file.read_text("utf-8"))
    except OSError as exc:
        raise click.ClickException(
            f"cannot read {exc.filename}: {exc.strerror}; the public key is read from FILE.pub"
        ) from None
    except UnicodeDecodeError:
        raise click.UsageError(
            f"{file} and {public} must be text, as keys are, and one of them is not"
        ) from None
    if "PRIVATE KEY" not in keypair.private_key:
        raise click.UsageError(f"{file} is no private key; the public one is read from {public}")

    async def send(client: Client) -> None:
        await upload_ssh_keypair(client, keypair)

    config = configured_server("upload an SSH key pair")
    if call_server(config, get_ssh_public_key).split() not in ([], keypair.public_key.split()):
        _confirm(yes=yes)
    call_server(config, send)
    Status(quiet=quiet).done("The server has the key pair; new sessions get it.")


def _confirm(*, yes: bool) -> None:
    confirm(
        "The SSH key pair of the server is about to be replaced; it gives nobody its private key.",
        yes=yes,
    )


def _public_file(private: Path) -> Path:
    return private.with_name(f"{private.name}.pub")
