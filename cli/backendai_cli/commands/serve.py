"""`backend.ai serve`: a gateway that outlives commands, so that they can share kernels."""

from __future__ import annotations

import os
import shlex
import signal
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click
import trio

from backendai_trio import BackendError, Config, GatewayOptions, open_client
from backendai_trio.config import check_access_key, check_secret_key, data_folder
from backendai_trio.errors import InsecureConnectionWarning
from backendai_trio.gateway import (
    RELEASES,
    Account,
    Gateway,
    KernelLimits,
    serve_gateway,
    stored_config,
)
from backendai_trio.kernels import one_error

from .. import exit_codes
from ..console import Status
from ..free_memory import keep_memory_low
from ..limit_option import limit_option
from ..open_files import raise_open_files
from ..options import parse_pairs
from ..parameters import NAME, STREAM, LocalPath, Stream
from ..secret_files import SECRET_FILE, read_secret
from ..termination import ending_signals, run_async

__all__ = ["command"]

_HOST = "127.0.0.1"
_PORT = 8081
_START_SECONDS = 3.0
"""How long --print-env waits for a gateway that is starting."""


@click.command("serve")
@click.option(
    "--host",
    metavar="HOST",
    type=NAME,
    default=_HOST,
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--port",
    metavar="PORT",
    default=_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="TCP port; 0 is any free port.",
)
@click.option(
    "--access-key",
    metavar="KEY",
    type=NAME,
    help="Access key [default: the one of the first start].",
)
@click.option(
    "--secret-key-file",
    type=SECRET_FILE,
    help="File with the secret key; - for standard input [default: BACKEND_SECRET_KEY, or the one "
    "of the first start].",
)
@click.option(
    "--login", metavar="USER", type=NAME, help="Let this user log in with a password, too."
)
@click.option(
    "--password-file",
    type=SECRET_FILE,
    help="File with the password of --login; - for standard input.",
)
@click.option(
    "--data",
    type=LocalPath(file_okay=False),
    help="Folder for key pairs, history and virtual folders [default: the platform's data folder].",
)
@click.option(
    "--certificate",
    type=LocalPath(dir_okay=False),
    help="PEM file with a TLS certificate; required for other addresses than loopback.",
)
@click.option(
    "--certificate-key",
    type=LocalPath(dir_okay=False),
    help="PEM file with the key of the certificate.",
)
@click.option(
    "--idle-timeout",
    default=3600,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="End kernels that were not used for this time.",
)
@click.option(
    "--max-sessions",
    default=100,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Kernels that run at once; further ones wait in a queue.",
)
@click.option(
    "--max-waiting",
    default=1000,
    show_default=True,
    type=click.IntRange(min=0),
    metavar="N",
    help="Kernels in the queue; further ones are refused.",
)
@click.option(
    "--resources",
    multiple=True,
    metavar="SLOT=AMOUNT",
    help="What kernels created with -r may have together, e.g. cpu=4 or mem=8g; may be repeated "
    "[default: all of this machine].",
)
@click.option(
    "--folder-quota",
    default=0,
    type=click.IntRange(min=0),
    metavar="BYTES",
    help="Size limit of a virtual folder [default: none].",
)
@click.option(
    "--isolation",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "bubblewrap", "process-group"]),
    help="Isolation of kernels from this machine; auto is bubblewrap if it works.",
)
@click.option(
    "--network",
    default="host",
    show_default=True,
    type=click.Choice(["host", "loopback", "none"]),
    help="What kernels reach: all that this machine does, only themselves, or nothing.",
)
@click.option(
    "--readable",
    multiple=True,
    type=LocalPath(exists=True),
    help="File or folder that kernels may read under bubblewrap; may be repeated.",
)
@limit_option
@click.option(
    "--manager-limits",
    is_flag=True,
    help="Apply the upload limits of managers: 20 files, each below 1 MiB.",
)
@click.option(
    "--era",
    metavar="RELEASE",
    type=click.Choice(list(RELEASES)),
    help="Behave as a manager of this release, its faults included, to try clients on: "
    f"{', '.join(RELEASES)}.",
)
@click.option(
    "--print-env",
    is_flag=True,
    help="Print the variables that lead to the gateway that runs, as lines for a shell.",
)
def command(
    host: str,
    port: int,
    access_key: str | None,
    secret_key_file: Path | Stream | None,
    login: str | None,
    password_file: Path | Stream | None,
    data: Path | None,
    certificate: Path | None,
    certificate_key: Path | None,
    idle_timeout: float,
    max_sessions: int,
    max_waiting: int,
    resources: tuple[str, ...],
    folder_quota: int,
    isolation: Literal["auto", "bubblewrap", "process-group"],
    network: Literal["host", "loopback", "none"],
    readable: tuple[Path, ...],
    kernel_limits: KernelLimits,
    manager_limits: bool,
    era: str | None,
    print_env: bool,
) -> int:
    """Serve the Backend.AI API on this machine until Ctrl-C.

    Kernels are local processes. A key pair is made on the first start, and kept in a file that only
    you can read. With --print-env, nothing is served: the variables for a running gateway are
    printed, or for one that has started within 3 seconds.

    \b
    Examples:
      backend.ai serve &
      eval "$(backend.ai serve --print-env)"     # also in other terminals
      backend.ai serve --login me --password-file password.txt
    """
    if (certificate is None) != (certificate_key is None):
        raise click.UsageError("--certificate and --certificate-key go together")
    if (login is None) != (password_file is None):
        raise click.UsageError("--login and --password-file go together")
    if secret_key_file is STREAM and password_file is STREAM:
        raise click.UsageError(
            "only one of --secret-key-file and --password-file can be '-' (standard input)"
        )
    account = None
    if login is not None and password_file is not None:
        account = Account(login, read_secret(password_file, "--password-file", "Password"))
    options = GatewayOptions(
        host=host,
        port=port,
        certificate=(certificate, certificate_key) if certificate and certificate_key else None,
        data=data or data_folder(),
        access_key=access_key and check_access_key(access_key, variable="--access-key"),
        secret_key=_secret(secret_key_file),
        account=account,
        idle_seconds=idle_timeout,
        max_sessions=max_sessions,
        max_waiting=max_waiting,
        resources=parse_pairs(resources, option="--resources", form="SLOT=AMOUNT"),
        max_vfolder_bytes=folder_quota,
        isolation=isolation,
        network=network,
        readable=readable,
        kernel_limits=kernel_limits,
        manager_limits=manager_limits,
        release=era or "",
    )
    if print_env:
        return run_async(_print_env, options)
    raise_open_files()
    again = _print_env_command(options, secret_key_file)
    return run_async(_serve, options, again)


