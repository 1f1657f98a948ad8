"""Citations of docs/protocol.md lead somewhere, and so do the document's references to the code.

The code cites ``docs/protocol.md, section N``, for an item of a list ``section N, item M``, and in
modules that name the document once also ``(section N)``. The sections of other documents are cited
with their names before them: ``RFC 6455, section 5.2``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import pytest

from backendai_trio.gateway import GatewayLimits
from backendai_trio.gateway.server import FEATURES
from backendai_trio.wire.files import ARCHIVES
from backendai_trio.wire.versions import TRASH

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "protocol.md"
FOLDERS = ("backendai_trio", "cli", "tests", "benchmarks")

# Between two words: a citation may go over a line's end, and a comment's next line begins with "#".
_GAP = r"[\s#]+"
_NUMBER = r"\d+(?:\.\d+)?(?!\.?\d)"
_NOTE = rf"{_GAP}\([^()]*\)"
_NEXT = rf"(?:,|{_GAP}and|,{_GAP}and){_GAP}"
_CITATION = re.compile(
    rf"(?P<other>\bRFC{_GAP}\d+,?{_GAP})?\b[Ss]ection(?P<plural>s?){_GAP}"
    rf"(?P<first>{_NUMBER})(?:,{_GAP}item{_GAP}(?P<item>\d+))?"
)
_FURTHER = re.compile(rf"{_NEXT}(?P<number>{_NUMBER})")
_FURTHER_AFTER_NOTE = re.compile(rf"{_NOTE}{_NEXT}(?P<number>{_NUMBER})")

_HEADING = re.compile(rf"^##+ (?P<number>{_NUMBER}) ", re.MULTILINE)
_ITEM = re.compile(r"^(?P<number>\d+)\. ", re.MULTILINE)


class Citation(NamedTuple):
    """A place in the document."""

    section: str
    item: str = ""
    """Number of an item in the section's list; ``""`` for the section itself."""


def citations(text: str) -> Iterator[tuple[int, Citation]]:
    """Each citation in a text, with the number of the line where it begins."""
    for match in _CITATION.finditer(text):
        if match["other"]:
            continue
        line = text.count("\n", 0, match.start()) + 1
        yield line, Citation(match["first"], match["item"] or "")
        # "sections 2.1, 2.2 and 10", "section 8.2 (seed era) and 8.3". Without a plural or a note,
        # a number behind a comma is not a section's.
        end = match.end()
        while further := _FURTHER_AFTER_NOTE.match(text, end) or (
            match["plural"] and _FURTHER.match(text, end)
        ):
            yield line, Citation(further["number"])
            end = further.end()


def places(document: str) -> set[Citation]:
    """What can be cited: each numbered heading, and the items of each one's list."""
    found: set[Citation] = set()
    headings = list(_HEADING.finditer(document))
    ends = [heading.start() for heading in headings[1:]] + [len(document)]
    for heading, end in zip(headings, ends, strict=True):
        section = heading["number"]
        found.add(Citation(section))
        body = document[heading.end() : end]
        found |= {Citation(section, item["number"]) for item in _ITEM.finditer(body)}
    return found


def missing(text: str, document: str) -> list[tuple[int, Citation]]:
    """The citations in a text that lead nowhere, with their lines."""
    known = places(document)
    return [(line, citation) for line, citation in citations(text) if citation not in known]


def _sources() -> list[Path]:
    # This file cites places that do not exist.
    own = Path(__file__).resolve()
    return [
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.resolve() != own
    ]


def _document() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


# --- the document and the code -------------------------------------------------------------------


def test_every_citation_in_the_code_leads_somewhere() -> None:
    document = _document()
    lost = []
    seen: set[str] = set()
    for path in _sources():
        text = path.read_text(encoding="utf-8")
        seen |= {citation.section for _, citation in citations(text)}
        lost += [
            f"{path.relative_to(ROOT)}:{line}: section {section}" + (item and f", item {item}")
            for line, (section, item) in missing(text, document)
        ]
    assert not lost, "docs/protocol.md does not have:\n" + "\n".join(lost)
    # The wire's modules cite most of it: fewer would mean that citations are no longer recognised.
    assert len(seen) > 20


def test_document_refers_to_its_own_sections_only() -> None:
    document = _document()
    assert not missing(document, document)


