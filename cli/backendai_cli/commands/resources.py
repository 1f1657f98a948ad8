"""`backend.ai resources`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import click

from backendai_trio import Client
from backendai_trio.admin import (
    ClusterResources,
    KeyPairLimits,
    Quota,
    check_resources,
    key_pair_limits,
)

from ..console import Status, count, printable
from ..options import local_option
from ..parameters import NAME
from ..server import call_server, open_server
from ..tables import amount, show_record, show_rows

__all__ = ["command"]


@click.command("resources")
@click.option(
    "-g",
    "--project",
    "--group",
    metavar="NAME",
    type=NAME,
    help="Project [default: BACKEND_GROUP, or the one called default].",
)
@click.option(
    "--resource-group",
    "--scaling-group",
    metavar="NAME",
    type=NAME,
    help="Count this resource group only [default: all that the project may use].",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@local_option
def command(project: str | None, resource_group: str | None, as_json: bool, local: bool) -> None:
    """Show what you may use, and what of it is free: the limits of your key pair and project,
    resource groups, and presets.

    Managers from 19.03 on tell it.

    \b
    Examples:
      backend.ai resources
      backend.ai resources -g physics --resource-group gpu --json
    """  # fmt: skip

    async def ask(client: Client) -> tuple[KeyPairLimits, ClusterResources]:
        found = await check_resources(
            client, project=project or "", resource_group=resource_group or ""
        )
        return await key_pair_limits(client), found

    with open_server(Status(quiet=as_json), local=local) as config:
        pair, found = call_server(config, ask)
    if as_json:
        click.echo(json.dumps({"limits": asdict(pair), **asdict(found)}))
    else:
        _show(pair, found)


def _show(pair: KeyPairLimits, found: ClusterResources) -> None:
    show_record(dict(_facts(pair)))
    for title, quota in (("Key pair", found.key_pair), ("Project", found.project)):
        if quota is not None and quota.limits:
            _head(title)
            show_rows(list(_slots(quota)), as_json=False, empty="")
    _head("Resource groups")
    groups = [
        {"name": item.name, "in use by you": item.using, "free for you": item.remaining}
        for item in found.resource_groups
    ]
    show_rows(groups, as_json=False, empty="There are none that you may use.")
    _head("Presets")
    presets = [
        {
            "name": item.name,
            "slots": item.slots,
            "shared memory": amount("mem", item.shared_memory) or None,
            "fits now": item.allocatable,
        }
        for item in found.presets
    ]
    show_rows(presets, as_json=False, empty="There are none.")


def _facts(pair: KeyPairLimits) -> Iterator[tuple[str, str]]:
    yield "key_pair", pair.access_key
    if pair.resource_policy:
        yield "resource_policy", pair.resource_policy
    limit = f" of {pair.max_sessions:,}" if pair.max_sessions else ""
    yield "sessions", f"{pair.sessions:,}{limit}"
    if pair.max_containers:
        yield "containers", f"{pair.max_containers:,} in a session at most"
    if pair.idle_seconds:
        yield "idle_sessions", f"end after {count(pair.idle_seconds, 'second')}"


def _slots(quota: Quota) -> Iterator[Mapping[str, str]]:
    for slot in quota.limits:
        amounts = {
            "limit": quota.limits[slot],
            "in use": quota.using.get(slot, ""),
            "free": quota.remaining.get(slot, ""),
        }
        yield {"slot": slot} | {name: amount(slot, value) for name, value in amounts.items()}


def _head(title: str) -> None:
    click.echo(f"\n{printable(title)}:")
