"""`backend.ai login` and `logout`, for web servers at which users log in with a password."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from backendai_trio import Client, Config, ConfigError
from backendai_trio.config import Login, forget_login, read_settings, save_login
from backendai_trio.errors import AuthError, OtpNeeded
from backendai_trio.login import log_in, log_out

from ..configuration import chosen_profile, command_config
from ..console import Status
from ..keyboard import ask, ask_secret
from ..parameters import NAME, STREAM, Stream
from ..secret_files import SECRET_FILE, secret_lines
from ..server import call_server

__all__ = ["command", "logout"]


@click.command("login")
@click.argument("username", required=False, type=NAME)
@click.option(
    "--password-file",
    type=SECRET_FILE,
    help="File with the password, and a one-time password on the second line; - for standard "
    "input.",
)
@click.option(
    "--force", is_flag=True, help="End an older login if the server allows no more at a time."
)
def command(username: str | None, password_file: Path | Stream | None, force: bool) -> None:
    """Log in to the web server as USERNAME.

    The server must be set with BACKEND_ENDPOINT_TYPE=session (or 'backend.ai config set
    endpoint_type session'). All commands use the login until it expires, or until 'backend.ai
    logout'. It is kept in a file that only you can read. The password is not kept.

    The password is asked for, or read from --password-file or standard input. It is never an
    argument, since other users could see it.

    \b
    Examples:
      backend.ai login me@example.com
      backend.ai login me@example.com < password.txt
    """
    config = _web_server()
    secrets = _secrets(password_file)
    if username is None:
        if password_file is not None or not sys.stdin.isatty():
            raise click.UsageError("name the user: backend.ai login USERNAME")
        username = ask("User ID")
    assert username is not None
    login = _log_in(config, username, secrets, force=force)
    save_login(config.endpoint.url, login)
    key = f", with the access key {login.access_key}" if login.access_key else ""
    Status().done(f"Logged in at {config.endpoint.url} as {login.username}{key}.")


@click.command("logout")
def logout() -> None:
    """Log out of the web server, and remove the login from this machine.

    \b
    Examples:
      backend.ai logout
    """
    config = _web_server()
    status = Status()
    if config.login is None:
        status.info(f"Nobody is logged in at {config.endpoint.url}.")
        return
    call_server(config, log_out)
    forget_login(config.endpoint.url)
    status.done(f"Logged out at {config.endpoint.url}.")


def _log_in(config: Config, username: str, secrets: Iterator[str], *, force: bool) -> Login:
    """Log in. Secrets are asked for outside of the event loop, where Ctrl-C ends the question."""

    def attempt(password: str, otp: str | None = None) -> Login:
        async def call(client: Client) -> Login:
            return await log_in(client, username, password, otp=otp, force=force)

        return call_server(config, call)

    password = _next(secrets, "password")
    try:
        return attempt(password)
    except OtpNeeded:
        otp = _next(secrets, "one-time password")
    try:
        return attempt(password, otp)
    except AuthError as exc:
        exc.advice = "log in again, with the next one-time password"
        raise


def _web_server() -> Config:
    config = command_config()
    if config is None:
        raise ConfigError(
            "BACKEND_ENDPOINT",
            "not set; set it to the URL of a web server, and BACKEND_ENDPOINT_TYPE to session",
        )
    if config.endpoint_type != "session":
        found = read_settings(chosen_profile())
        kind = found.get("endpoint_type")
        raise ConfigError(
            kind.where if kind is not None else found["endpoint"].layer.name_of("endpoint_type"),
            f"not 'session', so {config.endpoint.url} is used with a key pair; to log in with a "
            "password, set it to session",
        )
    return config


def _secrets(file: Path | Stream | None) -> Iterator[str]:
    """The password, then the one-time password; nothing where the input ends."""
    if not isinstance(file, Path) and sys.stdin.isatty():
        return _asked_secrets()
    return secret_lines(file or STREAM, "--password-file")


def _asked_secrets() -> Iterator[str]:
    yield ask_secret("Password")
    yield ask("One-time password")


def _next(secrets: Iterator[str], name: str) -> str:
    secret = next(secrets, "")
    if not secret:
        line = "second" if name == "one-time password" else "first"
        raise click.ClickException(
            f"a {name} is needed; give it in the {line} line of --password-file, or of standard "
            "input"
        )
    return secret
