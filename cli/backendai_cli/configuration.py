"""The settings of a command: of the profile that its command line names, or of the process."""

from __future__ import annotations

import click

from backendai_trio import Config, read_config

__all__ = ["chosen_profile", "command_config"]


def chosen_profile() -> str | None:
    """The profile that ``--profile`` names; None without the option."""
    ctx = click.get_current_context(silent=True)
    chosen: str | None = ctx.find_root().params.get("profile") if ctx is not None else None
    return chosen


def command_config() -> Config | None:
    """Read the settings; None where none are set.

    Raises:
        ConfigError: as `read_config`.
    """
    return read_config(profile=chosen_profile())
