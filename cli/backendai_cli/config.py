"""`backend.ai config`."""

from __future__ import annotations

import json

import click

from backendai_trio import read_config

__all__ = ["command"]


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Show the settings in use, with the secret key masked.

    They come from BACKEND_* variables, then SORNA_* variables, then a .env file in this folder.
    """
    config = read_config()
    if config is None:
        if as_json:
            click.echo(json.dumps({"endpoint": None}))
        else:
            click.echo(
                "No server is configured: kernels run on this machine.\n"
                "Set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY to use one."
            )
        return
    shown = {
        "API endpoint": config.endpoint.url,
        "API version": "agreed on with the server",
        "Access key": config.access_key,
        "Secret key": config.masked_secret_key,
        "Signature hash type": config.hash_name,
    }
    if as_json:
        keys = ("endpoint", "version", "access_key", "secret_key", "hash_type")
        click.echo(json.dumps(dict(zip(keys, shown.values(), strict=True))))
        return
    for name, value in shown.items():
        click.echo(f'{name}: "{value}"')
