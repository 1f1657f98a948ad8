"""`backend.ai doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

import click

from backendai_trio import (
    AuthError,
    BackendError,
    Client,
    Config,
    ConfigError,
    __version__,
    open_client,
)
from backendai_trio.admin import authorize, list_rows

from .. import exit_codes
from ..configuration import command_config
from ..console import Status, printable
from ..errors import message_of
from ..tables import show_rows
from ..termination import run_async

__all__ = ["command"]

_SKEW = timedelta(seconds=30)
"""A larger difference of the clocks is reported; servers refuse requests from 15 minutes on."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    what: str
    good: bool
    found: str
    advice: str = ""
    holds: bool | None = None
    """Whether it protects this machine from kernels, if it is about that."""


@click.command("doctor")
@click.option("--local", is_flag=True, help="Check this machine, even if a server is configured.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(local: bool, as_json: bool) -> int:
    """Check settings, connection, key pair, clock, isolation and runtimes.

    For a gateway such as that of 'backend.ai serve', a table says what keeps kernels apart from its
    machine.

    The exit code is 0 if all checks pass, and 125 otherwise.

    \b
    Examples:
      backend.ai doctor
      backend.ai --profile lab doctor --json
    """
    findings = list(_check(local))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        status = Status(stream=sys.stdout)
        for finding in findings:
            if finding.holds is not None:
                continue
            show = status.done if finding.good else status.fail
            show(f"{finding.what}: {finding.found}")
            if finding.advice:
                status.info(f"  {finding.advice}")
        _show_protections(findings)
    return 0 if all(finding.good for finding in findings) else exit_codes.FAILED


def _show_protections(findings: Sequence[Finding]) -> None:
    rows = [
        {"what": finding.what, "holds": finding.holds, "how": finding.found}
        for finding in findings
        if finding.holds is not None
    ]
    if rows:
        titles = {"what": "What", "holds": "Protected", "how": "How"}
        click.echo()
        show_rows(rows, titles, as_json=False, empty="")


def _check(local: bool) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Client", True, f"backendai-trio {__version__}, Python {python}, {sys.platform}")
    try:
        config = None if local else command_config()
    except ConfigError as exc:
        yield Finding("Settings", False, message_of(exc), "Correct the setting, or remove it.")
        return
    if config is not None:
        yield Finding("Settings", True, f"{config.endpoint.url} as {config.user}")
        yield from run_async(_check_server, config)
        return
    yield Finding(
        "Settings",
        True,
        "no server is configured, so kernels run on this machine",
        "" if local else "To use a server, set BACKEND_ENDPOINT and a key pair.",
    )
    from backendai_trio.gateway import open_gateway_process

    try:
        with open_gateway_process() as config:
            yield from run_async(_check_server, config)
    except BackendError as exc:
        yield Finding("Gateway", False, message_of(exc))


async def _check_server(config: Config) -> list[Finding]:
    findings: list[Finding] = []
    try:
        async with open_client(config) as client:
            findings.append(_server(client))
            findings += await _key_pair(client)
            if client.hello.isolation:
                findings.append(_isolation(client.hello.isolation))
            findings += [  # what does not hold is no fault
                Finding(printable(item.what), True, printable(item.how), holds=item.holds)
                for item in client.hello.protections
            ]
            if not client.era.prefix and all(finding.good for finding in findings):
                findings.append(await _runtimes(client))
    except BackendError as exc:
        findings.append(Finding("Connection", False, message_of(exc)))
    return findings


def _server(client: Client) -> Finding:
    name = client.hello.manager or "a manager of unknown version"
    return Finding(
        "Connection", True, f"{name}, API {client.hello.version}, used as {client.era.version}"
    )


async def _key_pair(client: Client) -> list[Finding]:
    what = "Login" if client.config.endpoint_type == "session" else "Key pair"
    try:
        skew = await authorize(client)
    except AuthError as exc:
        advice = f"{exc.advice}, and this machine's clock." if exc.advice else ""
        return [Finding(what, False, message_of(exc), advice[:1].upper() + advice[1:])]
    except BackendError as exc:
        return [Finding(what, False, message_of(exc))]
    findings = [Finding(what, True, "accepted by the server")]
    if skew is not None:
        seconds = round(skew.total_seconds())
        found = f"{abs(seconds)} s {'ahead of' if seconds < 0 else 'behind'} the server's"
        good = abs(skew) < _SKEW
        advice = "" if good else "Set it, e.g. with NTP: from 15 minutes on, requests are refused."
        findings.append(Finding("Clock", good, "matches the server's" if good else found, advice))
    return findings


def _isolation(name: str) -> Finding:
    if name == "bubblewrap":
        return Finding(
            "Isolation",
            True,
            "bubblewrap: kernels read files of the system and its runtimes, and write their own",
            "The table says what else holds.",
        )
    return Finding(
        "Isolation",
        True,
        f"{name}: kernels can do whatever the gateway's user can",
        "Run only code that you trust. Install bubblewrap to isolate kernels; it needs a system "
        "that lets users make namespaces. If it does not work, 'backend.ai serve --isolation "
        "bubblewrap' says why.",
    )


async def _runtimes(client: Client) -> Finding:
    try:
        rows = await list_rows(client, "images")
    except BackendError as exc:
        return Finding("Runtimes", False, message_of(exc))
    names = sorted({str(row.get("name")) for row in rows})
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    advice = "" if names else "Ask an administrator to install images."
    return Finding("Runtimes", bool(names), shown or "none", advice)