def _secret(file: Path | Stream | None) -> str | None:
    """The secret key from its file or variable; never from an argument, which others could see."""
    if file is None:
        secret = os.environ.get("BACKEND_SECRET_KEY")
        return check_secret_key(secret) if secret else None
    option = "--secret-key-file"
    return check_secret_key(read_secret(file, option, "Secret key").strip(), variable=option)


async def _serve(options: GatewayOptions, again: list[str]) -> int:
    status = Status()
    with one_error(), trio.open_signal_receiver(*ending_signals()) as received:
        async with trio.open_nursery() as nursery:
            gateway: Gateway = await nursery.start(serve_gateway, options)
            nursery.start_soon(keep_memory_low)
            status.done(f"Serving on {gateway.url} (isolation: {gateway.isolation}).")
            _warn_of_missing(status, options, gateway)
            if options.release:
                manager = RELEASES[options.release].hello.manager or options.release
                status.info(f"It behaves as manager {manager} does, its faults included.")
            _print_hint(status, options, again, gateway)
            status.info("Ctrl-C ends the gateway and its kernels.")
            number = await anext(received)
            nursery.cancel_scope.cancel()
    status.done("All kernels have ended.")
    return 0 if number == signal.SIGINT else exit_codes.SIGNALED + number


def _warn_of_missing(status: Status, options: GatewayOptions, gateway: Gateway) -> None:
    """Say what is usual, or was asked for, and does not hold on this machine."""
    missing = {item.what: item for item in gateway.protections if not item.holds}
    if gateway.isolation == "process-group":
        said = [f"{name}: {missing[name].how}" for name in ("files", "processes", "network")]
        status.warn(f"Kernels are not kept apart. {'; '.join(said)}.")
    count = missing.get("number of processes")
    if options.kernel_limits.processes and count is not None:
        status.warn(f"--limit processes: {count.how}.")


async def _print_env(options: GatewayOptions) -> int:
    """Print the variables that lead to the gateway that serves at this address or is starting.

    Raises:
        click.ClickException: there is none.
    """
    config = stored_config(options)
    if options.port == 0 or not await _is_served(config):
        where = "a port that is not known" if options.port == 0 else config.endpoint.url
        raise click.ClickException(
            f"no gateway of this data folder serves on {where}; start one with 'backend.ai serve "
            "&', or name its --port, --host and --data"
        )
    click.echo(f"export BACKEND_ENDPOINT={shlex.quote(config.endpoint.url)}")
    click.echo(f"export BACKEND_ACCESS_KEY={shlex.quote(config.access_key)}")
    click.echo(f"export BACKEND_SECRET_KEY={shlex.quote(config.secret_key)}")
    return 0


async def _is_served(config: Config) -> bool:
    # Whether it answers is all that matters: its certificate may be one that only clients trust.
    probe = replace(config, verify_tls=False)
    warnings.simplefilter("ignore", InsecureConnectionWarning)
    with trio.move_on_after(_START_SECONDS):
        while True:
            try:
                async with open_client(probe):
                    return True
            except BackendError:
                await trio.sleep(0.1)
    return False


def _print_env_command(options: GatewayOptions, secret_key_file: Path | Stream | None) -> list[str]:
    """The command that prints the variables of this gateway, in any folder; without the port."""
    found = ["backend.ai", "serve", "--print-env"]
    if options.host != _HOST:
        found += ["--host", options.host]
    if options.data is not None and options.data != data_folder():
        found += ["--data", str(options.data.resolve())]
    if options.access_key is not None:
        found += ["--access-key", options.access_key]
    if secret_key_file is not None:
        path = secret_key_file
        found += ["--secret-key-file", str(path.resolve() if isinstance(path, Path) else path)]
    if options.certificate is not None:
        certificate, key = options.certificate
        found += ["--certificate", str(certificate.resolve())]
        found += ["--certificate-key", str(key.resolve())]
    return found


def _print_hint(
    status: Status, options: GatewayOptions, again: list[str], gateway: Gateway
) -> None:
    """Say how to use the gateway. The secret key is not shown: this output may go to a log."""
    port = gateway.config.endpoint.port
    if port != _PORT:
        again = [*again, "--port", str(port)]
    if options.account is not None:
        user = shlex.quote(options.account.username)
        status.info(
            f"To log in:  BACKEND_ENDPOINT_TYPE=session BACKEND_ENDPOINT={gateway.url} "
            f"backend.ai login {user}"
        )
    status.info(f'To use it from another terminal:  eval "$({shlex.join(again)})"')
