"""`python -m benchmarks`: measure, print a table, and write JSON and plots."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

from .drawing import plots
from .peers import PEERS, USUAL, find_peers
from .report import Report
from .rows import Row
from .setting import Setting
from .table import ON_REQUEST, markdown_table, refreshed, text_tables
from .workers import MeasuringFailed

GROUPS = (
    "imports",
    "startup",
    "execute",
    "sessions",
    "streams",
    "ctrl_c",
    "prints",
    "proxy",
    "sweep",
    "scale",
    "retries",
    "files",
    "memory",
    "managers",
    "load",
    "soak",
)
"""In the order in which they run; each is a module of `groups`."""


def main() -> int:
    arguments = _parser().parse_args()
    groups = {name: importlib.import_module(f".groups.{name}", __package__) for name in GROUPS}
    if arguments.read is not None:
        report = Report.read(arguments.read)
        if not arguments.markdown:
            _print_tables(report, groups)
    else:
        report = _measure(arguments, groups)
    if arguments.markdown:
        print(markdown_table(report.rows), end="")
    _print_end(report)
    if arguments.json is not None:
        report.write(arguments.json)
    if arguments.plots is not None:
        arguments.plots.mkdir(parents=True, exist_ok=True)
        pictures = plots(report.rows, {n: m.TITLE for n, m in groups.items()}, report.curves)
        for name, picture in pictures.items():
            (arguments.plots / name).write_text(picture)
    for path in arguments.into:
        path.write_text(refreshed(path.read_text(), report.rows, report.setting, report.tables))
    if report.missing or (arguments.strict and report.over):
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this client, the official ones and physical limits, in turns. The "
        "exit code is 0 when all was measured, whatever the figures; see --strict.",
    )
    add = parser.add_argument
    add(
        "--only",
        action="append",
        metavar="NAME",
        choices=GROUPS,
        help=f"a group: {', '.join(GROUPS)}. These run when they are named only, since they take "
        f"half an hour or all of the machine: {', '.join(ON_REQUEST)}",
    )
    add("--quick", action="store_true", help="fewer rounds and smaller sizes: under 5 minutes")
    add("--rounds", type=int, metavar="N", help="rounds of everything")
    add("--minutes", type=float, metavar="N", help="of the group soak [30; 2 with --quick]")
    add("--json", type=Path, metavar="FILE", help="write all samples there")
    add("--plots", type=Path, metavar="FOLDER", help="write plots there, as SVG")
    add("--markdown", action="store_true", help="print one table in Markdown")
    add(
        "--into",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="refresh the tables between the markers of a Markdown file; may be repeated",
    )
    add(
        "--from",
        type=Path,
        dest="read",
        metavar="FILE",
        help="measure nothing: use what --json has written",
    )
    add(
        "--managers",
        action="append",
        default=[],
        metavar="RELEASE",
        help="measure on a real manager, too; tests/managers/README.md says what that needs",
    )
    add(
        "--peer-venv",
        action="append",
        default=[],
        metavar="[RELEASE=]FOLDER",
        help=f"a venv that has an official client already [RELEASE: {USUAL}]",
    )
    add("--no-peers", action="store_true", help="leave the official clients out")
    add("--strict", action="store_true", help="exit with 1 if a row is over its limit")
    return parser


def _measure(arguments: argparse.Namespace, groups: dict[str, ModuleType]) -> Report:
    # A shell starts programs in the background with Ctrl-C ignored, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given = {}
    for text in arguments.peer_venv:
        release, equals, folder = text.rpartition("=")
        given[release if equals else USUAL] = Path(folder)
    peers, missing = find_peers(given, () if arguments.no_peers else PEERS)
    setting = Setting(
        arguments.quick, peers, tuple(arguments.managers), arguments.rounds, arguments.minutes
    )
    report = Report(quick=arguments.quick, missing=missing)
    before = os.getloadavg()[0]
    for name, group in groups.items():
        if arguments.only and name not in arguments.only:
            continue
        if name in ON_REQUEST and not arguments.only:
            continue
        if name == "managers" and not setting.managers:
            continue
        start = time.monotonic()
        try:
            for found in group.measure(setting):
                report.add(found)
                title = found.name if isinstance(found, Row) else found.title
                print(f"  measured: {title}", file=sys.stderr)
        except (MeasuringFailed, OSError) as exc:
            report.missing.append(f"the rest of {name}: {exc}")
        report.seconds[name] = time.monotonic() - start
        if not arguments.markdown:
            print(f"\n{group.TITLE} ({report.seconds[name]:.0f} s)")
            print(text_tables(report.of(name)), end="", flush=True)
    report.load = before, os.getloadavg()[0]
    return report


def _print_tables(report: Report, groups: dict[str, ModuleType]) -> None:
    for name, group in groups.items():
        if found := report.of(name):
            print(f"\n{group.TITLE}\n{text_tables(found)}", end="")


def _print_end(report: Report) -> None:
    print(f"\n{report.setting}", file=sys.stderr)
    for row in report.over:
        print(f"OVER its limit: {row.name}", file=sys.stderr)
    for reason in report.missing:
        print(f"!! NOT MEASURED: {reason}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