def test_document_has_each_number_once_and_in_order() -> None:
    numbers = [match["number"] for match in _HEADING.finditer(_document())]
    as_numbers = [tuple(int(part) for part in number.split(".")) for number in numbers]
    assert as_numbers == sorted(set(as_numbers))
    chapters = [number[0] for number in as_numbers if len(number) == 1]
    assert chapters == list(range(1, len(chapters) + 1))


def test_files_of_this_project_that_the_document_names_exist() -> None:
    named = set(re.findall(r"\b(?:backendai_trio|tests)/[\w/.]*\w", _document()))
    assert named
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


def test_document_lists_the_features_that_the_gateway_announces() -> None:
    (section,) = re.findall(r"^### 13\.1 .*?(?=^### )", _document(), re.MULTILINE | re.DOTALL)
    listed = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
    assert sorted(listed) == sorted(FEATURES | {ARCHIVES, TRASH})


# --- the check itself ----------------------------------------------------------------------------

_SMALL = """\
# Title

## 1 First

### 1.1 Part

1. An item of 1.1.

## 2 Second

1. An item.
2. Another.
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(docs/protocol.md, section 4.2)", ["4.2"]),
        ("Source: docs/protocol.md, section 7. Names of folders", ["7"]),
        ("Source: contract section 8.1.", ["8.1"]),
        ("Contract section 6.2: JSON replies", ["6.2"]),
        ("waits for its turn (section 4.3), so that", ["4.3"]),
        ("before 20.03 (docs/protocol.md,\n    section 6.3).", ["6.3"]),
        ("# before 20.03 (docs/protocol.md, section\n    # 6.3).", ["6.3"]),
        ("docs/protocol.md, sections 1.2, 2.2 and 10.", ["1.2", "2.2", "10"]),
        ("section 8.2 (seed era) and 8.3 (20.03 on).", ["8.2", "8.3"]),
        (
            "section 1 (versions), 3.1 (routes), 6.3\n(events), 7 (folders)",
            ["1", "3.1", "6.3", "7"],
        ),
        ("sections 5.2 and 5.3 (kernels), 7.2 and 7.3 (folders)", ["5.2", "5.3", "7.2", "7.3"]),
        ("docs/protocol.md, section 12, item 8", ["12 item 8"]),
        ("section 5.1, 20 files of under 1 MiB", ["5.1"]),
        ("WebSocket frames (RFC 6455, section 5), without extensions", []),
        ("RFC 9110 section 14.2", []),
        ("is asked again (RFC 9110,\n        # section 9.2.2)", []),
        ("RFC 9110 section 14 (ranges), and docs/protocol.md, section 7.4", ["7.4"]),
        ("a section of the file, sections, 4.2", []),
    ],
)
def test_citations_are_recognised(text: str, expected: Sequence[str]) -> None:
    found = [
        f"{section} item {item}" if item else section for _, (section, item) in citations(text)
    ]
    assert found == expected


def test_headings_and_items_can_be_cited() -> None:
    assert places(_SMALL) == {
        Citation("1"),
        Citation("1.1"),
        Citation("1.1", "1"),
        Citation("2"),
        Citation("2", "1"),
        Citation("2", "2"),
    }


@pytest.mark.parametrize(
    "bad", ["section 3", "section 1.2", "section 2, item 3", "sections 1 and 4", "section 11"]
)
def test_citation_of_what_is_not_there_is_found(bad: str) -> None:
    text = f'"""Fine: docs/protocol.md, section 2, item 1.\n\nSource: docs/protocol.md, {bad}.\n"""'
    ((line, _),) = missing(text, _SMALL)
    assert line == 3


def test_each_limit_is_listed() -> None:
    listed = (ROOT / "docs" / "limits.md").read_text()
    limits = GatewayLimits()
    names = [f"query.{field.name}" for field in fields(limits.query)]
    names += [field.name for field in fields(limits) if field.name.startswith(("max_", "log_"))]
    names += ["head_seconds", "body_seconds", "refused_seconds", "output_bytes", "resume_seconds"]
    for name in names:
        assert f"`{name}`" in listed, name
        value = getattr(limits, name, None) or getattr(limits.query, name.partition(".")[2])
        wanted = [f"{value:,}", f"{value:g} s", f"{value / 1024:g} KiB", f"{value / 1024**2:g} MiB"]
        assert any(f"`{name}` ({text}" in listed for text in wanted), (name, wanted)
