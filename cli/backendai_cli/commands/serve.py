"""`backend.ai serve`: a gateway that stays, so that client tokens are reused across commands."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Literal

import click
import trio

from backendai_trio import BackendError, Config, ConfigError, GatewayOptions, open_client
from backendai_trio.config import check_access_key, check_secret_key, data_folder
from backendai_trio.gateway import Account, Gateway, serve_gateway, stored_config
from backendai_trio.kernels import one_error

from .. import exit_codes
from ..console import Status

__all__ = ["command"]

_PORT = 8081
_ABOUT_TO_SECONDS = 3.0
"""How long --print-env waits for a gateway that was started in the same moment."""


@click.command("serve")
@click.option(
    "--host", metavar="HOST", default="127.0.0.1", show_default=True, help="Address to listen on."
)
@click.option(
    "--port",
    metavar="PORT",
    default=_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="TCP port; 0 for a free one.",
)
@click.option(
    "--access-key", metavar="KEY", help="Access key to take [default: the one made on first start]."
)
@click.option(
    "--secret-key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the secret key [default: BACKEND_SECRET_KEY, else the one made first].",
)
@click.option("--login", metavar="USER", help="Serve logins as well, for this user's password.")
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with that password.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for key pairs, history and virtual folders [default: the platform's data folder].",
)
@click.option(
    "--certificate",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PEM file of a TLS certificate; needed beyond loopback.",
)
@click.option(
    "--certificate-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PEM file of its key.",
)
@click.option(
    "--idle-timeout",
    default=3600,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="End kernels that nobody has used for so long.",
)
@click.option(
    "--folder-quota",
    default=0,
    type=click.IntRange(min=0),
    metavar="BYTES",
    help="Most bytes that a virtual folder may hold [default: as many as the disk].",
)
@click.option(
    "--isolation",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "bubblewrap", "process-group"]),
    help="What keeps kernels apart from this machine; auto is bubblewrap where that works.",
)
@click.option(
    "--manager-limits",
    is_flag=True,
    help="Keep a manager's limits on files: 20 of under 1 MiB in an upload.",
)
@click.option(
    "--print-env",
    is_flag=True,
    help="Print the variables that lead to it, as export lines for a shell.",
)
def command(
    host: str,
    port: int,
    access_key: str | None,
    secret_key_file: Path | None,
    login: str | None,
    password_file: Path | None,
    data: Path | None,
    certificate: Path | None,
    certificate_key: Path | None,
    idle_timeout: float,
    folder_quota: int,
    isolation: Literal["auto", "bubblewrap", "process-group"],
    manager_limits: bool,
    print_env: bool,
) -> int:
    """Serve the Backend.AI API on this machine until Ctrl-C.

    Kernels are local processes. A key pair is made on the first start and kept, readable by you
    alone. With --print-env, a gateway that runs there is described and left alone; if none does
    within 3 seconds, this one serves, and prints the lines.

    \b
    Examples:
      backend.ai serve
      eval "$(backend.ai serve --print-env)"     # in another terminal
      backend.ai serve --login me --password-file password.txt
    """
    if (certificate is None) != (certificate_key is None):
        raise click.UsageError("--certificate and --certificate-key go together")
    if (login is None) != (password_file is None):
        raise click.UsageError("--login and --password-file go together")
    options = GatewayOptions(
        host=host,
        port=port,
        certificate=(certificate, certificate_key) if certificate and certificate_key else None,
        data=data or data_folder(),
        access_key=access_key and check_access_key(access_key, variable="--access-key"),
        secret_key=_secret(secret_key_file),
        account=Account(login, _password(password_file)) if login and password_file else None,
        idle_seconds=idle_timeout,
        max_vfolder_bytes=folder_quota,
        isolation=isolation,
        manager_limits=manager_limits,
    )
    return trio.run(_serve, options, print_env)


def _secret(path: Path | None) -> str | None:
    """The secret from its file or variable; never from an argument, which everybody could see."""
    if path is None:
        secret = os.environ.get("BACKEND_SECRET_KEY")
        return check_secret_key(secret) if secret else None
    return check_secret_key(_read_secret(path, "--secret-key-file"), variable="--secret-key-file")


def _password(path: Path) -> str:
    password = _read_secret(path, "--password-file")
    if not password:
        raise ConfigError("--password-file", f"{path} is empty")
    return password


def _read_secret(path: Path, option: str) -> str:
    """The first line of a file."""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(option, f"{path} cannot be read: {exc}") from None


async def _serve(options: GatewayOptions, print_env: bool) -> int:
    status = Status()
    if print_env and (running := await _running(options)) is not None:
        _print_env(running)
        return 0
    with one_error(), trio.open_signal_receiver(*exit_codes.ending_signals()) as received:
        async with trio.open_nursery() as nursery:
            gateway: Gateway = await nursery.start(serve_gateway, options)
            status.done(f"Serving on {gateway.url} (isolation: {gateway.isolation}).")
            if print_env:
                _print_env(gateway.config)
                if not sys.stdout.isatty():  # in $(...), which waits for the end, most likely
                    status.info(
                        "None was running. For eval, press Ctrl-C, start one with "
                        "'backend.ai serve &', and try again."
                    )
            else:
                _print_hint(status, options, gateway.config.endpoint.port, gateway.url)
            status.info("Ctrl-C ends it, and all its kernels.")
            number = await anext(received)
            nursery.cancel_scope.cancel()
    status.done("All kernels have ended.")
    return 0 if number == signal.SIGINT else 128 + number


async def _running(options: GatewayOptions) -> Config | None:
    """Settings of the gateway that serves there, or is about to; None if none does."""
    if options.port == 0:
        return None
    config = stored_config(options)
    with trio.move_on_after(_ABOUT_TO_SECONDS):
        while True:
            try:
                async with open_client(config):
                    return config
            except BackendError:
                await trio.sleep(0.1)
    return None


def _print_env(config: Config) -> None:
    click.echo(f"export BACKEND_ENDPOINT={shlex.quote(config.endpoint.url)}")
    click.echo(f"export BACKEND_ACCESS_KEY={shlex.quote(config.access_key)}")
    click.echo(f"export BACKEND_SECRET_KEY={shlex.quote(config.secret_key)}")


def _print_hint(status: Status, options: GatewayOptions, port: int, url: str) -> None:
    """How to use it. The secret is not shown: this output may go to a log."""
    again = ["backend.ai", "serve", "--print-env"]
    if port != _PORT:
        again += ["--port", str(port)]
    if options.data is not None and options.data != data_folder():
        again += ["--data", str(options.data)]
    if options.account is not None:
        user = shlex.quote(options.account.username)
        status.info(
            f"To log in:  BACKEND_ENDPOINT_TYPE=session BACKEND_ENDPOINT={url} "
            f"backend.ai login {user}"
        )
    status.info(f'To use it from another terminal:  eval "$({shlex.join(again)})"')
