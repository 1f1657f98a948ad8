"""docs/coverage.md is what its generator prints, and the generator refuses wrong data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from .comparison import (
    Counterparts,
    Options,
    WrongData,
    compare,
    our_commands,
    read_counterparts,
    read_official,
)
from .document import RELEASES, document

PATH = Path(__file__).resolve().parent.parent.parent / "docs" / "coverage.md"

OFFICIAL: Mapping[str, Options] = {
    "list": [("-s", "--status"), ("-f", "--format")],
    "show": [("--detail",)],
    "shown": [("--detail",)],
    "plugin scan": [("--all",)],
    "plugin drop": [],
}
OURS: Mapping[str, Options] = {
    "ps": [("--status",), ("-f", "--fields")],
    "info": [("--long",)],
}
COMMANDS: Mapping[str, Sequence[str] | str] = {
    "list": ["ps"],
    "show": ["info"],
    "plugin": "there are none",
}
OPTIONS: Mapping[str, Mapping[str, Sequence[str] | str]] = {
    "list": {"--format": ["--fields"]},
    "show": {"--detail": "it is always there"},
}
ALIASES = {"shown": "show"}


def test_document_is_up_to_date() -> None:
    """After a change of commands: `python -m tests.coverage.document > docs/coverage.md`."""
    assert PATH.read_text(encoding="utf-8") == document()


@pytest.mark.parametrize("release", RELEASES)
def test_each_official_command_and_option_is_in_it(release: str) -> None:
    official = read_official(release)
    rows = compare(official, our_commands(), read_counterparts(release))
    count = sum(len(row.commands) + len(row.aliases) for row in rows)
    assert count == len(official) > 10


def test_a_comparison() -> None:
    listed, shown, plugin = compare(OFFICIAL, OURS, Counterparts(COMMANDS, OPTIONS, ALIASES))
    assert (listed.name, listed.ours) == ("list", ["ps"])
    assert listed.same == ["`--status` (not `-s`)"]
    assert listed.renamed == [("--format", ["--fields"])]
    assert not listed.missing and not listed.more
    assert (shown.name, shown.aliases) == ("show", ["shown"])
    assert shown.missing == [("--detail", "it is always there")] and shown.more == ["--long"]
    assert (plugin.ours, plugin.commands) == ("there are none", ["plugin scan", "plugin drop"])


@pytest.mark.parametrize(
    ("commands", "options", "aliases", "problem"),
    [
        ({"plugin": None}, {}, {}, "'plugin scan': neither a command of ours nor a reason"),
        ({}, {"show": {}}, {}, "'show' --detail: neither an option of ours nor a reason"),
        ({"list": ["lists"]}, {}, {}, "ours has no command 'lists'"),
        ({}, {"list": {"--format": ["--form"]}}, {}, "'list' --format: ours has no '--form'"),
        ({}, {"list": {"--format": ["info --form"]}}, {}, "ours has no 'info --form'"),
        ({}, {"list": {"--format": ["BACKEND_FORM"]}}, {}, "ours has no 'BACKEND_FORM'"),
        ({"gone": ["ps"]}, {}, {}, "the entry 'gone' of 'commands' is of no use"),
        ({}, {"": {"--gone": "why"}}, {}, "the entry '--gone' of '' is of no use"),
        ({}, {"": {"--status": "why"}}, {}, "the entry '--status' of '' is of no use"),
        ({}, {}, {"list": "show"}, "'list' is not 'show' under another name"),
    ],
)
def test_wrong_data_is_refused(
    commands: Mapping[str, Sequence[str] | str | None],
    options: Mapping[str, Mapping[str, Sequence[str] | str]],
    aliases: Mapping[str, str],
    problem: str,
) -> None:
    changed = {key: value for key, value in {**COMMANDS, **commands}.items() if value is not None}
    data = Counterparts(changed, {**OPTIONS, **options}, {**ALIASES, **aliases})
    with pytest.raises(WrongData) as caught:
        compare(OFFICIAL, OURS, data)
    assert problem in str(caught.value)


def test_a_reason_for_what_ours_has_is_refused() -> None:
    ours = {**OURS, "plugin scan": []}
    with pytest.raises(WrongData, match="'plugin scan': there is a reason, but ours has it"):
        compare(OFFICIAL, ours, Counterparts(COMMANDS, OPTIONS, ALIASES))
