"""`backend.ai login` and `logout`, for servers where people log in with a password."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import trio

from backendai_trio import Config, ConfigError, open_client, read_config
from backendai_trio.config import Login, forget_login, save_login
from backendai_trio.errors import OtpNeeded
from backendai_trio.login import log_in, log_out

from .. import exit_codes
from ..console import Status

__all__ = ["command", "logout"]


@click.command("login")
@click.argument("username", required=False)
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the password, and the one-time password in a second line.",
)
def command(username: str | None, password_file: Path | None) -> int:
    """Log in at the server, as USERNAME or who you say when asked.

    It must be a web server with logins: BACKEND_ENDPOINT_TYPE=session (or 'backend.ai config set
    endpoint_type session'). All commands work through the login then, until 'backend.ai logout'
    or its end. It is kept in a file that you alone can read; the password is not kept.

    The password is asked for, or read from --password-file or standard input; never from an
    argument, which others could see.

    \b
    Examples:
      backend.ai login me@example.com
      backend.ai login me@example.com < password.txt
    """
    config = _configured()
    answers = _answers(password_file)
    if username is None:
        if password_file is not None or not sys.stdin.isatty():
            raise click.UsageError("who logs in? name the user as an argument")
        username = click.prompt("User ID", err=True)
    assert username is not None
    login = trio.run(_log_in, config, username, answers)
    save_login(config.endpoint.url, login)
    key = f", with the access key {login.access_key}" if login.access_key else ""
    Status().done(f"Logged in at {config.endpoint.url} as {login.username}{key}.")
    return 0


@click.command("logout")
def logout() -> int:
    """End the login at the server, and forget it here.

    \b
    Examples:
      backend.ai logout
    """
    config = _configured()
    status = Status()
    if config.login is None:
        status.info(f"Nobody is logged in at {config.endpoint.url}.")
        return 0
    trio.run(_log_out, config)
    forget_login(config.endpoint.url)
    status.done(f"Logged out at {config.endpoint.url}.")
    return 0


async def _log_in(config: Config, username: str, answers: Iterator[str]) -> Login:
    async with exit_codes.ending_on_signals(), open_client(config) as client:
        password = await trio.to_thread.run_sync(_next, answers, "a password")
        try:
            return await log_in(client, username, password)
        except OtpNeeded:
            otp = await trio.to_thread.run_sync(_next, answers, "a one-time password")
            return await log_in(client, username, password, otp=otp)


async def _log_out(config: Config) -> None:
    async with exit_codes.ending_on_signals(), open_client(config) as client:
        await log_out(client)


def _configured() -> Config:
    config = read_config()
    if config is None:
        raise ConfigError("BACKEND_ENDPOINT", "not set; set it to the server to log in at")
    if config.endpoint_type != "session":
        raise ConfigError(
            "BACKEND_ENDPOINT_TYPE",
            f"there are logins only where it is 'session'; {config.endpoint.url} is used with a "
            "key pair",
        )
    return config


def _answers(path: Path | None) -> Iterator[str]:
    """The password, then the one-time password, as far as they are there."""
    if path is not None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError("--password-file", f"{path} cannot be read: {exc}") from None
        return iter(lines)
    if not sys.stdin.isatty():
        return (line.rstrip("\r\n") for line in sys.stdin)
    return _asked()


def _asked() -> Iterator[str]:
    yield click.prompt("Password", hide_input=True, err=True)
    yield click.prompt("One-time password", err=True)


def _next(answers: Iterator[str], what: str) -> str:
    answer = next(answers, "")
    if not answer:
        raise click.ClickException(f"{what} is needed, and none was given")
    return answer
